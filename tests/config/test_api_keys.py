"""A key is shown once, to who made it, and the trail says so."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config.base.models import ApiKey, AuditEntry
from config.base.services.api_keys import SCOPES

pytestmark = pytest.mark.django_db


def made(*arguments: str, **options: Any) -> list[str]:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out, **options)
    return out.getvalue().splitlines()


def test_the_key_stands_alone_on_the_last_line() -> None:
    *explanation, text = made("gateway", "--scope", "events:write", "--scope", "billing:read")
    key = ApiKey.objects.get()
    assert text.startswith(f"pb_{key.prefix}_")
    assert text.split("_", 2)[2] not in key.secret_hash
    assert key.scopes == ["events:write", "billing:read"]
    assert explanation[0] == "gateway may use events:write, billing:read until revoked."


def test_scopes_may_be_separated_by_commas() -> None:
    made("gateway", "--scope", ",".join(SCOPES))
    assert ApiKey.objects.get().scopes == list(SCOPES)


def test_a_key_may_expire() -> None:
    made("gateway", "--scope", "events:write", "--expires-in-days", "30")
    key = ApiKey.objects.get()
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days in (29, 30)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["gateway", "--scope", "events:all"], id="unknown"),
        pytest.param(["gateway", "--scope", " , "], id="none"),
        pytest.param([" ", "--scope", "events:read"], id="no name"),
        pytest.param(["x" * 101, "--scope", "events:read"], id="a long name"),
        pytest.param(["a", "--scope", "events:read", "--expires-in-days", "0"], id="no days"),
        pytest.param(["a", "--scope", "events:read", "--expires-in-days", "9" * 9], id="for ever"),
    ],
)
def test_what_is_refused_makes_no_key(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        made(*arguments)
    assert not ApiKey.objects.exists()


def test_an_unknown_scope_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match="events:all.*catalog:read"):
        made("gateway", "--scope", "events:all")


def test_the_trail_says_who_may_what_but_no_secret() -> None:
    text = made("gateway", "--scope", "events:write")[-1]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_name) == ("created", "gateway")
    assert entry.changes["scopes"] == [None, ["events:write"]]
    assert ApiKey.objects.get().secret_hash not in str(entry.changes)
    assert text.split("_", 2)[2] not in str(entry.changes)
