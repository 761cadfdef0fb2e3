"""Somebody of finance makes a hybrid plan, from an empty form to what a customer reads of it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.doors import into_the_admin
from tests.browser.looking import HEIGHT, NARROW, WIDE, faults
from tests.installation import Installation

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("PICTURES", "")
"""A folder for a picture of every station, where somebody wants to look."""


class Finance:
    """A person at the admin, with a keyboard and a mouse."""

    def __init__(self, page: Page, demo: Installation) -> None:
        self.page, self.demo, self.taken = page, demo, 0

    def write(self, place: int, **fields: str) -> None:
        for name, text in fields.items():
            field = self.page.locator(f"[name=prices-{place}-{name}]")
            if field.evaluate("(element) => element.tagName") == "SELECT":
                field.select_option(label=text)
            else:
                field.click()
                field.press("Control+a")
                field.press_sequentially(text)

    def add_price(self, place: int, **fields: str) -> None:
        self.page.click("text=Add another Price")
        self.write(place, **fields)

    def add_tier(self, place: int, number: int, **fields: str) -> None:
        self.page.locator(f"[name=prices-{place}-name]").locator(
            "xpath=ancestor::*[.//a[contains(., 'Add another Tier')]][1]"
        ).get_by_text("Add another Tier").click()
        for name, text in fields.items():
            self.page.locator(f"[name=prices-{place}-tiers-{number}-{name}]").press_sequentially(
                text
            )

    def worked(self, text: str) -> None:
        """Wait until the panel beside the form says this."""
        expect(self.page.locator("#pb-live-worked")).to_contain_text(text)

    def picture(self, name: str, *, full: bool = False) -> None:
        self.taken += 1
        if PICTURES:
            path = Path(PICTURES) / f"{self.taken:02}-{name}.png"
            self.page.screenshot(path=path, full_page=full)


def test_a_hybrid_plan_from_nothing_to_its_terms(demo: Installation, open_page: OpenPage) -> None:
    page = open_page()
    into_the_admin(page, demo)
    anna = Finance(page, demo)
    begun = time.monotonic()

    page.goto(f"{demo.url}/admin/catalog/plan/add/")
    page.fill("[name=name]", "Studio")
    page.fill("[name=key]", f"studio-{time.time_ns()}")
    page.click("button:text-is('Save')")
    page.click("a:has-text('Add the first version')")
    page.locator("#id_currency + .select2").click()
    page.keyboard.type("EUR")
    page.keyboard.press("Enter")

    anna.add_price(0, name="Platform base fee", model="Flat fee", unit_amount="499")
    anna.worked("A flat fee of 499.00.")
    anna.picture("base-fee")
    graduated = "Graduated: each unit at its own tier's price"
    anna.add_price(1, name="API calls", model=graduated, metric="API calls")
    anna.write(1, included_quantity="100000")
    anna.worked("A graduated price needs its tiers.")
    anna.add_tier(1, 0, up_to="50000", unit_amount="0.002")
    anna.add_tier(1, 1, unit_amount="0.0015")
    anna.worked("100,000 calls included, then 2.00 per 1,000 for the first 50,000")
    page.locator("summary:has-text('Limits')").nth(1).click()
    anna.write(1, maximum="400")
    anna.worked("costs at most 400.00 EUR, less than the base fee of 499.00 EUR")
    anna.picture("planted-mistake")
    anna.write(1, maximum="4000")
    expect(page.locator("#pb-live-worked")).not_to_contain_text("less than the base fee")

    page.locator("#pb-own").press_sequentially("187340")
    anna.worked("50,000 × 2.00 per 1,000 + 37,340 × 1.50 per 1,000")
    own = page.locator(".pb-own-row")
    expect(own).to_contain_text("187,340 calls")
    expect(own).to_contain_text("156.01")
    anna.picture("worked-example")
    assert not faults(page)
    page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    anna.picture("worked-example-on-a-phone", full=True)
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.documentElement.classList.add('dark')")
    anna.picture("worked-example-in-the-dark", full=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": WIDE, "height": HEIGHT})

    page.click("text=Save and continue editing")
    expect(page.locator("body")).to_contain_text("is saved as a draft")
    page.click("a:has-text('Publish…')")
    expect(page.locator("body")).to_contain_text("150,001 calls")
    anna.picture("publish", full=True)
    page.click("button:has-text('Publish version 1')")
    expect(page.locator("body")).to_contain_text("is published")
    assert time.monotonic() - begun < 300, "more than five minutes"
    anna.picture("published", full=True)

    page.locator("#pb-month-1").fill("187340")
    expect(page.locator("#pb-month-worked")).to_contain_text("EUR 655.01")
    terms = page.locator("a:has-text('Read the terms')").get_attribute("href")
    assert terms
    reader = open_page()
    reader.goto(demo.url + terms)
    expect(reader.locator("main")).to_contain_text("100,000 calls included")
    anna.page = reader
    anna.picture("terms", full=True)
    assert not faults(reader)
    _calculates(anna, demo, open_page)


def _calculates(anna: Finance, demo: Installation, open_page: OpenPage) -> None:
    """Ask the public calculator, as somebody who thinks of buying, and pass the answer on."""
    page = anna.page
    page.click("a:has-text('Work out what you would pay')")
    page.locator("main input[type=number]").first.fill("187340")
    total = page.locator("#worked")
    expect(total).to_contain_text("655.01")
    anna.picture("calculator", full=True)
    assert not faults(page)
    page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    anna.picture("calculator-on-a-phone", full=True)
    expect(page).to_have_url(re.compile("api_calls=187340"))
    other = open_page(java_script_enabled=False)
    other.goto(page.url)
    expect(other.locator("#worked")).to_contain_text("655.01")
    other.locator("main input[type=number]").first.fill("100000")
    other.click("main button[type=submit]")
    expect(other.locator("#worked")).to_contain_text("499.00")
