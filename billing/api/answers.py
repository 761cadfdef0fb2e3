"""Invoices as data: amounts with the currency's decimals, explanations with words for each step.

Reads rows that are loaded, saved or not, and asks the database nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils.translation.trans_real import (
    get_supported_language_variant,
    parse_accept_lang_header,
)
from rest_framework.request import Request

from billing.api.periods import written
from billing.beside import NOTHING_BESIDE, ToldBeside
from billing.crediting import Book
from billing.electronic.demands import has_xml
from billing.models import (
    CreditNote,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Purpose,
    TaxSubtotal,
)
from billing.presentation.change import change_view
from billing.presentation.lines import line_view
from billing.presentation.reader import Reader
from billing.presentation.views import LineView, RowView
from billing.reissue import Links
from billing.services.upcoming import Running
from catalog import wording
from catalog.money import EXACT, exponent, plain, round_half_up
from catalog.pricing.explanation import step_from_json
from customers.models import Subscription
from customers.periods import first_instant, zone

UPCOMING = "upcoming"
_NO_LINKS = Links()
_ADDRESS = ("line1", "line2", "postal_code", "city", "region", "country")
_PARTY = (
    *("key", "name", "legal_name", "email", "vat_id", "tax_number", "purchase_order"),
    "buyer_reference",
)


class Shown(NamedTuple):
    """An invoice with what belongs to it, which an upcoming one has not saved."""

    invoice: Invoice
    lines: Sequence[InvoiceLine]
    allowances: Sequence[InvoiceAllowance]
    taxes: Sequence[TaxSubtotal]
    purpose: str | None
    beside: ToldBeside = NOTHING_BESIDE

    @property
    def is_saved(self) -> bool:
        return self.invoice.pk is not None


def shown(invoice: Invoice, beside: ToldBeside = NOTHING_BESIDE) -> Shown:
    """Return a saved invoice, loaded `with_lines`, with its lines, allowances and taxes."""
    lines, allowances, taxes = invoice.lines.all(), invoice.allowances.all(), invoice.taxes.all()
    purpose = purpose_of(invoice)
    return Shown(invoice, list(lines), list(allowances), list(taxes), purpose, beside)


def upcoming(running: Running) -> Shown:
    """Return the invoice that comes next, which is not saved."""
    made = running.composed
    return Shown(running.invoice, made.lines, made.allowances, made.taxes, None, running.beside)


def purpose_of(invoice: Invoice) -> str | None:
    """Say why it was drafted; what charges no period charges add-ons alone."""
    return next((charge.purpose for charge in invoice.charges.all()), Purpose.ONE_OFF.value)


def readers_locale(request: Request, invoice: Invoice) -> str:
    """Return the language of Accept-Language that has words, or else the buyer's locale.

    English where that has none, figures too: "first 50.000 calls over" would be neither.
    """
    for tag, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "").lower()):
        if tag == "*":
            break
        try:
            return get_supported_language_variant(tag)
        except LookupError:
            continue
    return Reader(str(invoice.buyer.get("locale") or "en"), invoice.currency).language


def invoice_answer(
    shown: Shown,
    *,
    locale: str,
    book: Book | None = None,
    notes: Iterable[CreditNote] = (),
    links: Links = _NO_LINKS,
) -> dict[str, Any]:
    """Return an invoice as the contract writes it, with its steps worded in a locale.

    `book` is what of an issued one can be credited, `notes` are those that credit it, `links` what
    it replaces and what replaces it.
    """
    invoice = shown.invoice
    places = exponent(invoice.currency)
    is_numbered = invoice.number is not None
    return {
        "id": invoice.uuid if shown.is_saved else None,
        "number": invoice.number,
        "status": invoice.status if shown.is_saved else UPCOMING,
        "payment_status": invoice.payment_status if shown.is_saved else None,
        "purpose": shown.purpose,
        "customer": invoice.customer.key,
        "currency": invoice.currency,
        "issue_date": invoice.issue_date,
        "due_date": invoice.due_date,
        "subscriptions": [
            {
                "subscription": one.key,
                "customer": one.customer.key,
                "net": amount(net, places),
            }
            for one, net in by_subscription(shown.lines)
        ],
        "lines": [
            {
                **_line(line, places, saved=shown.is_saved, locale=locale),
                "creditable": _left(book, line, places),
            }
            for line in shown.lines
        ],
        "allowances": list(_allowances(shown, places)),
        "prices_include_tax": invoice.prices_include_tax,
        "net_total": amount(invoice.net_total, places),
        "tax_total": amount(invoice.tax_total, places),
        "total": amount(invoice.total, places),
        "amount_due": amount(_due(invoice), places),
        "creditable": amount(book.left, places) if book else None,
        "credit_notes": [
            {"id": note.uuid, "number": note.number, "total": amount(note.total, places)}
            for note in notes
        ],
        "beside": _beside(shown, locale) if shown.beside.leaving else None,
        **{
            name: [{"id": one.uuid, "number": one.number} for one in some]
            for name, some in links._asdict().items()
        },
        "taxes": [_tax(tax, places) for tax in shown.taxes],
        "tax_in_books": invoice.tax_in_books or None,
        "has_xml": shown.is_saved and has_xml(invoice),
        "seller": party_answer(invoice.seller) if is_numbered else None,
        "buyer": party_answer(invoice.buyer) if is_numbered else None,
        "run": invoice.run.uuid if invoice.run else None,
        "created_at": invoice.created_at,
        "auto_issue_at": invoice.auto_issue_at if invoice.is_open else None,
        "issued_at": invoice.issued_at,
        "voided_at": invoice.voided_at,
        "discarded_at": invoice.discarded_at,
        "reason": invoice.reason,
    }


def _beside(shown: Shown, locale: str) -> dict[str, Any]:
    """Write what leaves an invoice, and what is or will be issued with it for that (R32a)."""
    places = exponent(shown.invoice.currency)
    return {
        "lines": [
            {
                **_line(line, places, saved=shown.is_saved, locale=locale),
                "creditable": None,
            }
            for line in shown.beside.leaving
        ],
        "credit_notes": [
            {
                "id": one.note.uuid if one.note else None,
                "number": one.note.number if one.note else None,
                "invoice": {"id": one.invoice.uuid, "number": one.invoice.number},
                "total": amount(one.total, places),
            }
            for one in shown.beside.notes
        ],
        "balance": amount(shown.beside.balance, places),
    }


def explanation_answer(
    invoice: Invoice, *, change: Mapping[str, Any] | None, locale: str
) -> dict[str, Any]:
    """Return the lines of a saved invoice explained: as data, and in sentences.

    `change` is what `billing.annexes` tells of the last invoice and this one.
    """
    places = exponent(invoice.currency)
    reader = Reader(locale, invoice.currency)
    today = invoice.issue_date or invoice.created_at.date()
    return {
        "id": invoice.uuid,
        "number": invoice.number,
        "currency": invoice.currency,
        "language": reader.language,
        "change": _change(change, reader) if change else None,
        "lines": [
            {
                "id": line.uuid,
                "description": line.description,
                "kind": line.kind,
                "net": amount(line.net, places),
                "gross": _gross(line.gross, places),
                "explanation": _explanation(line, places, locale),
                "sentences": list(_sentences(line_view(line, reader, today=today))),
            }
            for line in invoice.lines.all()
        ],
    }


def _change(told: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    difference = EXACT.subtract(Decimal(told["net"]), Decimal(told["last_net"]))
    return {
        "last": told["last"],
        "last_net": amount(Decimal(told["last_net"]), reader.exponent),
        "net": amount(Decimal(told["net"]), reader.exponent),
        "difference": amount(difference, reader.exponent),
        "drivers": [
            {
                **{key: one[key] for key in ("kind", "name", "before", "now")},
                "amount": amount(Decimal(one["amount"]), reader.exponent),
            }
            for one in told["drivers"]
        ],
        "sentences": list(change_view(told, reader, this="").sentences),
    }


def _due(invoice: Invoice) -> Decimal:
    """Return what is to pay: what is open of an issued invoice, all that an open one would be over."""
    if invoice.status == InvoiceStatus.ISSUED:
        still_open: Decimal = invoice.open_item.open
        return still_open
    return invoice.total if invoice.is_open else Decimal(0)


def by_subscription(lines: Iterable[InvoiceLine]) -> list[tuple[Subscription, Decimal]]:
    """Return what an invoice charges each of its subscriptions, in the order of their lines."""
    nets: dict[int, Decimal] = defaultdict(lambda: Decimal(0))
    found: dict[int, Subscription] = {}
    for line in lines:
        found.setdefault(line.subscription_id, line.subscription)
        nets[line.subscription_id] = EXACT.add(nets[line.subscription_id], line.net)
    return [(one, nets[pk]) for pk, one in found.items()]


def _line(line: InvoiceLine, places: int, *, saved: bool, locale: str) -> dict[str, Any]:
    said = line.explanation if line.kind == LineKind.USAGE else {}
    return {
        "id": line.uuid if saved else None,
        "description": line.description,
        "kind": line.kind,
        "metric": line.metric.key if line.metric else None,
        "subscription": line.subscription.key,
        "period": _served(line),
        "quantity": plain(line.quantity),
        "included": said.get("included"),
        "overage": said.get("overage"),
        "net": amount(line.net, places),
        "gross": _gross(line.gross, places),
        "tax_category": line.tax_category,
        "tax_rate": plain(line.tax_rate),
        "rate_category": line.rate_category,
        "explanation": _explanation(line, places, locale),
    }


def _left(book: Book | None, line: InvoiceLine, places: int) -> str | None:
    """Say what can still be credited of a line; None where nothing is issued."""
    row = book.line(line.pk) if book else None
    return amount(row.left, places) if row else None


def _served(line: InvoiceLine) -> dict[str, str]:
    """Write the service dates as instants; at the ends of the period, those of it (R2)."""
    edges: dict[date, datetime] = {}
    if line.period:
        place = zone(line.period.time_zone)
        edges = {
            line.period.start_date: line.period.starts_at,
            line.period.end_date: line.period.ends_at,
        }
    else:
        assert line.sold_add_on
        place = zone(line.sold_add_on.time_zone)

    def instant(day: date) -> str:
        return written(edges.get(day) or first_instant(day, place), place)

    return {"start": instant(line.service_start), "end": instant(line.service_end)}


def _explanation(line: InvoiceLine, places: int, locale: str) -> dict[str, Any]:
    """Return the stored explanation with a label for each step."""
    said: dict[str, Any] = line.explanation
    over = bool(Decimal(said.get("included", "0")))
    steps = [
        {
            **step,
            "label": wording.label(
                step_from_json(step),
                unit=line.unit,
                unit_plural=line.unit_plural,
                locale=locale,
                over=over,
                exponent=places,
            ),
        }
        for step in said["steps"]
    ]
    return {**said, "steps": steps}


def _sentences(view: LineView) -> Iterator[str]:
    """Say what was measured, each row as a sum to check, and what is odd about it."""
    if view.summary:
        yield view.summary
    if view.rows:
        yield from map(_sum, view.rows)
    elif view.unit_price:  # without a step there is nothing to check
        yield f"{view.quantity} × {view.unit_price} = {view.net}"
    yield from view.notes


def _sum(row: RowView) -> str:
    if row.quantity and row.unit_price:
        return f"{row.label}: {row.quantity} × {row.unit_price} = {row.amount}"
    return f"{row.label}: {row.amount}"


def _allowances(shown: Shown, places: int) -> Iterator[dict[str, Any]]:
    lines = {line.position: line.uuid if shown.is_saved else None for line in shown.lines}
    for allowance in shown.allowances:
        yield {
            "coupon": allowance.applied.coupon.key,
            "description": allowance.description,
            "percent": None if allowance.percent is None else plain(allowance.percent),
            "amount": amount(allowance.amount, places),
            "gross": _gross(allowance.gross, places),
            "tax_category": allowance.tax_category,
            "tax_rate": plain(allowance.tax_rate),
            "shares": [
                {
                    "line": lines[share["line"]],
                    "position": share["line"],
                    "amount": amount(Decimal(share["amount"]), places),
                    "gross": _gross(Decimal(share["gross"]) if "gross" in share else None, places),
                }
                for share in allowance.shares
            ],
        }


def _tax(tax: TaxSubtotal, places: int) -> dict[str, str]:
    return {
        "category": tax.category,
        "rate": plain(tax.rate),
        "base": amount(tax.base, places),
        "amount": amount(tax.amount, places),
        "reason": tax.reason,
        "rate_category": tax.rate_category,
        "country": tax.country,
        "basis": tax.basis,
    }


def _gross(value: Decimal | None, places: int) -> str | None:
    return None if value is None else amount(value, places)


def party_answer(frozen: dict[str, Any]) -> dict[str, Any]:
    """Return a party as it was frozen."""
    found = {name: frozen.get(name, "") for name in _PARTY if name in frozen}
    return found | {"address": {name: frozen.get(name, "") for name in _ADDRESS}}


def amount(value: Decimal, places: int) -> str:
    """Write an amount, which is rounded already, with just the currency's decimals."""
    return f"{round_half_up(value, places):f}"
