"""The handbook's pages as they are served, and a shell that runs their commands as a reader would.

A `<pre data-run>` is a command; `data-status` says how its calls are answered where they are
refused on purpose, and `data-until` what a program that stays says once it is up. The
`<pre data-answer>` after a command is what it answers, shortened: fields may be left out, `…`
stands for anything, and a date, time or number of an invoice for any other.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.installation import PATIENCE, ROOT

_BLOCK = re.compile(r"<pre([^>]*)>(.*?)</pre>", re.DOTALL)
_ATTRIBUTE = re.compile(r'([a-z-]+)(?:="([^"]*)")?')
_TAG = re.compile(r"<[^>]+>")
_VARIES = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?|INV-[0-9]{4}-[0-9]{6}"
)
_MARK = "@@block "


@dataclass
class Command:
    """A command of a page, with what the page says it answers."""

    text: str
    attributes: dict[str, str]
    answers: list[str] = field(default_factory=list)


@dataclass
class Ran:
    """What a command wrote, and the statuses of the calls that it made."""

    output: str = ""
    statuses: list[int] = field(default_factory=list)


def blocks(page: str) -> Iterator[tuple[dict[str, str], str]]:
    """Yield each block of a page: its attributes, and its text without markup."""
    for attributes, inner in _BLOCK.findall(page):
        yield dict(_ATTRIBUTE.findall(attributes)), html.unescape(_TAG.sub("", inner))


def commands(page: str) -> list[Command]:
    """Return the commands of a page in order."""
    found: list[Command] = []
    for attributes, text in blocks(page):
        if "data-run" in attributes:
            found.append(Command(text, attributes))
        elif "data-answer" in attributes:
            found[-1].answers.append(text)
    return found


def run(listed: list[Command], *, env: dict[str, str], folder: Path) -> list[Ran]:
    """Run the commands in one shell, in the root of the project, and return what each did.

    Programs that stay are ended with the shell.

    :raises AssertionError: naming the command that failed, with all that was written.
    """
    (folder / ".curlrc").write_text('write-out = "%{stderr}status %{http_code}\\n"\n')
    script = folder / "commands.sh"
    script.write_text("\n".join(_script(listed, folder)))
    try:
        shell = subprocess.run(
            ["bash", str(script)],
            cwd=ROOT,
            env={**env, "CURL_HOME": str(folder), "HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        subprocess.run(["bash", "-c", _END_ALL, "end", str(folder)], check=False)
    ran = _sorted_out(shell.stdout, shell.stderr)
    if shell.returncode:
        failed = listed[len(ran) - 1].text if ran else ""
        raise AssertionError(f"{failed}\n\n{shell.stdout[-3000:]}\n{shell.stderr[-3000:]}")
    return ran


# Every program that stays leads a process group, whose number is kept in a file.
_END_ALL = (
    'for kept in "$1"/*.pid; do [ -e "$kept" ] && kill -- -"$(cat "$kept")"; done 2>/dev/null; true'
)


def _script(listed: list[Command], folder: Path) -> Iterator[str]:
    yield "set -e -o pipefail"
    for number, command in enumerate(listed):
        yield f'echo; echo "{_MARK}{number}" | tee /dev/stderr'
        if until := command.attributes.get("data-until"):
            log, kept = folder / f"{number}.log", folder / f"{number}.pid"
            yield f"set -m\n(\n{command.text}\n) >{log} 2>&1 & echo $! >{kept}\nset +m"
            yield f"for i in $(seq 300); do grep -q '{until}' {log} && break; sleep 0.1; done"
            yield f"grep -q '{until}' {log} || {{ cat {log}; exit 1; }}"
        else:
            yield command.text


def _sorted_out(stdout: str, stderr: str) -> list[Ran]:
    """Share what was written among the commands that wrote it."""
    written = re.split(rf"^{_MARK}\d+\n", stdout, flags=re.MULTILINE)[1:]
    told = re.split(rf"^{_MARK}\d+\n", stderr, flags=re.MULTILINE)[1:]
    return [
        Ran(output, [int(status) for status in re.findall(r"^status (\d{3})$", said, re.MULTILINE)])
        for output, said in zip(written, told, strict=True)
    ]


def differs(shown: str, output: str) -> str:
    """Say how what a page shows differs from what was answered; nothing where it agrees."""
    if shown.lstrip()[:1] in ("{", "["):
        answered = _last_json(output)
        if answered is None:
            return f"no JSON in {output!r}"
        return _difference(json.loads(re.sub(r"(?<![\"\w])…", '"…"', shown)), answered, "")
    for line in shown.strip().splitlines():
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        if not re.search(f"^\\s*{pattern}\\s*$", output, re.MULTILINE):
            return f"{line!r} is not in {output!r}"
    return ""


def _last_json(output: str) -> Any:
    """Return the last JSON document among those that were written one after the other."""
    decoder, text, last = json.JSONDecoder(), output.strip(), None
    while text:
        last, end = decoder.raw_decode(text)
        text = text[end:].lstrip()
    return last


def _difference(shown: Any, answered: Any, place: str) -> str:
    if shown == "…" or shown == ["…"]:
        return ""
    if isinstance(shown, dict) and isinstance(answered, dict):
        pairs = [(value, answered.get(key), f"{place}/{key}") for key, value in shown.items()]
    elif isinstance(shown, list) and isinstance(answered, list):
        if len(shown) != len(answered):
            return f"{place} has {len(answered)} items: {answered}"
        both = zip(shown, answered, strict=True)
        pairs = [(*pair, f"{place}/{number}") for number, pair in enumerate(both)]
    else:
        same = _fixed(shown) == _fixed(answered)
        return "" if same else f"{place} is {answered!r}, not {shown!r}"
    return next(filter(None, (_difference(*pair) for pair in pairs)), "")


def _fixed(value: Any) -> Any:
    """Return a text without what varies from run to run."""
    return _VARIES.sub("…", value) if isinstance(value, str) else value
