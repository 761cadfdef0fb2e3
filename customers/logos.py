"""Logos as uploaded pictures: checked, and drawn anew so that nothing else comes with them.

What is kept is a PNG of our own making; the upload itself is thrown away, with whatever a picture
can carry besides its pixels.
"""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageOps

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 16_000_000
LARGEST = (1200, 480)  # pixels: sharp in print at the size of a letterhead


class LogoRefused(ValueError):
    """This upload can't be a logo; the message says why, and what would."""


class LogoPicture(NamedTuple):
    """A PNG, and its SHA-256."""

    png: bytes
    sha256: str
    width: int
    height: int


def read_logo(content: bytes) -> LogoPicture:
    """Draw an uploaded PNG or JPEG anew, at most 1,200 × 480 pixels, upright and without metadata.

    :raises LogoRefused: for anything else, a file above 2 MB or a picture above 16 megapixels.
    """
    if len(content) > MOST_BYTES:
        megabytes = len(content) / 1024 / 1024
        raise LogoRefused(f"The logo has {megabytes:.1f} MB: upload one of at most 2 MB.")
    if content.lstrip()[:1] == b"<":
        raise LogoRefused(
            "SVG is not taken, since it can hold links and scripts: export the logo as PNG."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(content), formats=["PNG", "JPEG"])
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise LogoRefused(_too_large(width, height))
            return _drawn(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise LogoRefused(
            "The logo has too many pixels: upload one of at most 16 megapixels."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, LogoRefused):
            raise
        raise LogoRefused("This is no picture in PNG or JPEG: export the logo as one.") from error


def _drawn(picture: Image.Image) -> LogoPicture:
    upright = _in_8_bits(ImageOps.exif_transpose(picture)).convert("RGBA")
    upright.thumbnail(LARGEST)
    bare = Image.new("RGBA", upright.size)
    bare.paste(upright)
    written = BytesIO()
    bare.save(written, "PNG", optimize=True)
    png = written.getvalue()
    return LogoPicture(png, hashlib.sha256(png).hexdigest(), *bare.size)


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Scale a grey of 16 bits down, which else ends at 255 and is white from there on."""
    if not picture.mode.startswith("I"):
        return picture
    grey = picture.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        grey.info["transparency"] = clear // 257
    return grey


def _too_large(width: int, height: int) -> str:
    return (
        f"The logo has {width:,} × {height:,} pixels: upload one of at most 16 megapixels, "
        "such as 1,200 × 480."
    )
