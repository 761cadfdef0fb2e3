"""The issuer's one colour, and what is mixed from it."""

from __future__ import annotations

import re

from billing.presentation.views import Palette

DEFAULT = "#0f5c5c"
INK = "#16191d"
NIGHT = "#1b1f24"  # what stands below text on a dark page
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


def on_dark(accent: object) -> Palette:
    """Mix the same colours for a dark page: the accent as much lighter as reading it takes."""
    base = palette(accent).accent
    readable = next(
        mixed
        for share in range(100, -1, -5)
        if _contrast(mixed := _mix(base, share=share / 100), NIGHT) >= _READABLE
    )
    return Palette(
        accent=readable,
        text=readable,
        tint=_blend(readable, NIGHT, share=0.12),
    )


def contrast_with_white(colour: str) -> float:
    """Return WCAG's contrast ratio to white, from 1 for white to 21 for black."""
    return _contrast(colour, "#ffffff")


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _mix(colour: str, *, share: float) -> str:
    """Mix a share of the colour into white."""
    return _blend(colour, "#ffffff", share=share)


def _blend(colour: str, ground: str, *, share: float) -> str:
    pairs = zip(_parts(colour), _parts(ground), strict=True)
    return "#" + "".join(f"{under - int((under - part) * share):02x}" for part, under in pairs)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
