"""Roles: groups of staff with their permissions, completed after every migrate.

Each app says in its `groups.py` what a role may do with its models. What is missing is added;
what a person granted besides stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps

FINANCE = "Finance"
FINANCE_LEAD = "Finance lead"
SUPPORT = "Support"
DEVELOPER = "Developer"

Grants = Mapping[str, Iterable[str]]
"""What each role may do with an app's models: permission codenames by role."""

GRANTS: Grants = {
    FINANCE_LEAD: ["view_auditentry", "view_outbox", "change_outbox"],
    DEVELOPER: [
        "view_auditentry",
        "view_apikey",
        "add_apikey",
        "change_apikey",
        "view_outbox",
        "change_outbox",
    ],
}


def may(actions: str, models: str) -> list[str]:
    """Return codenames: `may("view add", "plan")` is view_plan and add_plan."""
    return [f"{action}_{model}" for model in models.split() for action in actions.split()]


def grant_after_migrate(grants: Grants) -> Any:
    """Return a post_migrate receiver for the app that declares `grants`."""

    def receive(sender: AppConfig, using: str, apps: Any = installed_apps, **kwargs: Any) -> None:
        try:
            group_model = apps.get_model("auth", "Group")
            permission_model = apps.get_model("auth", "Permission")
        except LookupError:
            return  # migrating some apps only
        for role, codenames in grants.items():
            group, _ = group_model.objects.using(using).get_or_create(name=role)
            permissions = permission_model.objects.using(using).filter(
                content_type__app_label=sender.label, codename__in=list(codenames)
            )
            group.permissions.add(*permissions)

    return receive
