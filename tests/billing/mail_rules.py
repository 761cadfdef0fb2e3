"""Each named rule of the mails, fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from billing.models import Delivery, Invoice
from customers.models import Issuer
from tests import factories as make
from tests.billing.money_rules import change, delete, insert

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def mail(**fields: Any) -> Delivery:
    invoice = make.issued()
    asked = {"address": "ap@acme.test", "asked_at": AT, "asked_by": "ada", "at_issue": True}
    return Delivery.objects.create(
        **{"customer": invoice.customer, "invoice": invoice, **asked, **fields}
    )


def failed() -> Delivery:
    return mail(status="failed", why="refused", settled_at=AT)


def sent() -> Delivery:
    return mail(status="sent", begun_at=AT, settled_at=AT)


def mail_of_a_draft() -> None:
    draft = Invoice.objects.create(
        issuer=Issuer.objects.get(), customer=make.customer(), currency="EUR",
        net_total=0, tax_total=0, total=0,
    )  # fmt: skip
    mail(invoice=draft, customer=draft.customer)


MAIL_RULES: dict[str, Callable[[], Any]] = {
    "delivery_kind_is_known": lambda: mail(kind="x", invoice=None),
    "delivery_status_is_known": lambda: mail(status="x", settled_at=AT),
    "delivery_reason_is_known": lambda: mail(status="failed", why="x", settled_at=AT),
    "delivery_of_an_invoice_names_it": lambda: mail(invoice=None),
    "delivery_waits_exactly_until_it_is_settled": change(mail, settled_at=AT),
    "delivery_not_made_exactly_with_a_reason": change(mail, why="void"),
    "delivery_has_an_address_unless_there_is_none": lambda: mail(address=""),
    "delivery_sent_only_once_begun": change(mail, status="sent", settled_at=AT),
    "delivery_unsent_was_never_begun": change(
        mail, status="unsent", why="void", settled_at=AT, begun_at=AT
    ),
    "delivery_answered_only_if_it_did_not_go": change(mail, answer="x"),
    "delivery_at_issue_once_per_address": insert(failed),
    "delivery_waits_once_per_address": insert(lambda: mail(at_issue=False)),
    "delivery_asks_for_the_same_for_ever": change(mail, address="x@acme.test"),
    "delivery_changes_only_until_it_is_settled": change(failed, said="x"),
    "delivery_is_never_deleted": delete(mail),
    "delivery_is_to_who_owes_an_issued_invoice": mail_of_a_draft,
    "invoice_void_only_if_never_sent": change(
        lambda: sent().customer.invoices.get(), status="void", voided_at=AT, reason="x"
    ),
}
