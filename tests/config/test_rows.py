"""Many rows are saved in one statement, each column as a save would write it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError

from config.base.models import Outbox
from config.base.rows import update_rows
from customers.models import Issuer

pytestmark = pytest.mark.django_db
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
