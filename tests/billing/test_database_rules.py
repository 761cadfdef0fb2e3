"""What the database refuses in billing: each named rule, fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.db.models import F

from billing.models import (
    BillingPeriod,
    BillingRun,
    BillWhen,
    DocumentSequence,
    ExchangeRate,
    Invoice,
    InvoiceAllowance,
    InvoiceAnnex,
    InvoiceDocument,
    InvoiceLine,
    LateUsage,
    PeriodCharge,
    PlanMove,
    PlanMoveRow,
    SoldAddOn,
    TaxRate,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.services.issuing import void_invoice
from billing.triggers import GUARDS
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from tests import factories as make
from tests.billing.mail_rules import MAIL_RULES
from tests.billing.money_rules import MONEY_RULES
from tests.billing.months import close
from tests.billing.review_rules import REVIEW_RULES

pytestmark = pytest.mark.django_db

NOV, DEC = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, 1, tzinfo=UTC)


FIRST = NOV.date()


def november() -> Invoice:
    """A draft with a fee, a usage line and a coupon; the opening before it is issued."""
    version = make.published(make.flat("base", "10"), make.graduated(make.metric(), "rest @ 1"))
    subscription = make.subscription(make.customer(), version)
    make.applied_coupon(subscription, make.coupon(percent=50, duration="forever"))
    return close(DEC)[-1]


def over_nothing() -> Invoice:
    """A draft that lost its lines, but not its total."""
    found = november()
    found.lines.all().delete()
    return found


def issued() -> Invoice:
    november()
    return Invoice.objects.get(status="issued")


def voided() -> Invoice:
    return void_invoice(invoice_id=issued().pk, reason="x", reopen=False, at=DEC, actor=SYSTEM)


def change(row: Callable[[], models.Model], **fields: Any) -> Callable[[], Any]:
    """Update one row past every model's own checks."""

    def write() -> None:
        found = row()
        type(found)._default_manager.filter(pk=found.pk).update(**fields)

    return write


def delete(row: Callable[[], models.Model]) -> Callable[[], Any]:
    def write() -> None:
        found = row()
        type(found)._default_manager.filter(pk=found.pk)._raw_delete("default")

    return write


def twice(row: Callable[[], Any], **fields: Any) -> Callable[[], Any]:
    def write() -> None:
        found = row()
        found.pk, found._state.adding = None, True
        for name, value in fields.items():
            setattr(found, name, value)
        found.save(force_insert=True)

    return write


def period() -> BillingPeriod:
    return november().charges.get().period


def run() -> BillingRun:
    return BillingRun.objects.create(as_of=NOV, started_at=NOV, started_by="ada")


def charge() -> PeriodCharge:
    return november().charges.get()


def shared(invoice: Invoice) -> Invoice:
    """Let others join a draft."""
    Invoice.objects.filter(pk=invoice.pk).update(group_key="1 1 EUR S 2026-12-01 by-hand")
    return Invoice.objects.get(pk=invoice.pk)


def line(kind: str = "fee") -> Callable[[], InvoiceLine]:
    return lambda: november().lines.get(kind=kind)


def allowance() -> InvoiceAllowance:
    return november().allowances.get()


def late(**fields: Any) -> Callable[[], LateUsage]:
    """Late usage of November that is held, or is as `fields` say."""

    def make_row() -> LateUsage:
        usage = line("usage")()
        of_the_line = {name: getattr(usage, name) for name in ("price", "period", "snapshot")}
        held = {"status": "held", "held_for": "age", "currency": "EUR", "found_at": DEC}
        amounts = {"billed_quantity": 1, "quantity": 2, "amount": 1}
        row: dict[str, Any] = {**of_the_line, "invoice": usage.invoice, **held, **amounts}
        return LateUsage.objects.create(**{**row, **fields})

    return make_row


def sold() -> SoldAddOn:
    """A sale on a draft of its own."""
    version = make.published(make.flat("base", "10"))
    subscription = make.subscription(make.customer(), version)
    return make.sold_add_on(subscription, bill=BillWhen.AT_ONCE)


def sold_and_issued() -> SoldAddOn:
    found = sold()
    close(NOV)
    return found


def line_of_a_sale() -> InvoiceLine:
    return sold().lines.get()


def line_of_anothers_sale() -> None:
    other = make.sold_add_on(sold().subscription)
    twice(InvoiceLine.objects.get, sold_add_on=other, position=2, uuid=uuid4())()


def tax() -> TaxSubtotal:
    return november().taxes.get()


def snapshot() -> UsageSnapshot:
    november()
    return UsageSnapshot.objects.get()


def move() -> PlanMove:
    before, after = make.published(), make.published()
    made = PlanMove.objects.create(
        from_version=before, to_version=after, started_by="ada", started_at=NOV
    )
    made.rows.create(subscription=make.subscription(version=before))
    return made


def move_row() -> PlanMoveRow:
    return move().rows.get()


def moved_row() -> PlanMoveRow:
    row = move_row()
    row.outcome, row.starts_on, row.terms_seen = "moved", date(2026, 11, 1), "a"
    row.save()
    return row


def sequence() -> DocumentSequence:
    issued()
    return DocumentSequence.objects.get()


def annex() -> InvoiceAnnex:
    return InvoiceAnnex.objects.create(invoice=issued(), usage=[], portal_url="https://x.example/")


def document() -> InvoiceDocument:
    return InvoiceDocument.objects.create(invoice=issued(), sha256="a" * 64, size_bytes=1)


def new_line() -> None:
    first = issued().lines.first()
    assert first is not None
    first.pk, first.uuid, first.position = None, uuid4(), 9
    first._state.adding = True
    first.save(force_insert=True)


def new_allowance() -> None:
    first = issued().allowances.get()
    first.pk, first.position, first.tax_rate = None, 9, Decimal(19)
    first._state.adding = True
    first.save(force_insert=True)


def new_tax() -> None:
    TaxSubtotal.objects.create(
        invoice=issued(), category="E", rate=Decimal(0), base=Decimal(0), amount=Decimal(0)
    )


def same_number_twice() -> None:
    one = issued()
    other = november()
    numbered = ("year", "sequence", "number", "issued_at", "issue_date", "due_date")
    Invoice.objects.filter(pk=other.pk).update(
        status="issued", template_version=1, **{name: getattr(one, name) for name in numbered}
    )


def tax_rate(**fields: Any) -> Callable[[], Any]:
    terms = {"country": "DE", "percent": 19, "valid_from": FIRST, **fields}
    return lambda: TaxRate.objects.create(**terms)


def exchange_rate(**fields: Any) -> Callable[[], Any]:
    terms = {"base": "EUR", "quote": "USD", "rate": 2, "date": FIRST, "source": "a bank"}
    return lambda: ExchangeRate.objects.create(**terms | fields)


def taxed_twice(**fields: Any) -> None:
    tax_rate()()
    tax_rate(**fields)()


def prolonged() -> None:
    tax_rate(valid_until=FIRST)()
    tax_rate(valid_from=date(2026, 12, 1))()
    TaxRate.objects.filter(valid_until=FIRST).update(valid_until=None)


RULES: dict[str, Callable[[], Any]] = {
    "run_status_is_known": lambda: BillingRun.objects.create(
        as_of=NOV, started_at=NOV, started_by="ada", status="x", finished_at=NOV
    ),
    "run_finished_when_dated": change(run, finished_at=NOV),
    "period_number_once_per_subscription": twice(period, uuid=uuid4()),
    "period_status_is_known": change(period, status="x", closed_at=None),
    "period_ends_after_it_starts": change(
        lambda: november().lines.get(kind="fee").subscription.billing_periods.get(number=1),
        end_date=date(2026, 12, 1),
    ),
    "period_lies_in_its_nominal_one": change(period, nominal_end_date=date(2026, 11, 2)),
    "period_closed_exactly_when_dated": change(period, closed_at=None),
    "period_parked_exactly_with_its_trouble": change(period, trouble="x"),
    "period_dates_frozen_once_closed": change(period, end_date=date(2026, 11, 20)),
    "period_starts_where_the_one_before_ends": twice(period, number=2, uuid=uuid4()),
    "snapshot_once_per_period_metric_and_revision": twice(snapshot),
    "snapshot_never_changes": change(snapshot, quantity=1),
    "snapshot_is_never_deleted": delete(snapshot),
    "period_billed_once_per_purpose": twice(charge),
    "charge_purpose_is_known": change(charge, purpose="x"),
    "charge_is_of_a_period_not_one_off": change(charge, purpose="one_off"),
    "charge_of_a_period_needs_no_cause": change(charge, cause="x"),
    "sequence_once_per_year": twice(sequence),
    "sequence_counts_from_one": lambda: DocumentSequence.objects.create(
        issuer=Issuer.objects.get(), year=2026, next_number=0
    ),
    "sequence_never_counts_back": change(sequence, next_number=1),
    "sequence_is_never_deleted": delete(sequence),
    "invoice_status_is_known": change(november, status="x"),
    "invoice_number_once_per_series": same_number_twice,
    "invoice_numbered_exactly_when_issued": change(november, status="issued"),
    "invoice_unissued_has_no_number_or_date": change(november, number="INV-1"),
    "invoice_void_exactly_when_dated": change(voided, voided_at=None),
    "invoice_discarded_exactly_when_dated": change(november, status="discarded", reason="x"),
    "invoice_void_or_discarded_with_a_reason": change(
        november, status="discarded", discarded_at=DEC
    ),
    "invoice_due_not_before_issue": change(
        november,
        status="issued",
        number="INV-2026-000009",
        year=2026,
        sequence=9,
        issued_at=DEC,
        issue_date=date(2026, 12, 1),
        due_date=date(2026, 11, 30),
        template_version=1,
    ),
    "invoice_total_is_net_and_tax": change(november, total=Decimal("10.01")),
    "invoice_total_never_negative": change(november, net_total=-1, total=-1),
    "invoice_frozen_once_issued": change(issued, net_total=9, total=9),
    "invoice_status_moves_forward": change(issued, status="draft"),
    "invoice_begins_unissued": twice(november, status="review"),
    "invoice_is_never_deleted": delete(november),
    "phase_terms_frozen_once_billed": change(lambda: period().phase, alignment="calendar"),
    "invoice_credited_beside_is_positive": change(november, credited_beside=-1),
    "invoice_settled_by_credit_notes_over_nothing": change(over_nothing, status="settled"),
    "invoice_settled_only_if_it_charges_nothing": change(
        november, status="settled", net_total=0, tax_total=0, total=0, credited_beside=1
    ),
    "line_leaves_only_as_a_credit": change(line(), leaves=True),
    "line_position_once_per_invoice": change(line("fee"), position=2),
    "line_kind_is_known": change(line(), kind="x"),
    "line_tax_category_is_known": change(line(), tax_category="x"),
    "line_recognition_is_known": change(line(), recognition="x"),
    "line_rate_category_is_known": change(line(), rate_category="x"),
    "line_of_usage_has_its_snapshot": change(line("usage"), snapshot=None),
    "line_of_credit_names_another": change(line("fee"), kind="credit"),
    "line_has_a_price_or_needs_none": change(line(), price=None),
    "line_has_a_period_or_an_add_on": change(line(), period=None),
    "line_of_an_add_on_has_its_sale": change(line_of_a_sale, sold_add_on=None),
    "line_once_per_sold_add_on": twice(line_of_a_sale, position=2, uuid=uuid4()),
    "line_insert_only_of_an_add_on_that_is_its_invoices": line_of_anothers_sale,
    "line_update_only_of_an_add_on_that_is_its_invoices": lambda: InvoiceLine.objects.filter(
        pk=line_of_a_sale().pk
    ).update(sold_add_on=make.sold_add_on(Subscription.objects.get())),
    "charge_of_late_usage_names_its_snapshot": change(charge, purpose="late"),
    "charge_of_a_change_names_it": change(charge, purpose="change"),
    "late_usage_status_is_known": late(status="x"),
    "late_usage_cause_is_known": late(held_for="x"),
    "late_usage_waits_once_per_period_and_price": twice(late(), uuid=uuid4()),
    "late_usage_held_with_its_cause": late(held_for=""),
    "late_usage_written_off_exactly_with_a_reason": late(status="written_off"),
    "late_usage_decided_by_somebody": late(decided_at=DEC),
    "sold_add_on_of_something": twice(sold, quantity=0, key="x"),
    "sold_add_on_never_costs_less_than_nothing": twice(sold, unit_amount=-1, key="x"),
    "sold_add_on_service_ends_after_it_starts": twice(sold, service_end=date(2026, 1, 1), key="x"),
    "sold_add_on_is_billed_or_withdrawn_not_both": change(
        sold, withdrawn_at=NOV, withdrawn_because="x"
    ),
    "sold_add_on_withdrawn_exactly_with_a_reason": change(sold, withdrawn_because="x"),
    "sold_add_on_recognition_is_known": twice(sold, recognition="x", key="x"),
    "sold_add_on_tax_category_is_known": twice(sold, tax_category="x", key="x"),
    "sold_add_on_bill_is_known": twice(sold, bill="x", key="x"),
    "sold_add_on_terms_never_change": change(sold, quantity=2),
    "sold_add_on_is_never_deleted": delete(lambda: make.sold_add_on(sold().subscription)),
    "sold_add_on_stays_on_its_issued_invoice": change(sold_and_issued, invoice=None),
    "line_net_within_its_gross": change(line(), gross=Decimal("0.01")),
    "line_service_ends_after_it_starts": change(line(), service_end=date(2026, 12, 1)),
    "invoice_one_draft_per_group": twice(
        lambda: shared(november()), uuid="7b0e7a5c-6a4e-4a7e-9d0d-3a2f7b0e7a5c"
    ),
    "line_insert_only_in_a_draft_invoice": new_line,
    "line_update_only_in_a_draft_invoice": change(lambda: issued().lines.get(), net=9),
    "line_delete_only_in_a_draft_invoice": delete(lambda: issued().lines.get()),
    "allowance_position_once_per_invoice": twice(allowance, tax_rate=Decimal(19)),
    "allowance_once_per_coupon_and_tax": twice(allowance, position=2),
    "allowance_tax_category_is_known": change(allowance, tax_category="x"),
    "allowance_takes_something": change(allowance, amount=0),
    "allowance_net_within_its_gross": change(allowance, gross=Decimal("0.01")),
    "allowance_insert_only_in_a_draft_invoice": new_allowance,
    "allowance_update_only_in_a_draft_invoice": change(lambda: issued().allowances.get(), amount=9),
    "allowance_delete_only_in_a_draft_invoice": delete(lambda: issued().allowances.get()),
    "tax_once_per_category_and_rate": twice(tax),
    "tax_category_is_known": change(tax, category="x"),
    "tax_rate_of_a_known_category": change(tax, rate_category="x"),
    "exchange_rate_above_zero": exchange_rate(rate=0),
    "exchange_rate_between_two_currencies": exchange_rate(quote="EUR"),
    "exchange_rate_names_its_source": exchange_rate(source=""),
    "exchange_rate_once_per_pair_and_day": lambda: [exchange_rate()() for _ in range(2)],
    "tax_rate_category_is_known": tax_rate(category="x"),
    "tax_rate_from_0_to_100_percent": tax_rate(percent=101),
    "tax_rate_of_nothing_where_nothing_is_taxed": tax_rate(category="zero"),
    "tax_rate_ends_not_before_it_starts": tax_rate(valid_until=date(2026, 10, 31)),
    "tax_rate_insert_overlaps_no_other": lambda: taxed_twice(valid_from=date(2026, 12, 1)),
    "tax_rate_update_overlaps_no_other": prolonged,
    "tax_only_where_it_is_due": change(tax, amount=1),
    "tax_insert_only_in_a_draft_invoice": new_tax,
    "tax_update_only_in_a_draft_invoice": change(lambda: issued().taxes.get(), base=9),
    "tax_delete_only_in_a_draft_invoice": delete(lambda: issued().taxes.get()),
    "document_once_per_invoice": twice(document, sha256="b" * 64),
    "move_status_is_known": change(move, status="x"),
    "move_when_is_known": change(move, when="x"),
    "move_changes_plans_only_once_confirmed": change(move, status="moving"),
    "move_finished_when_dated": change(move, finished_at=NOV),
    "move_leads_to_another_version": change(move, from_version=F("to_version")),
    "move_row_outcome_is_known": change(move_row, outcome="x"),
    "move_row_once_per_subscription": twice(move_row),
    "move_row_moves_only_as_previewed": change(move_row, outcome="previewed"),
    "move_row_refused_with_its_reason": change(move_row, outcome="refused"),
    "move_row_has_both_figures_or_none": change(move_row, before=1),
    "move_row_is_final_once_moved": change(moved_row, outcome="waiting"),
    **MONEY_RULES,
    **REVIEW_RULES,
    **MAIL_RULES,
    "annex_never_changes": change(annex, portal_url=""),
    "annex_is_never_deleted": delete(annex),
    "document_never_changes": change(document, size_bytes=2),
    "document_is_never_deleted": delete(document),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_database_refuses_by_name(rule: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        RULES[rule]()
    assert rule in str(refusal.value) or _columns_of(rule) in str(refusal.value)


def test_every_named_rule_of_billing_is_fired() -> None:
    found = apps.get_app_config("billing").get_models()
    named = {constraint.name for model in found for constraint in model._meta.constraints}
    assert named | {guard.name for guard in GUARDS} == set(RULES)


def _columns_of(rule: str) -> str:
    """SQLite names the columns of a unique constraint, not the constraint."""
    for model in apps.get_app_config("billing").get_models():
        for constraint in model._meta.constraints:
            if constraint.name == rule and isinstance(constraint, models.UniqueConstraint):
                columns = {field.name: field.column for field in model._meta.concrete_fields}
                table = model._meta.db_table
                return ", ".join(f"{table}.{columns[name]}" for name in constraint.fields)
    return rule
