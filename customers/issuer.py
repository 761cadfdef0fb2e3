"""Who sells: the issuer that a new installation begins with, and the one a customer knows."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.db import connections

from customers.models import FIRST_NAME, Customer, Issuer
from customers.periods import local_date, zone


def create_first_issuer(
    sender: AppConfig, using: str, apps: Any = installed_apps, **kwargs: Any
) -> None:
    """Receive post_migrate: make “Your company” (UTC, EUR, out of scope of tax) if nobody sells yet."""
    if Issuer._meta.db_table not in connections[using].introspection.table_names():
        return  # migrating some apps only
    if not Issuer.objects.using(using).exists():
        Issuer(name=FIRST_NAME, legal_name=FIRST_NAME).save(using=using)


def sellers_day(*, at: datetime) -> date:
    """Return the day that it is where issuers are: the latest of theirs, so that all that is booked
    by then is in it."""
    zones = Issuer.objects.order_by().values_list("time_zone", flat=True).distinct()
    return max((local_date(at, zone(name)) for name in zones), default=at.date())


def issuer_of(customer: Customer | None) -> Issuer | None:
    """Return in whose name a customer is spoken to: its issuer, or the only one; None if undecided."""
    if customer and customer.issuer:
        return customer.issuer
    issuers = list(Issuer.objects.all()[:2])
    return issuers[0] if len(issuers) == 1 else None
