"""What looks at the pages finds what is wrong with one that was made wrong."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.looking import faults

pytestmark = pytest.mark.browser

PAGE = """
<!doctype html><html lang="en"><title>Page</title>
<style>body {{ background: #fff; color: #000; transition: all 1s }} :focus-visible {{ outline: 2px solid #00f }}</style>
<body><h1>Page</h1>{}</body></html>
"""


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ('<a href="#here">There</a> <button>Do</button>', ""),
        ('<button style="outline: none">Do</button>', "focus can't be seen on <button"),
        ('<input type="checkbox" aria-label="On" style="outline-width: 0">', "focus can't be seen"),
        ('<a href="#here" style="outline: none; transition: all 9s">There</a>', "focus can't be"),
        ('<p style="color: #999">Pale</p>', "contrast 2.85: Pale"),
        ('<p style="width: 2000px">Wide</p>', "px too wide: <p"),
        ("<input>", "no label: <input"),
        ("<button></button>", "no name: <button"),
        ('<p id="one"></p><p id="one"></p>', "twice the id one"),
        ("<h1>Another</h1>", "2 h1"),
    ],
)
def test_a_fault_is_found(open_page: OpenPage, part: str, fault: str) -> None:
    page = open_page()
    page.set_content(PAGE.format(part))
    found = faults(page)
    if fault:
        assert any(fault in one for one in found), found
    else:
        assert found == []
