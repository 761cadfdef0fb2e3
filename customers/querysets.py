"""Questions about subscriptions, contacts, and who of them is signed in."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Lower

if TYPE_CHECKING:
    from customers.models import (
        Contact,  # noqa: F401
        Customer,
        PortalSession,  # noqa: F401
        SignInLink,  # noqa: F401
        Subscription,  # noqa: F401
    )

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def active(self, *, on: date) -> SubscriptionQuerySet:
        """Keep those with service on that day."""
        return self.filter(Q(ends_on__isnull=True) | Q(ends_on__gt=on), starts_on__lte=on)

    def not_over(self, *, on: date) -> SubscriptionQuerySet:
        """Keep those with service on that day or later."""
        return self.filter(Q(ends_on__isnull=True) | Q(ends_on__gt=on))

    def concerning(self, customer: Customer) -> SubscriptionQuerySet:
        """Keep those that this customer uses or pays for."""
        return self.filter(Q(customer=customer) | Q(payer=customer))

    def paid_by(self, customer: Customer) -> SubscriptionQuerySet:
        """Keep those whose invoices go to this customer."""
        return self.filter(Q(payer=customer) | Q(payer=None, customer=customer))

    def with_terms(self) -> SubscriptionQuerySet:
        """Load customer, phases with plan and version, quantities, own terms and coupons; flat cost."""
        return self.prefetch_related("phases__plan_version__plan").with_phases()

    def with_phases(self) -> SubscriptionQuerySet:
        """Load what `with_terms` does, save the phases' versions."""
        return self.select_related("customer__issuer", "issuer", "payer").prefetch_related(
            "phases", "quantities", "overrides", "applied_coupons__coupon"
        )


class ContactQuerySet(models.QuerySet["Contact"]):
    def at_address(self, email: str) -> ContactQuerySet:
        """Keep those with this mail address, however it is capitalised; the oldest first."""
        return self.alias(address=Lower("email")).filter(address=email.lower()).order_by("pk")


class SignInLinkQuerySet(models.QuerySet["SignInLink"]):
    def usable(self, *, at: datetime) -> SignInLinkQuerySet:
        """Keep what has neither been used nor expired."""
        return self.filter(used_at=None, expires_at__gt=at)

    def of_contacts(self) -> SignInLinkQuerySet:
        """Keep what leads to a contact that still has the address it was written for."""
        return self.filter(contact__email=F("email"))


class PortalSessionQuerySet(models.QuerySet["PortalSession"]):
    def alive(self, *, at: datetime) -> PortalSessionQuerySet:
        """Keep those seen within 12 hours, begun within 7 days, whose contact has its address."""
        return self.filter(
            seen_at__gt=at - IDLE, created_at__gt=at - LONGEST, contact__email=F("email")
        )

    def with_customer(self) -> PortalSessionQuerySet:
        """Load contact, customer and issuer; annotate whether there are `others` to choose from."""
        contacts = self.model._meta.get_field("contact").related_model._default_manager
        others = (
            contacts.annotate(address=Lower("email"))
            .filter(address=Lower(OuterRef("email")))
            .exclude(pk=OuterRef("contact_id"))
        )
        return self.select_related("contact__customer__issuer").annotate(others=Exists(others))
