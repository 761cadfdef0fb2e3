"""Each check of invoices and periods finds the corruption it is there for, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection

from billing import documents
from billing.books import BOOKS
from billing.deliveries import render_invoice
from billing.models import (
    BillingPeriod,
    DocumentSequence,
    Invoice,
    InvoiceAllowance,
    InvoiceDocument,
    InvoiceLine,
    OpenItem,
    PeriodCharge,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.services import issuing
from config.base import guards
from config.base.audit import SYSTEM
from config.base.models import Outbox
from customers.models import Issuer
from tests import factories as make
from tests.billing.months import close, use

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 1, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def books(settings: LazySettings, tmp_path: Path) -> Any:
    """Two months of two customers, taxed, with a coupon, a void and a discarded invoice, a PDF."""
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
    calls = make.metric("api_calls")
    version = make.published(
        make.flat(), make.graduated(calls, "100 @ 0.003, rest @ 0.001", name="Calls")
    )
    for key in ("ada", "bob"):
        sold = make.subscription(make.customer(key), version, key=key)
        use(sold, datetime(2026, 11, 5, tzinfo=UTC), calls=150)
        use(sold, datetime(2026, 12, 5, tzinfo=UTC), calls=7)
    make.applied_coupon(sold, make.coupon())
    for moment in (datetime(2026, 12, 2, 9, tzinfo=UTC), NOW):
        with time_machine.travel(moment, tick=False):
            close(moment)
    last = Invoice.objects.order_by("-pk")[:2]
    issuing.void_invoice(
        invoice_id=last[0].pk, reason="A test.", reopen=False, at=NOW, actor=SYSTEM
    )
    documents.store_document(last[1].pk)
    Outbox.objects.update(due_at=NOW)  # no worker runs here
    with time_machine.travel(NOW, tick=False):
        yield


def audited() -> dict[str, list[dict[str, str]]]:
    """Audit; return what was found, by check."""
    out = StringIO()
    with contextlib.suppress(SystemExit):
        call_command("audit", "--json", stdout=out)
    found: dict[str, list[dict[str, str]]] = {}
    for line in out.getvalue().splitlines():
        row = json.loads(line)
        found.setdefault(row["check"], []).append(row)
    return found


def unguarded() -> None:
    """Let the rows of this test be changed as only who owns the database could."""
    if connection.vendor != "postgresql":
        guards.drop_all(connection=connection)
        return
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what waits keeps tables as they are
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid::regclass::text ~ '^(billing|customers)_'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


def a(model: Any, **fields: Any) -> Any:
    return model.objects.filter(**fields).order_by("pk")[:1].get()


def change(row: Any, **fields: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**fields)


def fee() -> InvoiceLine:
    found: InvoiceLine = a(InvoiceLine, kind="fee")
    return found


def usage() -> InvoiceLine:
    found: InvoiceLine = a(InvoiceLine, kind="usage")
    return found


def a_row_s_amount() -> None:
    line = usage()
    line.explanation["steps"][0]["amount"] = "0.4"
    change(line, explanation=line.explanation)


def the_residue() -> None:
    line = usage()
    line.explanation["rounding"] = "0.01"
    change(line, explanation=line.explanation)


def another_s_snapshot() -> None:
    change(usage(), snapshot=UsageSnapshot.objects.latest("pk"))


def another_s_period() -> None:
    other = BillingPeriod.objects.get(subscription__key="bob", number=1)
    change(fee(), period=other)


def another_currency() -> None:
    version = make.published(make.flat(), currency="USD")
    change(fee(), price=version.prices.get())


def a_number_lost() -> None:
    lost = Invoice.objects.get(number="INV-2026-000002")
    change(lost, sequence=99)


def a_date_that_falls() -> None:
    change(
        Invoice.objects.get(number="INV-2026-000001"), issue_date=date(2026, 12, 31), due_date=NOW
    )


def a_gap() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=1)
    change(period, start_date=date(2026, 12, 2))


def another_zone() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=1)
    change(period, time_zone="Asia/Tokyo")


def a_zone_that_would_have_held() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=1)
    last_day = period.end_date - timedelta(days=1)
    change(period.subscription, zone_changes={last_day.isoformat(): "Asia/Tokyo"})


def a_late_first() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=0)
    change(period.subscription, starts_on=date(2026, 10, 31))


def billed_twice() -> None:
    charge = a(PeriodCharge, purpose="regular")
    PeriodCharge.objects.create(
        subscription=charge.subscription, period=charge.period, purpose="final",
        invoice=charge.invoice,
    )  # fmt: skip


def never_billed() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=1)
    InvoiceLine.objects.filter(period=period).update(
        period=BillingPeriod.objects.get(subscription__key="ada", number=0)
    )
    PeriodCharge.objects.filter(period=period).delete()


def never_billed_before_its_plan_changed() -> None:
    never_billed()
    change(BillingPeriod.objects.get(subscription__key="ada", number=1), recast_at=NOW)


def a_claim_that_outlives() -> None:
    change(a(PeriodCharge, is_live=False), is_live=True)


def a_claim_that_is_gone() -> None:
    change(a(PeriodCharge, is_live=True), is_live=False)


def a_period_forgotten() -> None:
    period = BillingPeriod.objects.get(subscription__key="ada", number=2)
    change(period, usage_cutoff=NOW - timedelta(days=1))


def a_message_lost() -> None:
    Outbox.objects.all().delete()


def a_file_lost() -> None:
    documents.document_path(InvoiceDocument.objects.get().sha256).unlink()


def a_file_changed() -> None:
    documents.document_path(InvoiceDocument.objects.get().sha256).write_bytes(b"%PDF-")


def a_file_of_nobody() -> None:
    path = documents.document_path("ab" * 32)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    os.utime(path, (0, 0))


def a_total_lost() -> None:
    invoice = fee().invoice
    change(invoice, net_total=0, total=0, tax_total=0)
    OpenItem.objects.filter(invoice=invoice).update(total=0)


def a_tax_lost() -> None:
    TaxSubtotal.objects.filter(invoice=fee().invoice).delete()


def tax_at_another_rate() -> None:
    said = {"currency": "USD", "base": "EUR", "quote": "USD", "rate": "2", "amount": "1.00"}
    change(Invoice.objects.get(number="INV-2026-000001"), tax_in_books=said)


CORRUPTIONS: list[tuple[Callable[[], object], set[str]]] = [
    (lambda: change(fee(), net=Decimal("498.99")),
     {"invoices_add_up", "taxes_follow_from_lines", "lines_are_what_their_rows_come_to"}),
    (a_total_lost, {"invoices_add_up"}),
    (lambda: change(a(InvoiceAllowance), amount=1), {"invoices_add_up", "taxes_follow_from_lines"}),
    (lambda: change(a(TaxSubtotal), base=1), {"taxes_follow_from_lines"}),
    (lambda: change(a(TaxSubtotal), amount=1), {"taxes_follow_from_lines", "invoices_add_up"}),
    (tax_at_another_rate, {"tax_in_books_follows_from_its_rate"}),
    (a_tax_lost, {"taxes_follow_from_lines", "invoices_add_up"}),
    (lambda: change(fee(), gross=fee().net), {"included_taxes_follow_from_prices"}),
    (a_row_s_amount, {"lines_are_what_their_rows_come_to"}),
    (the_residue, {"lines_are_what_their_rows_come_to"}),
    (another_s_snapshot, {"usage_is_charged_from_its_snapshot"}),
    (another_s_period, {"invoices_are_of_one_subscription_and_currency"}),
    (another_currency, {"invoices_are_of_one_subscription_and_currency"}),
    (a_number_lost, {"numbers_have_no_gap"}),
    (lambda: DocumentSequence.objects.update(next_number=9), {"numbers_have_no_gap"}),
    (lambda: DocumentSequence.objects.all().delete(), {"numbers_have_no_gap"}),
    (a_date_that_falls, {"numbers_and_dates_rise_together"}),
    (lambda: change(Invoice.objects.get(number="INV-2026-000001"), likeness="x"),
     {"invoices_are_compared_with_their_like"}),
    (a_gap, {"periods_touch"}),
    (a_late_first, {"periods_touch"}),
    (another_zone, {"periods_follow_their_zone"}),
    (a_zone_that_would_have_held, {"periods_follow_their_zone"}),
    (billed_twice, {"periods_are_billed_once"}),
    (never_billed, {"periods_are_billed_once", "usage_is_charged_from_its_snapshot"}),
    (never_billed_before_its_plan_changed,
     {"periods_are_billed_once", "usage_is_charged_from_its_snapshot"}),
    (a_claim_that_outlives, {"charges_live_with_their_invoice"}),
    (a_claim_that_is_gone, {"charges_live_with_their_invoice"}),
    (a_period_forgotten, {"periods_close_in_time"}),
    (a_message_lost, {"documents_are_as_issued"}),
    (a_file_lost, {"documents_are_as_issued"}),
    (a_file_changed, {"documents_are_as_issued"}),
    (a_file_of_nobody, {"documents_are_as_issued"}),
]  # fmt: skip


def test_what_the_services_write_contradicts_nothing() -> None:
    assert audited() == {}
    assert Invoice.objects.count() == 6
    assert {"void", "issued"} == set(Invoice.objects.values_list("status", flat=True))


@pytest.mark.unaudited
@pytest.mark.parametrize(("corrupt", "checks"), CORRUPTIONS)
def test_each_check_finds_its_corruption_and_no_other(
    corrupt: Callable[[], object], checks: set[str]
) -> None:
    unguarded()
    corrupt()
    assert set(audited()) == checks


def test_what_was_void_before_its_document_was_made_needs_none() -> None:
    void = Invoice.objects.get(status="void")
    message = Outbox.objects.get(key=void.uuid)
    render_invoice(message, NOW)
    change(message, status="done", done_at=NOW)
    assert not void.documents.exists()
    assert audited() == {}


def test_every_check_has_a_corruption() -> None:
    assert {check for _, checks in CORRUPTIONS for check in checks} == {one.name for one in BOOKS}


@pytest.mark.unaudited
def test_a_difference_is_told() -> None:
    unguarded()
    change(a(TaxSubtotal), amount=1)
    [row] = audited()["taxes_follow_from_lines"]
    invoice = a(TaxSubtotal).invoice
    assert row["id"] == f"invoice {invoice.uuid}, S 19.0000 %, tax"
    assert (row["expected"], row["actual"], row["difference"]) == ("94.81", "1.0000", "-93.8100")
