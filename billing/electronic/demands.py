"""What an invoice must be able to say before it is issued with an XML; none is made silently invalid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from billing.models import CreditNote, Invoice, TaxCategory, TaxSubtotal
from billing.models.invoices import KEPT
from catalog.money import exponent
from config.base.errors import Refusal
from customers.electronic import names_country, seller_faults
from customers.models import Customer, Issuer


class NoElectronicInvoice(Refusal):
    """The invoice has no XML."""

    code = "no_electronic_invoice"


_IS_MIXED = (
    "An electronic invoice has nothing out of scope of tax beside what is taxed "
    "(BR-O-11), as this one has, since it settles what was taxed otherwise: discard the "
    "draft, or switch electronic invoices off on the issuer for this one."
)
_NOTE_IS_MIXED = (
    "As XML, a credit note has nothing out of scope of tax beside what is taxed (BR-O-11): credit "
    "them by one credit note each, or switch electronic invoices off on the issuer for this one."
)
MOST_DECIMALS = 2  # of an amount (BR-DEC-01 and those after it)


class ElectronicInvoiceIncomplete(Refusal):
    """EN 16931 demands something that the invoice can't say; it would be invalid as XML."""

    code = "electronic_invoice_incomplete"


def too_fine(*currencies: str) -> str:
    """Say why an invoice in these currencies has no XML; empty if it may have one."""
    for currency in currencies:
        if exponent(currency) > MOST_DECIMALS:
            return (
                f"{currency} has {exponent(currency)} decimals, and EN 16931 writes amounts with "
                f"{MOST_DECIMALS} at most: the invoice is a PDF alone."
            )
    return ""


def has_xml(invoice: Invoice) -> bool:
    """Say whether an invoice is issued, and carries an XML."""
    return not why_none(invoice)


def why_none(invoice: Invoice) -> str:
    """Say why an invoice has no XML; empty if it has one."""
    if invoice.status not in KEPT:
        state = invoice.get_status_display().lower()
        return f"The invoice is {state}: only an issued one has an XML."
    if not invoice.seller.get("electronic_invoices"):
        return f"{invoice} was issued without an XML: its issuer had not switched them on."
    books = [invoice.tax_in_books["currency"]] if invoice.tax_in_books else []
    return too_fine(invoice.currency, *books)


def note_has_xml(note: CreditNote) -> bool:
    """Say whether a credit note is issued, and carries an XML."""
    return not why_note_has_none(note)


def why_note_has_none(note: CreditNote) -> str:
    """Say why a credit note has no XML; empty if it has one."""
    if not note.number:
        return "The credit note is not issued: only an issued one has an XML."
    if not note.seller.get("electronic_invoices"):
        return f"{note} was issued without an XML: its issuer had not switched them on."
    books = [note.tax_in_books["currency"]] if note.tax_in_books else []
    return too_fine(note.invoice.currency, *books)


def check_note_has_xml(note: CreditNote) -> None:
    """:raises NoElectronicInvoice: if a credit note has no XML, saying why."""
    if why := why_note_has_none(note):
        raise NoElectronicInvoice(why)


def check_note_complete(invoice: Invoice, categories: Iterable[str]) -> None:
    """Refuse to issue a credit note of what is taxed in these categories that would be invalid as XML.

    :raises ElectronicInvoiceIncomplete: with what is missing, and where to enter it.
    """
    if not invoice.issuer.electronic_invoices or too_fine(invoice.currency):
        return
    if wrong := what_lacks(invoice.issuer, invoice.customer, categories, mixed=_NOTE_IS_MIXED):
        raise ElectronicInvoiceIncomplete(wrong)


def check_has_xml(invoice: Invoice) -> None:
    """:raises NoElectronicInvoice: if an invoice has no XML, saying why."""
    if why := why_none(invoice):
        raise NoElectronicInvoice(why)


def lacking(invoices: Sequence[Invoice], issuers: Mapping[int, Issuer]) -> dict[int, str]:
    """Say, by invoice, what is missing of those to come that will have an XML and can't.

    Their customers are loaded; one query, or none where nobody makes electronic invoices.
    """
    made = [
        invoice
        for invoice in invoices
        if issuers[invoice.issuer_id].electronic_invoices and not too_fine(invoice.currency)
    ]
    categories: dict[int, set[str]] = defaultdict(set)
    if made:
        taxes = TaxSubtotal.objects.filter(invoice__in=made).order_by()
        for invoice_id, category in taxes.values_list("invoice_id", "category"):
            categories[invoice_id].add(category)
    found = {}
    for invoice in made:
        wrong = what_lacks(issuers[invoice.issuer_id], invoice.customer, categories[invoice.pk])
        if wrong:
            found[invoice.pk] = wrong
    return found


def check_complete(invoices: Sequence[Invoice], issuers: Mapping[int, Issuer]) -> None:
    """Refuse to issue what would be no valid electronic invoice.

    :raises ElectronicInvoiceIncomplete: with what is missing, and where to enter it.
    """
    for sentence in lacking(invoices, issuers).values():
        raise ElectronicInvoiceIncomplete(sentence)


def what_lacks(
    issuer: Issuer, buyer: Customer, categories: Iterable[str], *, mixed: str = _IS_MIXED
) -> str:
    """Say what is missing of a document between these, taxed in these categories; empty if nothing.

    `mixed` is what to say of one that can't be, since it has what is out of scope beside the rest.
    """
    fields = {name: getattr(issuer, name) for name in _OF_SELLER}
    for fault in seller_faults(fields):
        return f"{issuer}: {fault.message}"
    found = set(categories)
    if not buyer.country:
        return (
            f"The electronic invoice names the country of {buyer} (BR-11): enter it on the "
            "customer."
        )
    if TaxCategory.REVERSE_CHARGE in found and not names_country(buyer.vat_id):
        return (
            f"The electronic invoice names the VAT ID of {buyer}, who owes the tax (BR-AE-02): "
            "enter it on the customer."
        )
    if TaxCategory.OUT_OF_SCOPE in found and len(found) > 1:
        return mixed
    is_registered = names_country(issuer.vat_id) or issuer.tax_number
    if found - {TaxCategory.OUT_OF_SCOPE} and not is_registered:
        return (
            f"The electronic invoice names the VAT ID or tax number of {issuer} (BR-S-02): enter it "
            "on the issuer."
        )
    return ""


_OF_SELLER = (
    "legal_name",
    "line1",
    "city",
    "country",
    "vat_id",
    "register_entry",
    "tax_number",
    "tax_status",
)
