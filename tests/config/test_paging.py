"""Lists come in pages that neither skip nor repeat, whatever the caller asks for."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from config.base.models import Outbox
from tests.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config.example")]
LETTERS = "/api/v1/letters"
AT = datetime(2026, 11, 1, tzinfo=UTC)


def letters(count: int) -> None:
    Outbox.objects.bulk_create(
        Outbox(kind="even" if number % 2 == 0 else "odd", key=f"{number:03}", due_at=AT)
        for number in range(count)
    )


def keys(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["key"] for row in response.json()["results"]]


def test_pages_follow_each_other_both_ways(caller: Caller) -> None:
    letters(5)
    client = caller()
    first = client.get(f"{LETTERS}?limit=2")
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])
    assert [keys(page) for page in (first, second, third)] == [
        ["000", "001"],
        ["002", "003"],
        ["004"],
    ]
    assert (first.json()["previous"], third.json()["next"]) == (None, None)
    assert keys(client.get(third.json()["previous"])) == ["002", "003"]


def test_a_new_row_moves_no_page(caller: Caller) -> None:
    letters(3)
    client = caller()
    first = client.get(f"{LETTERS}?limit=2").json()
    Outbox.objects.filter(key="000").delete()
    assert keys(client.get(first["next"])) == ["002"]


def test_a_page_has_50_rows_unless_told_otherwise(caller: Caller) -> None:
    letters(120)
    client = caller()
    assert [
        len(keys(client.get(f"{LETTERS}{query}")))
        for query in ("", "?limit=1", "?limit=100", "?limit=9999")
    ] == [50, 1, 100, 100]


def test_pages_are_of_what_was_filtered(caller: Caller) -> None:
    letters(6)
    client = caller()
    first = client.get(f"{LETTERS}?kind=odd&limit=2").json()
    assert keys(client.get(first["next"])) == ["005"]


@pytest.mark.parametrize("limit", ["0", "-1", "", "x", "1e1", "1_0", "٣", " 1", "1.0", "9" * 5000])
def test_a_limit_that_is_refused(caller: Caller, limit: str) -> None:
    refused = caller().get(LETTERS, {"limit": limit})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["parameter"] == "limit"


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("x", id="no base64"),
        pytest.param("💥", id="no ASCII"),
        pytest.param(b64encode(b"p=abc").decode(), id="a position that is no number"),
        pytest.param(b64encode(b"p=%00").decode(), id="NUL for a position"),
        pytest.param(b64encode(b"p=1e5").decode(), id="an exponent for a position"),
        pytest.param(b64encode(b"o=x").decode(), id="an offset that is no number"),
    ],
)
def test_a_cursor_that_is_refused(caller: Caller, cursor: str) -> None:
    letters(1)
    refused = caller().get(LETTERS, {"cursor": cursor})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["parameter"] == "cursor"


def test_a_position_beyond_every_row_is_an_empty_page(caller: Caller) -> None:
    letters(1)
    cursor = b64encode(b"p=" + b"9" * 40).decode()
    assert keys(caller().get(LETTERS, {"cursor": cursor})) == []
