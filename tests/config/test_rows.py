"""Many rows are saved in a statement or two, each column as a save would write it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from config.base.fields import InexactDecimal
from config.base.models import Outbox
from config.base.rows import FEW, insert_rows, update_rows
from customers.models import Customer, Issuer, Subscription
from tests import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.unaudited]
AT = datetime(2026, 11, 1, tzinfo=UTC)


def test_columns_are_written_as_a_save_would(django_assert_num_queries: object) -> None:
    rows = [Outbox.objects.create(kind="mail", key=str(n), payload={}, due_at=AT) for n in range(3)]
    for n, row in enumerate(rows):
        row.payload, row.attempts, row.last_error = {"ü": [n]}, n, f"no. {n}"
        row.due_at = AT.replace(day=2 + n)
        row.kind = "not to be saved"
    with django_assert_num_queries(1):  # type: ignore[operator]
        update_rows(rows, ["payload", "attempts", "due_at"])
    for n, row in enumerate(Outbox.objects.order_by("pk")):
        assert (row.payload, row.attempts, row.due_at) == ({"ü": [n]}, n, AT.replace(day=2 + n))
        assert (row.kind, row.last_error) == ("mail", "")


def test_exact_decimals_stay_exact() -> None:
    issuer = Issuer.objects.get()
    issuer.tax_status, issuer.standard_tax_rate = "standard", Decimal("7.7001")
    update_rows([issuer], ["tax_status", "standard_tax_rate"])
    issuer.refresh_from_db()
    assert issuer.standard_tax_rate == Decimal("7.7001")


def test_no_rows_are_no_statement(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        update_rows([], ["kind"])


def test_what_the_database_refuses_is_refused() -> None:
    row = Outbox.objects.create(kind="mail", key="1", due_at=AT)
    row.status = "lost"
    with pytest.raises(IntegrityError):
        update_rows([row], ["status"])


HOSTILE = 'tab\t, line\nbreak, \\N and \\. and “ü” {"}'
"""What means something in a stream of columns."""


class TestNewRows:
    @pytest.mark.parametrize("count", [1, FEW, 3 * FEW])
    def test_columns_are_written_as_a_save_would(self, count: int) -> None:
        rows = insert_rows(
            Outbox(
                kind="mail", key=str(n), payload={HOSTILE: [n, None]}, due_at=AT, last_error=HOSTILE
            )
            for n in range(count)
        )
        saved = list(Outbox.objects.order_by("pk"))
        assert [row.pk for row in saved] == [row.pk for row in rows]
        assert [row.key for row in saved] == [str(n) for n in range(count)]
        for n, row in enumerate(saved):
            assert (row.payload, row.last_error) == ({HOSTILE: [n, None]}, HOSTILE)
            assert (row.due_at, row.done_at, row.status, row.attempts) == (AT, None, "pending", 0)
            assert row.created_at == rows[n].created_at  # it is set as they are saved

    def test_they_are_saved_ones_then(self) -> None:
        rows = insert_rows(Outbox(kind="mail", key=str(n), due_at=AT) for n in range(FEW))
        rows[7].key = "changed"
        rows[7].save()
        assert Outbox.objects.count() == FEW
        assert Outbox.objects.create(kind="mail", key="next", due_at=AT).pk > rows[-1].pk

    def test_they_may_belong_to_rows_that_got_their_keys_meanwhile(self) -> None:
        customers = [make.customer(f"c{n}") for n in range(FEW)]
        fresh = [Customer(key=f"f{n}", name="F", currency="EUR") for n in range(FEW)]
        theirs = [
            Subscription(key=one.key, customer=one, starts_on=AT.date())
            for one in (*customers, *fresh)
        ]
        insert_rows(fresh)
        insert_rows(theirs)
        for one in Subscription.objects.select_related("customer"):
            assert one.customer.key == one.key

    def test_one_that_is_not_saved_is_named(self) -> None:
        nobody = Customer(key="nobody")
        rows = [Subscription(key=f"s{n}", customer=nobody, starts_on=AT.date()) for n in range(FEW)]
        with pytest.raises(ValueError, match="unsaved related object 'customer'"):
            insert_rows(rows)

    def test_decimals_are_exact_or_refused(self) -> None:
        issuers = [
            Issuer(name=f"i{n}", tax_status="standard", standard_tax_rate=Decimal("7.7001"))
            for n in range(FEW)
        ]
        assert {one.standard_tax_rate for one in insert_rows(issuers)} == {Decimal("7.7001")}
        assert Issuer.objects.filter(standard_tax_rate=Decimal("7.7001")).count() == FEW
        too_fine = [
            Issuer(name="too fine", tax_status="standard", standard_tax_rate=Decimal("7.70001"))
        ]
        with pytest.raises(InexactDecimal, match="decimal places"):
            insert_rows(too_fine * FEW)

    def test_what_the_database_refuses_is_refused(self) -> None:
        with pytest.raises(IntegrityError):
            insert_rows(Outbox(kind="mail", key="same", due_at=AT) for _ in range(FEW))

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is sent parts")
    def test_as_many_statements_for_many_as_for_more(self) -> None:
        counts = []
        for count in (FEW, 3 * FEW):
            with CaptureQueriesContext(connection) as captured:
                insert_rows(Outbox(kind=f"of {count}", key=str(n), due_at=AT) for n in range(count))
            counts.append(len(captured))
        assert counts == [2, 2]

    def test_no_rows_are_no_statement(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert insert_rows([]) == []
