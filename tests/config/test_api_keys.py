"""A key is shown once, to who made it, and the trail says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config.base.audit import SYSTEM
from config.base.models import ApiKey, AuditEntry
from config.base.services.api_keys import (
    SCOPES,
    create_api_key,
    recognise_again,
    revoke_api_key,
)

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


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


@pytest.fixture
def trusted() -> tuple[ApiKey, str]:
    """A key that this process recognised just now."""
    key, text = create_api_key(name="x", scopes=["events:write"], expires_at=LATER, actor=SYSTEM)
    assert recognise_again(text, at=NOW) == key
    return key, text


def test_a_key_that_comes_by_the_hundred_is_asked_for_once(
    trusted: tuple[ApiKey, str], django_assert_num_queries: Any
) -> None:
    key, text = trusted
    with django_assert_num_queries(0):
        assert recognise_again(text, at=NOW + timedelta(seconds=1.9)) == key
    with django_assert_num_queries(1):
        assert recognise_again(text, at=NOW + timedelta(seconds=2)) == key


def test_the_process_that_revokes_a_key_refuses_it_at_once(trusted: tuple[ApiKey, str]) -> None:
    key, text = trusted
    revoke_api_key(key_id=key.pk, at=NOW, actor=SYSTEM)
    assert recognise_again(text, at=NOW) is None


def test_another_process_refuses_a_revoked_key_two_seconds_later(
    trusted: tuple[ApiKey, str],
) -> None:
    key, text = trusted
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=NOW)
    assert recognise_again(text, at=NOW + timedelta(seconds=2)) is None
    assert recognise_again(text, at=NOW + timedelta(seconds=2.1)) is None


def test_an_expired_key_is_refused_at_its_instant(trusted: tuple[ApiKey, str]) -> None:
    """Also while it is trusted still."""
    _, text = trusted
    assert recognise_again(text, at=LATER - timedelta(seconds=1)) is not None
    assert recognise_again(text, at=LATER) is None


def test_what_is_no_key_is_never_trusted() -> None:
    assert recognise_again("pb_x", at=NOW) is None
    assert recognise_again("pb_x", at=NOW) is None
