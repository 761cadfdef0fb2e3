"""Which characters a document can print: those of the packaged fonts, and of this machine's.

What no font has would be printed as an empty box. It is left out instead, or written as "?" where
it is a letter, and whoever keeps the document says so.
"""

from __future__ import annotations

import subprocess
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

FONTS = Path(__file__).with_name("fonts")
_LETTERS_AND_NUMBERS = ("L", "N")


class Printable(NamedTuple):
    """A text that fonts have every character of, and those that were replaced in it, each once."""

    text: str
    missing: tuple[str, ...]


def printable(text: str) -> Printable:
    """Replace what no font can draw: a letter or number by "?", anything else by nothing.

    Joiners, marks of direction and what only changes another character are never missing.
    """
    missing = tuple(sorted(char for char in set(text) - _packaged() if not _is_drawn(char)))
    if not missing:
        return Printable(text, ())
    table = {
        ord(char): "?" if unicodedata.category(char)[0] in _LETTERS_AND_NUMBERS else ""
        for char in missing
    }
    return Printable(text.translate(table), missing)


def described(missing: tuple[str, ...]) -> str:
    """Name characters: "🧾 (U+1F9FE RECEIPT)"."""
    return ", ".join(
        f"{char} (U+{ord(char):04X} {unicodedata.name(char, 'without a name')})" for char in missing
    )


def _is_drawn(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Cc", "Zs", "Zl", "Zp") or _is_installed(char)


@lru_cache(maxsize=10_000)
def _is_installed(char: str) -> bool:
    """Ask this machine's fonts; a machine without their catalogue has none."""
    try:
        found = subprocess.run(
            ["fc-list", f":charset={ord(char):x}", "family"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(found.stdout.strip())


@cache
def _packaged() -> frozenset[str]:
    from fontTools.ttLib import TTFont  # noqa: PLC0415 - only where a document is made

    found: set[str] = set()
    for path in sorted(FONTS.iterdir()):
        if path.suffix in (".ttf", ".woff2"):
            with TTFont(path, lazy=True) as font:
                found |= {chr(code) for code in font.getBestCmap()}
    return frozenset(found)
