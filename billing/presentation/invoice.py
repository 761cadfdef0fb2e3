"""The whole document: parties, dates, amounts, in the order they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import models

from billing.beside import NOTHING_BESIDE, ToldBeside
from billing.calculation import add_up
from billing.composition import Composed
from billing.models import (
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    TaxSubtotal,
)
from billing.models.invoices import KEPT
from billing.presentation.account import account_rows, due_at_issue, grant_rows, taken_rows
from billing.presentation.beside import beside_notes
from billing.presentation.change import change_view
from billing.presentation.colours import palette
from billing.presentation.details import detail_view
from billing.presentation.lines import has_usage, is_shown, line_view, usage_view
from billing.presentation.payment_code import payment_code
from billing.presentation.reader import Reader, clean, paragraphs, unbroken
from billing.presentation.sections import Names, in_sections, names_of
from billing.presentation.taxes import (
    net_heading,
    priced_note,
    tax_in_books,
    tax_notes,
    tax_rows,
    tax_sum,
    tax_view,
)
from billing.presentation.views import (
    DetailView,
    Fact,
    InvoiceView,
    LineView,
    PartyView,
    PaymentView,
    TotalView,
    UsageView,
)
from catalog.money import EXACT

_AT_A_GLANCE = 6  # metrics on the first page; more would no longer be a glance
_STATE_FIRST = ("US", "CA", "AU")  # where an address ends "City, Region 12345"
_TOWN_FIRST = ("GB", "IE")  # where the postal code has a line of its own below the town

LOGO = "logo:"
"""Before the hash of a seller's picture: an address that only our fetcher knows."""

Party = Mapping[str, Any]


def present(
    invoice: Invoice,
    *,
    locale: str | None = None,
    portal_url: str = "",
    composed: Composed | None = None,
    change: Mapping[str, Any] | None = None,
    details: Sequence[Mapping[str, Any]] = (),
    replaces: Sequence[str] = (),
    replaced_by: Sequence[str] = (),
    beside: ToldBeside = NOTHING_BESIDE,
) -> InvoiceView:
    """Word and format an invoice in its buyer's language, or in that of `locale`.

    Give an invoice that `Invoice.objects.with_lines()` loaded, or an unsaved one with what it is
    `composed` of and `created_at` set: then nothing is asked of the database. `portal_url` is
    where its buyer can see it on line; empty: nowhere. `change` and `details` are what
    `billing.annexes` tells of it; `replaces` and `replaced_by` are the numbers of void invoices
    that it bills anew, and of those that bill it anew; `beside` is what comes with it.
    """
    seller, buyer = _party(invoice.seller, invoice.issuer), _party(invoice.buyer, invoice.customer)
    reader = Reader(locale or str(buyer.get("locale") or "en"), invoice.currency)
    today = invoice.issue_date or invoice.created_at.date()
    lines = composed.lines if composed else list(invoice.lines.all())
    taxes = composed.taxes if composed else list(invoice.taxes.all())
    allowances = composed.allowances if composed else list(invoice.allowances.all())
    usage = [line for line in lines if has_usage(line)]
    shown = [line for line in lines if is_shown(line)]
    names = names_of(invoice, shown)
    number = invoice.number or ""
    heading = reader.say("invoice" if number else "draft_title")
    return InvoiceView(
        language=reader.language,
        words=reader.words,
        palette=palette(seller.get("accent_colour")),
        currency=invoice.currency,
        heading=heading,
        title=" · ".join(filter(None, [f"{heading} {number}".strip(), clean(seller["name"])])),
        number=number,
        mark=_mark(invoice, reader),
        seller=party_view(seller, reader),
        buyer=party_view(buyer, reader),
        identity=(
            *_identity(invoice, lines, seller, buyer, reader),
            *_replaced(replaces, replaced_by, reader),
        ),
        payment=_payment(invoice, seller, reader),
        portal_url=portal_url,
        usage=tuple(_usage(usage[:_AT_A_GLANCE], invoice, seller, names, reader)),
        usage_note=_more(len(usage) - _AT_A_GLANCE, reader),
        change=change_view(change, reader, this=_this(lines, number, reader)) if change else None,
        details=tuple(_details(details, shown, names, reader)),
        net_heading=net_heading(reader, include_tax=invoice.prices_include_tax, taxes=taxes),
        lines=tuple(in_sections(shown, list(_lines(shown, reader, today=today)), names, reader)),
        totals=tuple(_totals(invoice, allowances, taxes, names, reader)),
        taxes=tuple(tax_view(tax, seller, reader) for tax in taxes),
        tax_sum=tax_sum(invoice, reader) if len(taxes) > 1 else None,
        tax_notes=(
            *priced_note(invoice, taxes, reader),
            *tax_notes(taxes, reader),
            *tax_in_books(invoice, reader),
        ),
        beside=tuple(beside_notes(beside, reader)),
        account=tuple(account_rows(invoice, reader)),
        questions=tuple(_questions(invoice, seller, reader)),
        legal=paragraphs(seller.get("legal_text")),
        footer=tuple(footer_of(seller, reader)),
        identifier=invoice.uuid.hex,
        dated=(invoice.issued_at or invoice.created_at).astimezone(UTC),
        grants=tuple(grant_rows(invoice, reader)),
    )


def _party(frozen: Party, row: models.Model) -> Party:
    """Read a party as it was frozen; as its row is where nothing is frozen yet."""
    return frozen or {
        field.name: getattr(row, field.attname) for field in row._meta.concrete_fields
    }


def _lines(lines: Sequence[InvoiceLine], reader: Reader, *, today: date) -> Iterator[LineView]:
    """Word the lines; what adjusts a subscription's earlier periods begins with a heading of its own."""
    adjusted = None
    for line in lines:
        view = line_view(line, reader, today=today)
        adjusts = line.is_late or line.kind == LineKind.CREDIT
        if adjusts and adjusted != line.subscription_id:
            view = replace(view, opens=reader.say("adjustments"))
        adjusted = line.subscription_id if adjusts else None
        yield view


def _details(
    details: Iterable[Mapping[str, Any]],
    lines: Iterable[InvoiceLine],
    names: Names,
    reader: Reader,
) -> Iterator[DetailView]:
    """Word the usage day by day, and say whose it is where several share the invoice."""
    owners = {line.subscription.key: names[line.subscription_id] for line in lines} if names else {}
    for one in details:
        yield replace(detail_view(one, reader), owner=owners.get(one.get("subscription", ""), ""))


def _this(lines: Iterable[InvoiceLine], number: str, reader: Reader) -> str:
    """Name an invoice by the days whose usage it bills, or by its number."""
    usage = [line for line in lines if line.kind == LineKind.USAGE]
    if not usage:
        return number
    return reader.stretch(
        min(line.service_start for line in usage), max(line.service_end for line in usage)
    )


def _mark(invoice: Invoice, reader: Reader) -> str:
    if invoice.status in KEPT:
        return ""
    named = {InvoiceStatus.VOID: "void", InvoiceStatus.DISCARDED: "discarded"}
    return reader.say(named.get(InvoiceStatus(invoice.status), "draft")).upper()


def party_view(party: Party, reader: Reader) -> PartyView:
    """Word a party, as it was frozen or as its row says, for letterhead and window."""
    legal_name = clean(party.get("legal_name") or party.get("name"))
    street = [clean(party.get("line1")), clean(party.get("line2"))]
    town = _town(party)
    country = reader.country(clean(party.get("country")))
    attention = clean(party.get("attention"))
    return PartyView(
        name=clean(party.get("name")) or legal_name,
        lines=tuple(filter(None, [legal_name, attention, *street, *town, country])),
        sender=" · ".join(filter(None, [legal_name, *street, *town])),
        logo=f"{LOGO}{logo}" if (logo := party.get("logo_id") or party.get("logo")) else "",
    )


def _town(party: Party) -> list[str]:
    """Order town, region and postal code as the country's post reads them."""
    city, region, code = (clean(party.get(key)) for key in ("city", "region", "postal_code"))
    country = clean(party.get("country")).upper()
    if country in _STATE_FIRST:
        return [", ".join(filter(None, [city, f"{region} {code}".strip()]))]
    if country in _TOWN_FIRST:
        return [city, region, code]
    return [f"{code} {city}".strip(), region]


def _identity(
    invoice: Invoice, lines: Sequence[InvoiceLine], seller: Party, buyer: Party, reader: Reader
) -> Iterator[Fact]:
    """Name everything a bookkeeper looks for; what there is not is left out."""
    facts = {
        "number": invoice.number,
        "issue_date": invoice.issue_date and reader.day(invoice.issue_date),
        "due_date": _terms(invoice, reader),
        "usage_period": _service(lines, LineKind.USAGE, reader)
        or _service(lines, LineKind.LATE, reader),
        "fee_period": _service(lines, LineKind.FEE, reader),
        "customer": clean(buyer.get("key")),
        "purchase_order": clean(buyer.get("purchase_order")),
        "buyer_reference": clean(buyer.get("buyer_reference")),
        "your_vat_id": clean(buyer.get("vat_id")),
        "our_vat_id": clean(seller.get("vat_id")),
    }
    for key, value in facts.items():
        if value:
            yield Fact(reader.say(key), value)


def _replaced(
    replaces: Sequence[str], replaced_by: Sequence[str], reader: Reader
) -> Iterator[Fact]:
    for key, numbers in (("replaces", replaces), ("replaced_by", replaced_by)):
        if numbers:
            yield Fact(reader.say(key), ", ".join(numbers))


def _terms(invoice: Invoice, reader: Reader) -> str:
    if invoice.due_date is None or invoice.issue_date is None:
        return ""
    days = (invoice.due_date - invoice.issue_date).days
    key = {0: "due_on_receipt", 1: "due_in_a_day"}.get(days, "due_in_days")
    return reader.say(key, date=reader.day(invoice.due_date), days=reader.number(Decimal(days)))


def _service(lines: Iterable[InvoiceLine], kind: LineKind, reader: Reader) -> str:
    """Write the days that all lines of a kind span; empty without one."""
    found = [line for line in lines if line.kind == kind]
    if not found:
        return ""
    start = min(line.service_start for line in found)
    return reader.span(start, max(line.service_end for line in found))


def _payment(invoice: Invoice, seller: Party, reader: Reader) -> PaymentView:
    amount = reader.money(invoice.total)
    match invoice.status:
        case InvoiceStatus.VOID:
            note = reader.say("void_note", date=_on(invoice.voided_at, seller, reader))
            return PaymentView(reader.say("void_amount"), amount, note, ())
        case InvoiceStatus.DISCARDED:
            note = reader.say("discarded_note", date=_on(invoice.discarded_at, seller, reader))
            return PaymentView(reader.say("nothing_due"), amount, note, ())
        case InvoiceStatus.DRAFT | InvoiceStatus.REVIEW:
            return PaymentView(reader.say("draft_amount"), amount, reader.say("draft_note"), ())
    due = due_at_issue(invoice)
    amount = reader.money(due)
    if not due:
        return PaymentView(reader.say("nothing_due"), amount, "", ())
    assert invoice.due_date is not None
    label = reader.say("due_by", date=reader.long_date(invoice.due_date))
    code = payment_code(
        name=clean(seller.get("legal_name") or seller.get("name")),
        iban=clean(seller.get("iban")),
        bic=clean(seller.get("bic")),
        reference=invoice.number or "",
        amount=due,
        reader=reader,
    )
    return PaymentView(label, amount, "", tuple(_where_to_pay(invoice, seller, reader)), code)


def _where_to_pay(invoice: Invoice, seller: Party, reader: Reader) -> Iterator[Fact]:
    facts = {
        "iban": _in_fours(clean(seller.get("iban"))),
        "bic": " · ".join(filter(None, [clean(seller.get("bic")), clean(seller.get("bank_name"))])),
        "reference": invoice.number or "",
    }
    for key, value in facts.items():
        if value:
            yield Fact(reader.say(key), value)


def _in_fours(iban: str) -> str:
    solid = iban.replace(" ", "")
    return " ".join(solid[i : i + 4] for i in range(0, len(solid), 4))


def _on(at: datetime | None, seller: Party, reader: Reader) -> str:
    assert at is not None
    return reader.local_date(at, str(seller.get("time_zone", "UTC")))


def _usage(
    lines: Iterable[InvoiceLine], invoice: Invoice, seller: Party, names: Names, reader: Reader
) -> Iterator[UsageView]:
    zones = zones_of(invoice)
    default = str(seller.get("time_zone") or "UTC")
    for line in lines:
        view = usage_view(line, reader, zone=zones.get(line.period_id or 0, default))
        yield replace(view, owner=names.get(line.subscription_id, ""))


def zones_of(invoice: Invoice) -> dict[int, str]:
    """Return where the days of an invoice's periods begin, by period; nothing of an unsaved one."""
    if invoice.pk is None:
        return {}
    return {charge.period_id: charge.period.time_zone for charge in invoice.charges.all()}


def _more(count: int, reader: Reader) -> str:
    if count <= 0:
        return ""
    if count == 1:
        return reader.say("one_more_metric")
    return reader.say("more_metrics", count=reader.number(Decimal(count)))


def _totals(
    invoice: Invoice,
    allowances: Sequence[InvoiceAllowance],
    taxes: Iterable[TaxSubtotal],
    names: Names,
    reader: Reader,
) -> Iterator[TotalView]:
    """Add up from the lines to the total; without a coupon the lines are the net total."""
    include_tax = invoice.prices_include_tax
    if allowances:
        taken = add_up(allowance.priced for allowance in allowances)
        lines = EXACT.add(invoice.total if include_tax else invoice.net_total, taken)
        yield TotalView(reader.say("sum_of_lines"), reader.rounded(lines))
    for allowance in allowances:
        owner = names.get(allowance.applied.subscription_id, "")
        yield TotalView(_coupon(allowance, owner, reader), reader.rounded(-allowance.priced))
    total = TotalView(reader.say("total"), reader.money(invoice.total), is_final=True)
    if include_tax:
        yield total
        yield from tax_rows(taxes, reader, include_tax=True)
    else:
        yield TotalView(reader.say("net_total"), reader.rounded(invoice.net_total))
        yield from tax_rows(taxes, reader, include_tax=False)
        yield total
    yield from taken_rows(invoice, reader)


def _coupon(allowance: InvoiceAllowance, owner: str, reader: Reader) -> str:
    name = clean(allowance.description)
    if owner:
        name = f"{name}, {owner}"
    if allowance.percent is not None:
        name = f"{name}, {reader.percent(allowance.percent)}"
    return name if allowance.gross is not None else reader.say("before_vat", name=name)


def _questions(invoice: Invoice, seller: Party, reader: Reader) -> Iterator[str]:
    yield reader.say("check")
    email = clean(seller.get("email"))
    if not email:
        return
    if invoice.number and invoice.due_date:
        by = unbroken(reader.long_date(invoice.due_date))
        yield reader.say("write_by", email=email, date=by, number=invoice.number)
    else:
        yield reader.say("write", email=email)


def footer_of(seller: Party, reader: Reader) -> Iterator[str]:
    """Say who the seller is: name and address, register, VAT ID, and a line of its own."""
    view = party_view(seller, reader)
    yield " · ".join(view.lines)
    vat_id, entry = clean(seller.get("vat_id")), clean(seller.get("register_entry"))
    tax_number = clean(seller.get("tax_number"))
    facts = [
        entry,
        f"{reader.say('vat_id')} {vat_id}" if vat_id else "",
        f"{reader.say('tax_number')} {tax_number}" if tax_number else "",
        clean(seller.get("email")),
    ]
    if any(facts):
        yield " · ".join(filter(None, facts))
    if own := clean(seller.get("footer_text")):
        yield own
