"""The issuer's one colour, and what is mixed from it."""

from __future__ import annotations

import re

from billing.presentation.views import Palette

DEFAULT = "#0f5c5c"
INK = "#16191d"
_READABLE = 4.5  # the contrast WCAG 2 asks of text, level AA
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def palette(accent: object) -> Palette:
    """Mix the tint; anything but #rrggbb gives the default colour."""
    text = str(accent)
    if not _COLOUR.fullmatch(text):
        text = DEFAULT
    readable = text if contrast_with_white(text) >= _READABLE else INK
    return Palette(
        accent=text.lower(),
        text=readable.lower(),
        tint=_mix(readable, share=0.05),
    )


def contrast_with_white(colour: str) -> float:
    """Return WCAG's contrast ratio to white, from 1 for white to 21 for black."""
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _mix(colour: str, *, share: float) -> str:
    """Mix a share of the colour into white."""
    return "#" + "".join(f"{255 - int((255 - part) * share):02x}" for part in _parts(colour))


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
