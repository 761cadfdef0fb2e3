"""Pages of HTML laid out as tagged PDF; the only importer of WeasyPrint.

The same page gives the same bytes, on any day (R28). Nothing is fetched meanwhile but the packaged
fonts and the sellers' kept logos. A page is well-formed XML: read that way, and met by the few
default styles it needs instead of those of all HTML, it costs a sixth less.
"""

from __future__ import annotations

import atexit
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from threading import Lock
from typing import Any, ClassVar, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from django.template.loader import render_to_string
from PIL import ImageFile

from billing.electronic.carrying import Carried, carry, name_each_file_once
from billing.glyphs import FONTS
from billing.packing import packed
from billing.presentation.invoice import LOGO
from config.base.errors import Refusal
from config.base.room import with_room
from customers.models import Logo

# What XML 1.0 has no place for (section 2.2).
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DOCTYPE = "<!DOCTYPE html>"

# One font configuration serves the whole process, and Pango's is not made for two threads at once.
_one_at_a_time = Lock()


class PdfEngineMissing(Refusal):
    """This machine lacks the libraries that lay out a PDF."""

    status: ClassVar[int] = 503
    code = "pdf_engine_missing"


class FetchRefused(Exception):
    """Something on a page asked for a file or an address; nothing there may."""


class Engine(NamedTuple):
    """WeasyPrint, with what one process makes once: fonts, style sheet, fetcher."""

    page: Any
    attachment: Any
    fatal: type[BaseException]
    fetcher: Any
    fonts: Any
    stylesheet: Any


def typeset(html: str, identifier: bytes, carried: Carried | None = None) -> bytes:
    """Lay a page out as PDF/UA, or as PDF/A-3b where it carries its invoice as XML.

    :param identifier: of the document, 16 bytes.
    :raises PdfEngineMissing: if Pango or HarfBuzz is not installed.
    :raises FetchRefused: if the page asks for anything that is not packaged or kept.
    """
    with _one_at_a_time, _undisturbed():
        return with_room(lambda: _laid_out(html, identifier, carried))


def _laid_out(html: str, identifier: bytes, carried: Carried | None) -> bytes:
    machine = engine()
    variant = {"pdf_variant": "pdf/a-3b" if carried else "pdf/ua-1", "pdf_tags": True}

    def finish(document: Any, pdf: Any) -> None:
        name_each_file_once(document, pdf)

        def write(file: Any, *_: Any) -> None:
            del pdf.write  # or all would stay in memory, as it refers to itself
            file.write(packed(pdf, identifier))

        pdf.write = write

    try:
        document = machine.page(_tree(html)).render(
            font_config=machine.fonts, stylesheets=[machine.stylesheet], **variant
        )
        if carried:
            carry(document.metadata, carried, attachment=machine.attachment)
        pdf: bytes = document.write_pdf(finisher=finish, **variant)
    except machine.fatal as error:  # a BaseException, which nobody above would catch
        raise FetchRefused(str(error)) from error
    return pdf


def _tree(html: str) -> Element:
    tree: Element = fromstring(_NO_CHARACTER.sub("", html).strip().removeprefix(_DOCTYPE))
    return tree


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold the garbage collector back: it takes a third of the time a long invoice needs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@cache
def engine() -> Engine:
    """Return what lays pages out in this process.

    :raises PdfEngineMissing: if Pango or HarfBuzz is not installed.
    """
    # Imported here, for a machine without Pango must still start, and say what it lacks.
    try:
        import weasyprint  # noqa: PLC0415
        from cssselect2 import ElementWrapper  # noqa: PLC0415
        from weasyprint.text import line_break  # noqa: PLC0415
        from weasyprint.text.fonts import FontConfiguration  # noqa: PLC0415
        from weasyprint.urls import (  # noqa: PLC0415
            FatalURLFetchingError,
            URLFetcher,
            URLFetcherResponse,
        )

        # Its import lets the whole process take torn pictures; whoever uploads one is to hear so.
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    except OSError as error:
        raise PdfEngineMissing(
            "PDFs need Pango and HarfBuzz, which this machine lacks: "
            "apt-get install libpangoft2-1.0-0 libharfbuzz-subset0"
        ) from error

    class PackagedOnly(URLFetcher):  # type: ignore[misc] # the library has no types
        """Answers packaged fonts, kept logos and pictures that are inline; refuses all else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            if url.startswith("data:image/"):
                return super().fetch(url, headers)
            if url.startswith(LOGO):
                return URLFetcherResponse(url, _logo(url.removeprefix(LOGO)))
            name = url.removeprefix("fonts:")
            if name != url and name in _packaged():
                return URLFetcherResponse(url, (FONTS / name).read_bytes())
            raise FetchRefused(f"A page fetches nothing: {url[:200]}")

    class Kept(line_break.Layout):  # type: ignore[misc] # the library has no types
        """A line of text that stays laid out until it is painted.

        The library lets go of it in between, and does the same work once more to paint it.
        """

        def set_text(self, text: str, justify: bool = False) -> None:
            super().set_text(text, justify)
            if self.text.isprintable():  # one paragraph, as which it is painted
                line_break.pango.pango_layout_set_single_paragraph_mode(self.layout, True)

        def deactivate(self) -> None:
            pass

        def reactivate(self, style: Any) -> None:
            if self.justification_spacing:
                super().reactivate(style)

    line_break.Layout = Kept
    fetcher = PackagedOnly(allowed_protocols=("data",), allow_redirects=False)
    defaults = weasyprint.CSS(string=render_to_string("invoice/defaults.css"), url_fetcher=fetcher)

    class Node(ElementWrapper):  # type: ignore[misc] # the library has no types
        """An element of which only the head is searched, where all our metadata and styles are."""

        def query_all(self, *selectors: str) -> Iterator[Any]:
            found: Iterator[Any] = super(Node, next(self.iter_children())).query_all(*selectors)
            return found

    class Page(weasyprint.HTML):  # type: ignore[misc] # the library has no types
        """A page that is read already, with the defaults of our own elements only."""

        def __init__(self, tree: Element) -> None:
            self.base_url = None
            self.url_fetcher = fetcher
            self.media_type = "print"
            self.wrapper_element = Node.from_html_root(tree, content_language=None)
            self.etree_element = self.wrapper_element.etree_element

        def _ua_stylesheets(self, forms: bool = False) -> list[Any]:
            return [defaults]

    fonts = FontConfiguration()
    stylesheet = weasyprint.CSS(
        string=render_to_string("invoice/invoice.css"),
        font_config=fonts,
        url_fetcher=fetcher,
    )
    # lets the fonts' temporary folder go while that still works
    atexit.register(engine.cache_clear)
    return Engine(Page, weasyprint.Attachment, FatalURLFetchingError, fetcher, fonts, stylesheet)


@lru_cache(maxsize=32)
def _logo(sha256: str) -> bytes:
    """Return a seller's picture, which stays the same under its hash."""
    found = Logo.objects.filter(pk=sha256).values_list("png", flat=True).first()
    if found is None:
        raise FetchRefused(f"No such logo: {sha256[:64]}")
    return bytes(found)


@cache
def _packaged() -> frozenset[str]:
    return frozenset(path.name for path in FONTS.iterdir() if path.suffix in (".ttf", ".woff2"))
