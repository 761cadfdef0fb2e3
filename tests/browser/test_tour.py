"""Handbook, portal and admin in a real browser: narrow and wide, light and dark, by the keyboard."""

from __future__ import annotations

import pytest
from django.urls import resolve
from playwright.sync_api import Page

from config.docs import PAGES
from tests.browser.conftest import OpenPage
from tests.browser.doors import into_the_admin, into_the_portal
from tests.browser.looking import faults
from tests.installation import Installation

pytestmark = pytest.mark.browser
HANDBOOK = ["/docs/", *(f"/docs/{page.slug}/" for page in PAGES)]


def test_the_handbook(demo: Installation, open_page: OpenPage) -> None:
    page = open_page()
    found = []
    for path in HANDBOOK:
        page.goto(demo.url + path)
        found += [f"{path} {fault}" for fault in faults(page)]
    assert not found, "\n".join(found)


def test_a_command_is_copied_with_its_button(demo: Installation, open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{demo.url}/docs/operators/")
    page.click("pre[data-run] >> nth=0 >> text=Copy")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "sh config/install.sh\n"


def test_the_portal(demo: Installation, open_page: OpenPage) -> None:
    """All pages that links lead to from the first one, in English and in German."""
    page = open_page()
    page.goto(f"{demo.url}/portal/")
    found = [f"{page.url} {fault}" for fault in faults(page)]
    into_the_portal(page, demo)
    visited = _walk(page, demo, found)
    page.click("button[lang=de]")
    page.wait_for_selector("html[lang^=de]")
    assert _walk(page, demo, found) == visited
    assert len(visited) >= 6
    assert not found, "\n".join(found)


def _walk(page: Page, demo: Installation, found: list[str]) -> set[str]:
    """Visit what the pages of the portal link to, of each kind of page one; note what is wrong."""
    paths, visited = ["/portal/"], set()
    while paths:
        path = paths.pop(0)
        kind = resolve(path.partition("?")[0]).view_name
        if kind in visited or kind.endswith(("pdf", "xml")) or "csv" in path:
            continue
        visited.add(kind)
        page.goto(demo.url + path)
        paths += _hrefs(page, "a[href^='/portal/']")
        found += [f"{path} {fault}" for fault in faults(page)]
    return visited


def test_the_admin(demo: Installation, open_page: OpenPage) -> None:
    """All places of the sidebar, and of each the first row and the form for a new one."""
    page = open_page()
    into_the_admin(page, demo)
    paths = ["/admin/", *_hrefs(page, "#nav-sidebar a[href^='/admin/']")]
    found = []
    for path in list(paths):
        page.goto(demo.url + path)
        row = _hrefs(page, "#result_list tbody tr:first-child :is(th, td) a")[:1]
        form = _hrefs(page, "a.addlink[href$='/add/']")[:1]
        found += [f"{path} {fault}" for fault in faults(page)]
        for further in row + form:
            page.goto(demo.url + further)
            found += [f"{further} {fault}" for fault in faults(page)]
            paths.append(further)
    assert not found, "\n".join(found)
    assert sum("/change/" in path for path in paths) >= 10
    assert sum("/add/" in path for path in paths) >= 5


def _hrefs(page: Page, selector: str) -> list[str]:
    """Return where the links lead, each once, in order."""
    script = """links => links.map((link) => new URL(link.getAttribute("href"), document.baseURI))
        .map((url) => url.pathname + url.search)"""
    return list(dict.fromkeys(page.eval_on_selector_all(selector, script)))
