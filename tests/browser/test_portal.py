"""A customer in a real browser: in with a link from a mail, and a line that explains itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from config.base.services import outbox
from customers.models import Contact
from tests import factories as make
from tests.billing.months import close, use
from tests.browser.conftest import OpenPage
from tests.browser.doors import into_the_portal
from tests.browser.looking import NARROW
from tests.installation import Installation

pytestmark = pytest.mark.browser


def test_a_line_explains_itself(demo: Installation, open_page: OpenPage) -> None:
    page = open_page()
    into_the_portal(page, demo)
    page.click("main table a:has-text('INV-') >> nth=0")
    line = page.locator("details:has-text('API calls')").first
    line.locator("summary").click()
    rows = [
        [cell.inner_text() for cell in row.locator("td").all()]
        for row in line.locator(".steps tbody tr").all()
    ]
    assert _number(rows[0][0]) == 100_000, "the allowance is the first row"
    for quantity, price, amount in (row for row in rows if row[1]):  # a rounding has no price
        each, _, per = price.partition(" per ")
        assert _number(quantity) * _number(each) / _number(per or "1") == _number(amount)
    net = line.locator(".steps tfoot td.amount").inner_text()
    assert sum(_number(amount) for *_, amount in rows) == _number(net)


@pytest.mark.django_db(transaction=True)
def test_ada_signs_in_with_a_mail_and_checks_a_line_on_a_phone_without_scripts(
    open_page: OpenPage, live_server: Any, settings: Any
) -> None:
    page = open_page(
        viewport={"width": NARROW, "height": 844}, java_script_enabled=False, locale="en-GB"
    )
    settings.PUBLIC_URL = live_server.url
    today = timezone.now()
    last_month = (today.replace(day=1, hour=0) - timedelta(days=1)).replace(day=1)
    starts = (last_month - timedelta(days=1)).replace(day=1)
    calls = make.metric("api_calls", name="API calls")
    version = make.published(
        make.flat(),
        make.graduated(calls, "rest @ 0.002", name="API calls", included_quantity=Decimal(100_000)),
    )
    subscription = make.subscription(
        make.customer("fernwood", locale="en-GB"), version, starts_on=starts.date()
    )
    use(subscription, datetime(starts.year, starts.month, 9, tzinfo=UTC), calls=120_000)
    close(last_month + timedelta(hours=30), now=today)
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


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))
