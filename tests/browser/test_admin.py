"""Finance in a real browser: publish a plan, and read an invoice in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, sync_playwright

from catalog.models import PlanVersion
from tests import factories as make
from tests.billing.months import close, use

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page signed in as Nora, who may do everything; complaints of the browser fail the test."""
    if not CHROMIUM:
        missing = "Chromium is missing: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright runs a loop in this thread
    User.objects.create_superuser("nora", "nora@example.test", "calm-and-plain")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(f"{live_server.url}/admin/")
        page.fill("input[name=username]", "nora")
        page.fill("input[name=password]", "calm-and-plain")
        page.click("button[type=submit]")
        page.wait_for_selector("text=Overview")
        yield page
        browser.close()
    assert complaints == []


def test_a_plan_is_published_after_a_look_at_what_it_means(page: Page, live_server: Any) -> None:
    draft = make.draft(
        make.flat("base", "499"), make.graduated(make.metric(), "50000 @ 0.002, rest @ 0.0015")
    )
    page.goto(f"{live_server.url}/admin/catalog/planversion/{draft.pk}/change/")
    page.click("text=Publish")
    assert page.is_visible("text=Its prices can never be changed again")
    assert page.is_visible("text=2.00 per 1,000 for the first 50,000")
    page.click("button:has-text('Publish version 1')")
    page.wait_for_load_state()
    assert PlanVersion.objects.get(pk=draft.pk).status == "published"


def test_an_invoice_is_read_in_place(page: Page, live_server: Any) -> None:
    version = make.published(
        make.flat("base", "499"),
        make.graduated(make.metric("calls"), "50000 @ 0.002, rest @ 0.0015", key="calls"),
    )
    fern = make.subscription(make.customer("fern"), version, starts_on=date(2026, 9, 1))
    use(fern, datetime(2026, 9, 5, tzinfo=UTC), calls=87340)
    september = close(datetime(2026, 10, 2, 1, tzinfo=UTC))[-1]
    page.goto(f"{live_server.url}/admin/billing/invoice/{september.pk}/change/")
    for figure in ("87,340", "2.00 per 1,000", "100.00", "56.01", "156.01", "655.01"):
        assert page.locator(f"text={figure}").first.is_visible(), figure
