"""The people of the admin's tests, signed in: Anna of Finance, Leo who leads it, Sam of Support,
Dora who develops, and a stranger who is staff without a role."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT


def person(name: str, *roles: str, **fields: Any) -> Client:
    """Sign somebody in who is staff with these roles."""
    user = User.objects.create_user(name, password="a-Long-pass-1", is_staff=True, **fields)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client()
    client.force_login(user)
    return client


def anna() -> Client:
    return person("anna", FINANCE)


def leo() -> Client:
    return person("leo", FINANCE_LEAD)


def sam() -> Client:
    return person("sam", SUPPORT)


def dora() -> Client:
    return person("dora", DEVELOPER)


def stranger() -> Client:
    return person("stranger")


def nora() -> Client:
    return person("nora", is_superuser=True)


def page(model: str, name: str, *args: Any) -> str:
    """Return an admin address: `page("catalog_plan", "change", 3)`."""
    return reverse(f"admin:{model}_{name}", args=args)


def said(response: Any) -> str:
    """Return a page's words without its markup, in one line."""
    text = re.sub(
        r"<(script|style).*?</\1>|<[^>]+>",
        " ",
        response.content.decode().replace("<wbr>", ""),
        flags=re.S,
    )
    return " ".join(text.replace("&quot;", '"').replace("&#x27;", "'").split())


def form_errors(response: Any) -> dict[str, list[str]]:
    """Return the errors of the form that is shown again."""
    return dict(response.context["adminform"].form.errors)


def queries(call: Callable[[], Any]) -> int:
    """Count the queries of a call that must succeed."""
    with CaptureQueriesContext(connection) as captured:
        assert call().status_code == 200
    return len(captured)
