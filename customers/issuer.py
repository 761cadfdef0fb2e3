"""The issuer that a new installation begins with, so that it can invoice at once."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.db import connections

from customers.models import FIRST_NAME, Issuer


def create_first_issuer(
    sender: AppConfig, using: str, apps: Any = installed_apps, **kwargs: Any
) -> None:
    """Receive post_migrate: make “Your company” (UTC, EUR, out of scope of tax) if nobody sells yet."""
    if Issuer._meta.db_table not in connections[using].introspection.table_names():
        return  # migrating some apps only
    if not Issuer.objects.using(using).exists():
        Issuer(name=FIRST_NAME, legal_name=FIRST_NAME).save(using=using)
