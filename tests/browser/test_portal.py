"""A customer in a real browser: in with a link from a mail, and a line explained, without a script."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from playwright.sync_api import Page, sync_playwright

from config.base.services import outbox
from customers.models import Contact
from tests import factories as make
from tests.billing.months import close, use

CHROMIUM = shutil.which("chromium") or ""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A phone that runs no scripts; complaints of the browser fail the test."""
    if not CHROMIUM:
        missing = "Chromium is missing: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright runs a loop in this thread
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(
            viewport={"width": 390, "height": 844}, java_script_enabled=False, locale="en-GB"
        )
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        yield page
        browser.close()
    assert complaints == []


def test_ada_signs_in_with_a_mail_and_checks_a_line(
    page: Page, live_server: Any, settings: Any
) -> None:
    settings.PUBLIC_URL = live_server.url
    today = timezone.now()
    starts = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    calls = make.metric("api_calls", name="API calls")
    version = make.published(
        make.flat(),
        make.graduated(calls, "rest @ 0.002", name="API calls", included_quantity=Decimal(100_000)),
    )
    subscription = make.subscription(
        make.customer("fernwood", locale="en-GB"), version, starts_on=starts.date()
    )
    use(subscription, datetime(starts.year, starts.month, 9, tzinfo=UTC), calls=120_000)
    close(today.replace(day=1, hour=0) + timedelta(hours=30), now=today)
    Contact.objects.create(customer=subscription.customer, email="ada@fernwood.example")

    page.goto(f"{live_server.url}/portal/")
    page.fill("#email", "ada@fernwood.example")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Look in your mail")
    outbox.deliver_due(at=timezone.now())  # unless the server did so already
    [link] = re.findall(r"http\S+/portal/\S+", str(mail.outbox[-1].body))
    page.goto(link)
    page.click("main button")
    page.wait_for_selector("h1:has-text('so far')")
    page.click("nav >> text=Invoices")
    page.click("main table a >> nth=0")
    page.focus("summary >> nth=1")
    assert not page.is_visible("text=Over the allowance")
    page.keyboard.press("Enter")
    assert page.is_visible("text=Over the allowance")
    assert page.is_visible("text=20,000 × 2.00 per 1,000")
    assert page.is_visible("td:has-text('40.00') >> nth=0")
    page.click("footer >> text=Sign out")
    page.goto(f"{live_server.url}/portal/")
    assert page.url.endswith("/portal/sign-in/")
