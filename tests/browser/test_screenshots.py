"""The pictures of the README, taken of the demo.

    SCREENSHOTS=1 .venv/bin/python -m pytest tests/browser/test_screenshots.py

writes them into config/static/docs; without the variable they are only taken, and looked at for
their size.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser.conftest import OpenPage
from tests.browser.doors import into_the_admin, into_the_portal
from tests.browser.looking import WIDE
from tests.installation import ROOT, Installation

pytestmark = pytest.mark.browser
BYTES_LIMIT = 250_000
COLOURS = 128

Keep = Callable[[str, bytes], None]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Write a picture, in few colours, where it belongs."""
    folder = ROOT / "config/static/docs" if os.environ.get("SCREENSHOTS") else tmp_path

    def write(name: str, content: bytes) -> None:
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        assert picture.width == WIDE
        small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(folder / name, optimize=True)
        assert (folder / name).stat().st_size < BYTES_LIMIT

    return write


def test_the_portal(demo: Installation, open_page: OpenPage, keep: Keep) -> None:
    page = open_page()
    into_the_portal(page, demo)
    keep("portal-usage.png", _shot(page, 970))
    page.click("main table a:has-text('INV-') >> nth=0")
    line = page.locator("details:has-text('API calls')").first
    line.locator("summary").click()
    keep("portal-invoice.png", _shot(page, 1000))


def test_the_admin(demo: Installation, open_page: OpenPage, keep: Keep) -> None:
    page = open_page()
    into_the_admin(page, demo)
    page.goto(f"{demo.url}/admin/")
    keep("admin-home.png", _shot(page, 880))


def test_the_invoice(demo: Installation, tmp_path: Path, keep: Keep) -> None:
    if not shutil.which("pdftoppm"):
        pytest.skip("pdftoppm is missing: apt-get install poppler-utils")
    newest = _number_on_screen(demo)
    pdf = demo.folder / "demo" / f"{newest}.pdf"
    page = tmp_path / "page"
    subprocess.run(
        [
            "pdftoppm",
            "-png",
            "-singlefile",
            "-scale-to-x",
            str(WIDE),
            "-scale-to-y",
            "-1",
            pdf,
            page,
        ],
        check=True,
    )
    keep("invoice.png", page.with_suffix(".png").read_bytes())


def _shot(page: Page, height: int) -> bytes:
    page.set_viewport_size({"width": WIDE, "height": height})
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    return page.screenshot()


def _number_on_screen(demo: Installation) -> str:
    """Return the number of the newest invoice of the demo's first customer."""
    newest = (
        "from billing.models import Invoice; "
        "print(Invoice.objects.filter(customer__key='fernwood').exclude(number=None)"
        ".order_by('-number').first().number)"
    )
    return demo.manage("shell", "--no-imports", "-c", newest).strip()
