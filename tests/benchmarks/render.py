"""What rendering an issued invoice costs, against a plain use of the same engine.

    python tests/benchmarks/render.py [--quick]

Renders an issued invoice of two pages, in turn with two references, in each of three rounds:

- *naive*: the same content with automatic tables, its style sheet, fonts and fetcher made anew for
  every document, as the engine's own first example does;
- *same HTML and CSS*: the very document that the product lays out, made the same naive way.

And, as reading fonts is most of what both cost, with two more that take the machine's own fonts
instead of making the packaged ones anew: the stricter measure.

Also measured: 500 invoices by two processes against one, the memory of a process after 2,000
invoices against that at which a worker is replaced (the engine keeps some 50 kB of each), and the
seconds of an invoice of 200 lines. Each is a
process of its own, on a small SQLite database of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

ROUNDS = 3
AT_ONCE = 12  # renders of each kind in a round
MANY, EVEN_MORE = 500, 2_000
TARGETS = {
    "render": 0.75,
    "render_same_html": 0.90,
    "render_installed_fonts": 0.75,
    "render_same_html_installed_fonts": 0.90,
    "render_two_processes": 1.8,
    "render_memory": 1.0,
    "render_200_lines": 1.5,
}
COMPARED = tuple(TARGETS)[:4]
KINDS = ("product", "naive", "same HTML and CSS", "naive, fonts installed", "same, fonts installed")
AT_LEAST = ("render_two_processes",)


# In a process of its own: each prints one line of figures.


def compare(times: int) -> None:
    """Render by turns as the product does, naively, and naively from the same HTML and CSS."""
    from django.template.loader import render_to_string  # noqa: PLC0415

    from billing import documents  # noqa: PLC0415

    view = _two_pages()
    html, css = documents.html_of(view), render_to_string("invoice/invoice.css")
    automatic = re.sub(r"table-layout:\s*fixed;?", "", css)
    machines = [re.sub(r"@font-face \{.*?\}", "", one) for one in (automatic, css)]
    assert len({automatic, css, *machines}) == 4
    kinds: dict[str, Callable[[], object]] = {
        "product": lambda: documents.render(view),
        "naive": lambda: _naively(html, automatic),
        "same": lambda: _naively(html, css),
        "naive_fonts": lambda: _naively(html, machines[0]),
        "same_fonts": lambda: _naively(html, machines[1]),
    }
    spent: dict[str, float] = {}
    for name, work in kinds.items():
        work()
        spent[name] = 0.0
    for _ in range(times):
        for name, work in kinds.items():
            start = time.process_time()
            work()
            spent[name] += time.process_time() - start
    print(*(f"{spent[name] / times * 1000:.3f}" for name in kinds))


def many(count: int) -> None:
    """Render `count` invoices, once told to start."""
    from billing import documents  # noqa: PLC0415

    view = _two_pages()
    documents.render(view)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(count):
        documents.render(view)
    print("done", flush=True)


def memory(count: int) -> None:
    """Print the memory of this process after many invoices, and what a worker may have at most."""
    from django.conf import settings  # noqa: PLC0415

    from billing import documents  # noqa: PLC0415

    view = _two_pages()
    for _ in range(count):
        documents.render(view)
    print(f"{_resident_mb():.1f} {settings.CELERY_WORKER_MAX_MEMORY_PER_CHILD / 1000:.1f}")


def long() -> None:
    """Print the seconds of an invoice of 200 lines."""
    from billing import documents  # noqa: PLC0415
    from billing.presentation import present  # noqa: PLC0415
    from tests.billing import paper  # noqa: PLC0415

    documents.render(_two_pages())
    charges = [
        paper.Charge(
            f"Metric no. {i:03}",
            "per_unit | included 10 | at 0.0125",
            str(11 + i),
            ("call", "calls"),
        )
        for i in range(199)
    ]
    invoice = paper.invoice(paper.BASE_FEE, *charges)
    start = time.perf_counter()
    documents.render(present(invoice))
    print(f"{time.perf_counter() - start:.3f}")


def _two_pages() -> Any:
    """Return the view of an issued invoice that takes two pages."""
    from django.core.management import call_command  # noqa: PLC0415
    from pypdf import PdfReader  # noqa: PLC0415

    from billing import documents  # noqa: PLC0415
    from tests.billing import paper  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    view = paper.two_pages()
    assert len(PdfReader(BytesIO(documents.render(view))).pages) == 2
    return view


def _naively(html: str, css: str) -> bytes:
    import weasyprint  # noqa: PLC0415
    from weasyprint.text.fonts import FontConfiguration  # noqa: PLC0415

    from billing import typesetting  # noqa: PLC0415

    fetcher, fonts = typesetting.engine().fetcher, FontConfiguration()
    sheet = weasyprint.CSS(string=css, font_config=fonts, url_fetcher=fetcher)
    document = weasyprint.HTML(string=html, url_fetcher=fetcher)
    pdf: bytes = document.write_pdf(stylesheets=[sheet], font_config=fonts, pdf_variant="pdf/ua-1")
    return pdf


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+)", status)
    return int(kilobytes) / 1024


# The conductor


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=["compare", "many", "memory", "long"])
    parser.add_argument("--part", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *numbers = options.part
        _set_up()
        parts: dict[str, Callable[..., None]] = {
            "compare": compare,
            "many": many,
            "memory": memory,
            "long": long,
        }
        parts[name](*map(int, numbers))
        return 0
    less = 10 if options.quick else 1
    found: list[tuple[str, float, str, float, str]] = []
    if options.only in (None, "compare"):
        found += _compared(max(2, AT_ONCE // less))
    if options.only in (None, "many"):
        found.append(_side_by_side(MANY // less))
    if options.only in (None, "memory"):
        found.append(_remembered(EVEN_MORE // less))
    if options.only in (None, "long"):
        seconds = median(float(_run("long")) for _ in range(ROUNDS))
        found.append(("render_200_lines", seconds, f"{seconds:.2f}", 1.0, "s"))
    missed = False
    for name, ratio, product, reference, unit in found:
        target = TARGETS[name]
        missed |= ratio < target if name in AT_LEAST else ratio > target
        print(f"{name} ratio={ratio:.2f} product={product} reference={reference:.2f} ({unit})")
    return int(missed)


def _compared(times: int) -> list[tuple[str, float, str, float, str]]:
    rounds = []
    for _ in range(ROUNDS):
        rounds.append([float(figure) for figure in _run("compare", times).split()])
        print(
            "  "
            + ", ".join(f"{kind} {ms:.0f} ms" for kind, ms in zip(KINDS, rounds[-1], strict=True))
        )
    product, *references = (median(column) for column in zip(*rounds, strict=True))
    return [
        (name, product / reference, f"{product:.1f}", reference, "CPU ms")
        for name, reference in zip(COMPARED, references, strict=True)
    ]


def _side_by_side(count: int) -> tuple[str, float, str, float, str]:
    """Let one process, then two, render as many invoices in all."""
    ratios, speeds = [], []
    for _ in range(ROUNDS):
        one, two = _timed(count, 1), _timed(count, 2)
        ratios.append(one / two)
        speeds.append((count / two, count / one))
        print(f"  {count} invoices: {one:.1f} s by one process, {two:.1f} s by two")
    together, alone = (median(column) for column in zip(*speeds, strict=True))
    return ("render_two_processes", median(ratios), f"{together:.1f}", alone, "invoices/s")


def _timed(count: int, processes: int) -> float:
    each = count // processes
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            subprocess.Popen(
                _command("many", each),
                env=_environment(Path(folder) / str(number)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        start = time.perf_counter()
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "done\n"
        spent = time.perf_counter() - start
        for worker in workers:
            worker.communicate()
    return spent


def _remembered(count: int) -> tuple[str, float, str, float, str]:
    last, most = (float(figure) for figure in _run("memory", count).split())
    return ("render_memory", last / most, f"{last:.0f}", most, "MB")


def _run(name: str, *numbers: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            _command(name, *numbers),
            env=_environment(Path(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stdout.strip().splitlines()[-1]


def _command(name: str, *numbers: int) -> list[str]:
    return [sys.executable, str(Path(__file__)), "--part", name, *map(str, numbers)]


def _environment(folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "DATA_DIR": str(folder)}


def _set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django  # noqa: PLC0415

    django.setup()


if __name__ == "__main__":
    raise SystemExit(main())
