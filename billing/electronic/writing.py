"""The XML of an issued invoice or credit note: a Cross Industry Invoice by EN 16931, in the profile of that name.

Amounts are those the invoice was frozen with, words those of its paper; nothing is added up here.
The same invoice always gives the same bytes (R28).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from drafthorse.models.accounting import (
    ApplicableTradeTax,
    CategoryTradeTax,
    TradeAllowanceCharge,
)
from drafthorse.models.document import Document
from drafthorse.models.note import IncludedNote
from drafthorse.models.party import TaxRegistration, TradeParty
from drafthorse.models.payment import PaymentMeans, PaymentTerms
from drafthorse.models.tradelines import LineItem
from stdnum import iban

from billing.calculation import add_up
from billing.electronic.figures import figures
from billing.electronic.units import ONE
from billing.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    TaxCategory,
    TaxSubtotal,
)
from billing.presentation.account import due_at_issue
from billing.presentation.credit_note import present_credit_note
from billing.presentation.lines import is_shown, line_view
from billing.presentation.reader import Reader, clean, paragraphs
from billing.presentation.taxes import net_heading, priced_note, tax_in_books, tax_note
from billing.presentation.views import LineView, RowView
from catalog.money import EXACT, exponent, plain, round_half_up
from customers.electronic import names_country

_Tax = TaxSubtotal | CreditNoteTax

PROFILE = "urn:cen.eu:en16931:2017"
SCHEMA = "FACTUR-X_EN16931"
INVOICE, CREDIT_NOTE = "380", "381"
_DISCOUNT = "95"  # UNTDID 5189
_SEPA, _CREDIT_TRANSFER = "58", "30"  # UNTDID 4461
_REGISTER = "REG"  # UNTDID 4451
_EXEMPTION = {TaxCategory.REVERSE_CHARGE: "VATEX-EU-AE", TaxCategory.OUT_OF_SCOPE: "VATEX-EU-O"}
_COUNTRIES = {"XK": "1A"}  # Kosovo, which the list of EN 16931 codes otherwise
_NO_XML = re.compile("[\ufffe\uffff]")


def electronic_invoice(invoice: Invoice) -> bytes:
    """Write an issued invoice down for a machine; give one loaded `with_lines`.

    :raises XMLSyntaxError: if it would not be valid by the schema; then there is none.
    """
    assert invoice.issue_date is not None
    reader = Reader(str(invoice.buyer.get("locale") or "en"), invoice.currency)
    every = list(invoice.lines.all())
    lines = [line for line in every if is_shown(line)] or every  # an invoice has a line (BR-16)
    document = _headed(invoice.number or "", INVOICE, invoice.issue_date)
    taxes = list(invoice.taxes.all())
    said = (*priced_note(invoice, taxes, reader), *tax_in_books(invoice, reader))
    _add_notes(document, invoice.seller, said)
    _add_parties(document, invoice.seller, invoice.buyer, taxes)
    for number, line in enumerate(lines, start=1):
        view = line_view(line, reader, today=invoice.issue_date)
        document.trade.items.add(_line(number, line, view, invoice, reader))
    _add_payment(document, invoice)
    for tax in taxes:
        document.trade.settlement.trade_tax.add(_subtotal(tax, invoice.currency, reader))
    _add_service(document, lines)
    for allowance in invoice.allowances.all():
        document.trade.settlement.allowance_charge.add(_allowance(allowance, invoice))
    _add_totals(document, invoice)
    xml: bytes = document.serialize(schema=SCHEMA)
    return xml


def electronic_credit_note(note: CreditNote) -> bytes:
    """Write a credit note down for a machine; give one loaded `with_lines`.

    Amounts are what is credited, as on the paper; the invoice that it corrects is the preceding one
    (BG-3).

    :raises XMLSyntaxError: if it would not be valid by the schema; then there is none.
    """
    invoice, currency = note.invoice, note.invoice.currency
    reader = Reader(str(note.buyer.get("locale") or "en"), currency)
    document = _headed(note.number, CREDIT_NOTE, note.issue_date)
    reason = f"{reader.say('credit_reason')}: {clean(note.reason)}"
    _add_notes(document, note.seller, (reason, *tax_in_books(note, reader)))
    taxes, lines = list(note.taxes.all()), list(note.lines.all())
    _add_parties(document, note.seller, note.buyer, taxes)
    corrected = document.trade.settlement.invoice_referenced_document
    corrected.issuer_assigned_id = invoice.number
    corrected.issue_date_time = invoice.issue_date
    view = present_credit_note(note, lines, taxes)
    for number, (one, said) in enumerate(zip(lines, view.lines, strict=True), start=1):
        document.trade.items.add(_credited(number, one, said, currency))
    document.trade.settlement.currency_code = currency
    terms = PaymentTerms()
    terms.description = _text("\n".join(f"{fact.label}: {fact.value}" for fact in view.account))
    document.trade.settlement.terms.add(terms)
    for tax in taxes:
        document.trade.settlement.trade_tax.add(_subtotal(tax, currency, reader))
    _add_service(document, [one.line for one in lines])
    totals = document.trade.settlement.monetary_summation
    totals.line_total = _amount(note.net_total, currency)
    _add_sums(document, note, currency)
    totals.due_amount = _amount(note.total, currency)
    xml: bytes = document.serialize(schema=SCHEMA)
    return xml


def _credited(number: int, one: CreditNoteLine, said: LineView, currency: str) -> LineItem:
    """Write what is credited of a line: of one that was negative, −1 of its amount (BR-27)."""
    item = LineItem()
    item.document.line_id = str(number)
    if said.notes:
        item.document.notes.add(IncludedNote(content=_text("\n".join(said.notes))))
    item.product.name = _text(said.name)
    item.product.description = _text(said.quantity)
    item.agreement.net.amount = _amount(abs(one.net), currency)
    item.delivery.billed_quantity = ("-1" if one.net < 0 else "1", ONE)
    _add_tax(item, one.line)
    item.settlement.monetary_summation.total_amount = _amount(one.net, currency)
    return item


def _headed(number: str, kind: str, issue_date: date) -> Document:
    document = Document()
    document.context.guideline_parameter.id = PROFILE
    document.header.id, document.header.type_code = number, kind
    document.header.issue_date_time = issue_date
    return document


def _add_service(document: Document, lines: Sequence[InvoiceLine]) -> None:
    """Write the days of all service, and that all of it is supplied by the last (BT-72).

    Without a day the element would stand there empty.
    """
    first = min(line.service_start for line in lines)
    last = max(line.service_end for line in lines)
    _add_period(document.trade.settlement.period, first, last)
    document.trade.delivery.event.occurrence = last - timedelta(days=1)


def _add_notes(document: Document, seller: Mapping[str, Any], said: Iterable[str]) -> None:
    """Say what stands on the paper besides: this, the seller's texts, its register."""
    texts = [("", text) for text in (*said, *paragraphs(seller.get("legal_text")))]
    entry = clean(seller.get("register_entry"))
    for code, text in (*texts, (_REGISTER, entry)):
        if text:
            note = IncludedNote(content=_text(text))
            note.subject_code = code
            document.header.notes.add(note)


def _add_parties(
    document: Document, seller: Mapping[str, Any], buyer: Mapping[str, Any], taxes: Iterable[_Tax]
) -> None:
    """Name seller and buyer; out of scope of tax, neither by a VAT ID (BR-O-02)."""
    agreement = document.trade.agreement
    is_untaxed = any(tax.category == TaxCategory.OUT_OF_SCOPE for tax in taxes)
    _add_party(agreement.seller, seller, with_vat_id=not is_untaxed)
    if tax_number := _text(seller.get("tax_number")):
        agreement.seller.tax_registrations.add(TaxRegistration(id=("FC", tax_number)))
    entry, vat_id = clean(seller.get("register_entry")), clean(seller.get("vat_id"))
    if entry:
        agreement.seller.legal_organization.id = _text(entry)
    elif is_untaxed:
        agreement.seller.id = vat_id  # something identifies a seller (BR-CO-26)
    _add_party(agreement.buyer, buyer, with_vat_id=not is_untaxed)
    agreement.buyer.id = clean(buyer.get("key"))
    agreement.buyer_reference = _text(buyer.get("buyer_reference"))
    agreement.buyer_order.issuer_assigned_id = _text(buyer.get("purchase_order"))


def _add_party(party: TradeParty, said: Mapping[str, Any], *, with_vat_id: bool) -> None:
    party.name = _text(said.get("legal_name") or said.get("name"))
    address = party.address
    address.postcode = _text(said.get("postal_code"))
    address.line_one, address.line_two = _text(said.get("line1")), _text(said.get("line2"))
    address.city_name = _text(said.get("city"))
    country = clean(said.get("country"))
    address.country_id = _COUNTRIES.get(country, country)
    address.country_subdivision = _text(said.get("region"))
    if email := _text(said.get("email")):
        party.electronic_address.uri_ID = ("EM", email)
    if attention := _text(said.get("attention")):
        party.contact.person_name = attention
    vat_id = clean(said.get("vat_id")).upper()
    if with_vat_id and names_country(vat_id):
        party.tax_registrations.add(TaxRegistration(id=("VA", vat_id)))


def _line(
    number: int, line: InvoiceLine, said: LineView, invoice: Invoice, reader: Reader
) -> LineItem:
    """Write a line (BG-25) with its rows as a note, where its price is its net."""
    places = exponent(invoice.currency)
    told = figures(line, places)
    item = LineItem()
    item.document.line_id = str(number)
    notes = [*(_row(row) for row in said.rows if told.is_whole), *said.notes]
    if line.gross is not None:
        notes.append(f"{net_heading(reader, include_tax=True)}: {said.net}")
    if notes:
        item.document.notes.add(IncludedNote(content=_text("\n".join(notes))))
    item.product.name = _text(said.name)
    counted = said.summary or (said.quantity if told.is_whole else "")
    item.product.description = _text(" · ".join(filter(None, [said.caption, counted])))
    price = _amount(told.price, invoice.currency) if told.is_whole else plain(told.price)
    item.agreement.net.amount = price
    item.delivery.billed_quantity = (plain(told.quantity), told.unit)
    _add_tax(item, line)
    item.settlement.monetary_summation.total_amount = _amount(line.net, invoice.currency)
    return item


def _add_tax(item: LineItem, line: InvoiceLine) -> None:
    """Write how a line is taxed, and the days of its service."""
    tax = item.settlement.trade_tax
    tax.type_code, tax.category_code = "VAT", line.tax_category
    _add_rate(tax, line.tax_category, line.tax_rate)
    _add_period(item.settlement.period, line.service_start, line.service_end)


def _row(row: RowView) -> str:
    """Say a step in a line of text: "First 50,000 calls: 50,000 × 2.00 per 1,000 = 100.00"."""
    if row.quantity and row.unit_price:
        return f"{row.label}: {row.quantity} × {row.unit_price} = {row.amount}"
    counted = f"{row.quantity} = " if row.quantity else ""
    return f"{row.label}: {counted}{row.amount}"


def _add_payment(document: Document, invoice: Invoice) -> None:
    """Say where to pay, by when, and under which reference (BG-16, BT-9, BT-83)."""
    settlement, seller = document.trade.settlement, invoice.seller
    settlement.payment_reference = invoice.number
    settlement.currency_code = invoice.currency
    if account := clean(seller.get("iban")).replace(" ", ""):
        means = PaymentMeans()
        is_sepa = invoice.currency == "EUR" and iban.is_valid(account)
        means.type_code = _SEPA if is_sepa else _CREDIT_TRANSFER
        if iban.is_valid(account):
            means.payee_account.iban = account
        else:
            means.payee_account.proprietary_id = _text(account)
        means.payee_account.account_name = _text(seller.get("legal_name"))
        means.payee_institution.bic = clean(seller.get("bic"))
        settlement.payment_means.add(means)
    terms = PaymentTerms()
    terms.due = invoice.due_date
    settlement.terms.add(terms)


def _subtotal(tax: _Tax, currency: str, reader: Reader) -> ApplicableTradeTax:
    """Write the tax of a category and rate (BG-23), and why none is due where none is."""
    told = ApplicableTradeTax()
    told.calculated_amount = _amount(tax.amount, currency)
    told.type_code, told.category_code = "VAT", tax.category
    if tax.category not in (TaxCategory.STANDARD, TaxCategory.ZERO):
        told.exemption_reason = _text(tax_note(tax, reader))
        told.exemption_reason_code = _EXEMPTION.get(TaxCategory(tax.category), "")
    told.basis_amount = _amount(tax.base, currency)
    _add_rate(told, tax.category, tax.rate)
    return told


def _allowance(allowance: InvoiceAllowance, invoice: Invoice) -> TradeAllowanceCharge:
    """Write what a coupon takes off the lines of one tax (BG-20)."""
    told = TradeAllowanceCharge()
    told.indicator = False
    told.actual_amount = _amount(allowance.amount, invoice.currency)
    told.reason_code, told.reason = _DISCOUNT, _text(allowance.description)
    tax = CategoryTradeTax()
    tax.type_code, tax.category_code = "VAT", allowance.tax_category
    _add_rate(tax, allowance.tax_category, allowance.tax_rate)
    told.trade_tax.add(tax)
    return told


def _add_rate(tax: Any, category: str, rate: Decimal) -> None:
    if category != TaxCategory.OUT_OF_SCOPE:  # which has no rate (BR-O-05)
        tax.rate_applicable_percent = plain(rate)


def _add_totals(document: Document, invoice: Invoice) -> None:
    """Write what all comes to (BG-22), and the tax in the currency of the books (BT-111)."""
    totals = document.trade.settlement.monetary_summation
    allowances = list(invoice.allowances.all())
    taken_off = add_up(one.amount for one in allowances)
    totals.line_total = _amount(EXACT.add(invoice.net_total, taken_off), invoice.currency)
    if allowances:
        totals.allowance_total = _amount(taken_off, invoice.currency)
    _add_sums(document, invoice, invoice.currency)
    due = due_at_issue(invoice)
    if due != invoice.total:
        totals.prepaid_total = _amount(EXACT.subtract(invoice.total, due), invoice.currency)
    totals.due_amount = _amount(due, invoice.currency)


def _add_sums(document: Document, told: Invoice | CreditNote, currency: str) -> None:
    totals = document.trade.settlement.monetary_summation
    totals.tax_basis_total = (_amount(told.net_total, currency), None)
    totals.tax_total = (_amount(told.tax_total, currency), currency)
    if said := told.tax_in_books:
        document.trade.settlement.tax_currency_code = said["currency"]
        totals.tax_total_other_currency.add((said["amount"], said["currency"]))
    totals.grand_total = (_amount(told.total, currency), None)


def _add_period(period: Any, start: date, end: date) -> None:
    """Write service days; the last is the one before `end`."""
    period.start, period.end = start, end - timedelta(days=1)


def _amount(value: Decimal, currency: str) -> str:
    return f"{round_half_up(value, exponent(currency)):f}"


def _text(said: object) -> str:
    """Keep what a text says, but for what XML has no place for."""
    text = str(said or "")
    lines = text.split("\n") if "\n" in text else [text]
    return _NO_XML.sub("", "\n".join(clean(line) for line in lines))
