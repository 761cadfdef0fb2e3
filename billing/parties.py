"""Seller and buyer as an invoice prints them, frozen with it (R28, R37)."""

from __future__ import annotations

from typing import Any

from config.base.errors import Refusal
from customers.issuer import issuer_of as only_issuer_of
from customers.models import Customer, Issuer, Party, Subscription

_ADDRESS = (
    "legal_name",
    "email",
    "vat_id",
    "line1",
    "line2",
    "postal_code",
    "city",
    "region",
    "country",
    "locale",
)


class IssuerUndecided(Refusal):
    """Several issuers exist, and neither subscription nor customer says which one sells."""

    code = "issuer_undecided"


def the_only_issuer() -> Issuer | None:
    """Return the issuer if there is just one."""
    found = list(Issuer.objects.all()[:2])
    return found[0] if len(found) == 1 else None


def seller_of(issuer: Issuer) -> dict[str, Any]:
    """Return what an invoice says of its issuer."""
    own = (
        *("name", "time_zone", "accent_colour", "bank_name", "iban", "bic", "register_entry"),
        *("tax_number", "logo_id", "legal_text", "footer_text", "electronic_invoices"),
    )
    says = _details(issuer, own)
    return says | {"sends_invoices": True} if issuer.sends_invoices else says


def buyer_of(customer: Customer) -> dict[str, Any]:
    """Return what an invoice says of its payer."""
    own = (
        *("key", "name", "attention", "purchase_order", "buyer_reference"),
        "payment_terms_days",
    )
    return _details(customer, own)


def issuer_of(subscription: Subscription, *, only: Issuer | None) -> Issuer:
    """Return who sells: the subscription's issuer, the customer's, or the only one there is.

    :raises IssuerUndecided: if none of them says.
    """
    issuer = subscription.issuer or subscription.customer.issuer or only
    if issuer is None:
        raise IssuerUndecided(
            f"Say who sells to {subscription.customer}: there are several issuers, "
            "and neither the customer nor the subscription names one."
        )
    return issuer


def issuer_for(customer: Customer) -> Issuer:
    """Return who sells to a customer where no subscription says otherwise.

    :raises IssuerUndecided: if nothing says who.
    """
    found = only_issuer_of(customer)
    if found is None:
        raise IssuerUndecided(
            f"Say who sells to {customer}: there are several issuers, and it names none."
        )
    return found


def payer_of(subscription: Subscription) -> Customer:
    """Return who pays: the subscription's payer, or the customer itself."""
    return subscription.payer or subscription.customer


def _details(party: Party, own: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(party, name) for name in (*_ADDRESS, *own)}
