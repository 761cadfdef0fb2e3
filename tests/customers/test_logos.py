"""Logos: what is taken, what is refused by name, and that only pixels are kept."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from config.base.models import AuditEntry
from customers.logos import LogoRefused, read_logo
from customers.models import Issuer, Logo
from tests.staff import leo, page, said


def picture(form: str = "PNG", size: tuple[int, int] = (60, 20), **options: Any) -> bytes:
    written = BytesIO()
    Image.new("RGB", size, "#b3541e").save(written, form, **options)
    return written.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 pixels wide and high."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9)))


def chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/></svg>'
REFUSED = {
    "a bitmap of 20 MB": (b"BM" + bytes(20 * 1024 * 1024), "20.0 MB: upload one of at most 2 MB"),
    "an SVG with a link": (SVG, "SVG is not taken"),
    "an SVG behind a declaration": (b'\n<?xml version="1.0"?>' + SVG, "SVG is not taken"),
    "a small bitmap": (picture("BMP"), "no picture in PNG or JPEG"),
    "a GIF": (picture("GIF"), "no picture in PNG or JPEG"),
    "an address": (b"http://example.com/logo.png", "no picture in PNG or JPEG"),
    "nothing": (b"", "no picture in PNG or JPEG"),
    "a picture that unpacks to gigabytes": (bomb(), "at most 16 megapixels"),
    "too many pixels": (picture(size=(5000, 4000)), "at most 16 megapixels"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_logo_is_refused_by_name(content: bytes, why: str) -> None:
    with pytest.raises(LogoRefused, match=why):
        read_logo(content)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_is_drawn_anew(form: str) -> None:
    logo = read_logo(picture(form) + b"<script>alert(1)</script>")
    assert b"script" not in logo.png
    assert (logo.width, logo.height) == (60, 20)
    assert read_logo(logo.png).sha256 == logo.sha256


def test_it_is_no_larger_than_print_needs() -> None:
    logo = read_logo(picture(size=(3000, 600)))
    assert (logo.width, logo.height) == (1200, 240)


def test_what_a_camera_wrote_down_is_not_kept() -> None:
    data = Image.Exif()
    data[0x010E] = "at home"
    data[0x0112] = 6  # turned by a quarter
    logo = read_logo(picture("JPEG", exif=data))
    assert (logo.width, logo.height) == (20, 60)
    assert b"at home" not in logo.png


def test_a_grey_of_sixteen_bits_stays_as_dark_as_it_is() -> None:
    grey = Image.new("I;16", (4, 1))
    for place, level in enumerate((0, 0x4040, 0x8080, 0xFFFF)):
        grey.putpixel((place, 0), level)
    written = BytesIO()
    grey.save(written, "PNG", transparency=0xFFFF)
    with Image.open(BytesIO(read_logo(written.getvalue()).png)) as drawn:
        shown = [drawn.getpixel((place, 0)) for place in range(4)]
    assert shown == [(0, 0, 0, 255), (64, 64, 64, 255), (128, 128, 128, 255), (255, 255, 255, 0)]


def form(**changes: Any) -> dict[str, Any]:
    """Fill in the issuer's form as its page does."""
    issuer = Issuer.objects.get()
    names = [
        field.name for field in Issuer._meta.concrete_fields if field.name not in ("id", "logo")
    ]
    return {name: getattr(issuer, name) for name in names} | changes


@pytest.mark.django_db
class TestTheIssuersForm:
    @pytest.fixture(autouse=True)
    def lead(self) -> None:
        self.client = leo()

    def send(self, **changes: Any) -> Any:
        url = page("customers_issuer", "change", Issuer.objects.get().pk)
        return self.client.post(url, form(**changes))

    def test_a_logo_is_kept_under_its_hash_and_recorded(self) -> None:
        upload = SimpleUploadedFile("logo.png", picture())
        assert self.send(logo_file=upload).status_code == 302
        issuer = Issuer.objects.get()
        assert issuer.logo == Logo.objects.get()
        entry = AuditEntry.objects.order_by("-pk")[0]
        assert "logo" in entry.changes

    def test_the_same_picture_twice_is_one_row(self) -> None:
        for _ in range(2):
            self.send(logo_file=SimpleUploadedFile("logo.png", picture()))
        assert Logo.objects.count() == 1

    def test_it_can_be_taken_off_again(self) -> None:
        self.send(logo_file=SimpleUploadedFile("logo.png", picture()))
        self.send(without_logo="on")
        assert Issuer.objects.get().logo is None
        assert Logo.objects.count() == 1  # invoices may show it

    @pytest.mark.parametrize("content", [SVG, bytes(3 * 1024 * 1024)], ids=["SVG", "too large"])
    def test_a_refusal_stands_beside_the_field(self, content: bytes) -> None:
        answer = self.send(logo_file=SimpleUploadedFile("logo.svg", content), footer_text="New")
        assert answer.status_code == 200
        words = said(answer)
        assert "SVG is not taken" in words or "3.0 MB: upload one of at most 2 MB" in words
        assert Issuer.objects.get().footer_text == ""

    def test_a_series_has_capital_letters_and_digits(self) -> None:
        assert self.send(series="e u").status_code == 200
        assert self.send(series="EU").status_code == 302
