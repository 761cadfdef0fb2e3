"""Finance in a real browser: from a draft of a plan to an issued invoice, by clicking."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page

from billing.models import Invoice
from catalog.models import PlanVersion
from customers.models import Subscription
from customers.periods import month_after
from tests import factories as make
from tests.billing.months import close, use
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(live_server: Any, open_page: OpenPage) -> Page:
    """A page signed in as Nora, who may do everything."""
    User.objects.create_superuser("nora", "nora@example.test", "calm-and-plain")
    page = open_page()
    page.goto(f"{live_server.url}/admin/")
    page.fill("input[name=username]", "nora")
    page.fill("input[name=password]", "calm-and-plain")
    page.click("button[type=submit]")
    page.wait_for_selector("text=Quarantine")
    return page


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


def test_a_plan_is_sold_a_month_closed_and_its_invoice_issued(page: Page, live_server: Any) -> None:
    calls = make.metric("calls")
    make.draft(
        make.flat("base", "499"),
        make.graduated(calls, "50000 @ 0.002, rest @ 0.0015", included_quantity=100_000),
        plan=make.plan("scale", name="Scale"),
    )
    make.customer("fern", name="Fernwood", manual_approval=True)

    page.click("a:has-text('Plan versions')")
    page.click("#result_list a:has-text('Scale')")
    page.click("text=Publish…")
    page.click("button:has-text('Publish version 1')")

    last_month = month_after(timezone.now().date().replace(day=1), -1)
    page.goto(f"{live_server.url}/admin/customers/subscription/add/")
    _choose(page, "customer", "Fernwood")
    _choose(page, "plan_version", "Scale")
    page.fill("[name=key]", "fern-scale")
    page.fill("[name=starts_on]", last_month.isoformat())
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url("**/subscription/**")
    fern = Subscription.objects.get(key="fern-scale")
    use(fern, datetime(last_month.year, last_month.month, 5, tzinfo=UTC), calls=187_340)

    page.click("a:has-text('Close periods')")
    page.click("button:has-text('Close what is due')")
    page.wait_for_selector("text=Finished")
    page.click("a:has-text('Draft') >> nth=-1")
    page.click("text=Issue…")
    page.click("button:has-text('Issue')")
    page.wait_for_selector("text=Issued INV-")

    issued = Invoice.objects.exclude(number=None).get()
    assert page.is_visible(f"text={issued.number}")


def _choose(page: Page, field: str, text: str) -> None:
    """Choose in a select that the theme lets one search."""
    page.click(f".field-{field} .select2-selection")
    page.fill(".select2-search__field >> nth=-1", text)
    page.click(f".select2-results__option:has-text('{text}')")
