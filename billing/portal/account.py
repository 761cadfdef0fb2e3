"""Who a customer is to us: as invoices say it, and who may sign in."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from billing.parties import buyer_of
from billing.portal import words
from billing.presentation.invoice import party_view
from billing.presentation.reader import Reader, clean
from customers.portal import Visitor, page, signed_in


@require_safe
@signed_in
def account(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Show legal details and contacts."""
    say, customer, issuer = words.of(visitor.locale), visitor.customer, visitor.issuer
    reader = Reader(visitor.locale, customer.currency)
    lead = "legal_lead" if issuer and issuer.email else "legal_lead_plain"
    context = {
        "words": say,
        "name": customer.name,
        "address": party_view(buyer_of(customer), reader).lines,
        "legal_lead": say[lead].format(
            email=issuer.email if issuer else "", seller=issuer.name if issuer else ""
        ),
        "facts": [fact for fact in _facts(visitor, reader) if fact[1]],
        "contacts": [
            {
                "name": clean(contact.name),
                "email": _address(contact.email),
                "receives": say["yes" if contact.receives_invoices else "no"],
                "is_you": contact.pk == visitor.contact.pk,
            }
            for contact in customer.contacts.all()
        ],
    }
    return page(request, "account.html", context, visitor=visitor, current="account")


def _facts(visitor: Visitor, reader: Reader) -> Iterator[tuple[str, str]]:
    say, customer = words.of(reader.tag), visitor.customer
    days = customer.payment_terms_days
    yield say["customer_number"], customer.key
    yield say["invoice_mail"], _address(customer.email)
    yield say["vat_id"], clean(customer.vat_id)
    yield say["purchase_order"], clean(customer.purchase_order)
    yield say["buyer_reference"], clean(customer.buyer_reference)
    yield say["terms"], say["terms_days"].format(days=days) if days else say["on_receipt"]
    yield say["time_zone"], customer.time_zone.replace("_", " ")


def _address(email: str) -> SafeString:
    """Let a long address break after its "@" before anywhere else."""
    name, at, host = email.rpartition("@")
    return format_html("{}{}<wbr>{}", name, at, host)
