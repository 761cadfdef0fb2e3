"""Who a customer is to us: as invoices say it, and who may sign in."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from billing.parties import buyer_of
from billing.portal import words
from billing.portal.invoices import today
from billing.portal.plan import SHOWN, zone_name, zone_told
from billing.presentation.invoice import party_view
from billing.presentation.reader import Reader, clean
from customers.models import Subscription
from customers.portal import Visitor, page, signed_in
from customers.terms import in_force


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
    named = zone_name(customer.time_zone)
    yield say["time_zone"], named
    yield from _other_zones(visitor, reader, named)


def _other_zones(visitor: Visitor, reader: Reader, named: str) -> Iterator[tuple[str, str]]:
    """Yield the time zone of each subscription that is not over and is, or will be, on another one."""
    day, say = today(visitor), words.of(reader.tag)
    mine = Subscription.objects.concerning(visitor.customer).not_over(on=day)
    found: dict[tuple[str, str], None] = {}
    for one in mine.with_terms().order_by("pk")[:SHOWN]:
        told = zone_told(one, reader, day=day)
        if told != named:
            plan = clean(in_force(one, at=timezone.now()).plan_version.plan.name)
            is_theirs = one.customer_id == visitor.customer.pk
            whose = plan if is_theirs else f"{plan}, {clean(one.customer.name)}"
            found[say["zone_of"].format(plan=whose), told] = None
    yield from found


def _address(email: str) -> SafeString:
    """Let a long address break after its "@" before anywhere else."""
    name, at, host = email.rpartition("@")
    return format_html("{}{}<wbr>{}", name, at, host)
