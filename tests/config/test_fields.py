"""Exact decimals: kept exactly or refused by name, on both databases, and summed exactly."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction

from catalog.models import Price, PriceTier, ValueMetric
from config.base.fields import ExactSum, InexactDecimal, PlainDecimalInput, validate_key
from tests import factories as make

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="a rule of SQLite's floats")
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("0.000000000001", id="the smallest price"),
        pytest.param("123.456789012345", id="fifteen digits"),
        pytest.param("999999999999", id="the largest whole price"),
        pytest.param("0.1", id="what a float can't hold but fifteen digits can"),
    ],
)
def test_a_value_comes_back_as_it_went_in(value: str) -> None:
    metric = make.metric(unit_cost=Decimal(value))
    assert ValueMetric.objects.get(pk=metric.pk).unit_cost == Decimal(value)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param("0.0000000000001", "12 decimal places", id="one decimal too many"),
        pytest.param("1000000000000", "12 digits before", id="one digit too many"),
        pytest.param("NaN", "finite", id="not a number"),
        pytest.param("Infinity", "finite", id="endless"),
    ],
)
def test_what_the_column_cannot_hold_is_refused_by_name(value: str, reason: str) -> None:
    metric = make.metric()
    with pytest.raises((InexactDecimal, ValidationError)) as refusal:
        ValueMetric.objects.filter(pk=metric.pk).update(unit_cost=Decimal(value))
    assert reason in str(refusal.value) or "unit_cost" in str(refusal.value)


@pytest.mark.django_db
@on_sqlite
def test_sqlite_refuses_the_sixteenth_digit_instead_of_rounding_it() -> None:
    with pytest.raises(InexactDecimal, match=r"unit_cost.*16 significant digits"):
        make.metric(unit_cost=Decimal("1234.567890123456"))


@pytest.mark.django_db
@on_postgresql
def test_postgresql_holds_all_24_digits() -> None:
    metric = make.metric(unit_cost=Decimal("123456789012.123456789012"))
    metric.refresh_from_db()
    assert metric.unit_cost == Decimal("123456789012.123456789012")


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["'NaN'", "1e13", "-1e13"])
def test_raw_sql_cannot_write_a_number_out_of_bounds(value: str) -> None:
    metric = make.metric()
    if connection.vendor == "sqlite" and value == "'NaN'":
        value = "9e999"  # SQLite has no NaN, but an infinity
    statement = f"UPDATE catalog_valuemetric SET unit_cost = {value} WHERE id = %s"
    with (
        pytest.raises((IntegrityError, DataError)),  # PostgreSQL's column itself refuses overflow
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, [metric.pk])


@pytest.mark.django_db
def test_a_sum_of_tenths_is_exact() -> None:
    ladder = make.draft(make.graduated(make.metric(), "rest @ 0.1")).prices.get()
    PriceTier.objects.bulk_create(
        PriceTier(price=ladder, up_to=n, unit_amount=Decimal("0.1")) for n in range(1, 10)
    )
    assert ladder.tiers.aggregate(total=ExactSum("unit_amount"))["total"] == Decimal("1.0")


@pytest.mark.django_db
def test_a_sum_over_no_rows_is_none_and_compares_in_sql() -> None:
    assert Price.objects.none().aggregate(total=ExactSum("unit_amount"))["total"] is None
    make.draft(make.flat(amount="0.3"), make.flat("other", amount="0.1"))
    dear = Price.objects.values("version").annotate(total=ExactSum("unit_amount"))
    assert dear.filter(total__gt=Decimal("0.39")).count() == 1
    assert dear.filter(total__gt=Decimal("0.4")).count() == 0


@pytest.mark.parametrize(
    "key", ["a", "evt-1", "a:b@c%2F", "x" * 255, "...", "~!$&'()*+,;=_-.", '"quoted"', "[]{}|\\^`"]
)
def test_keys_are_printable_ascii(key: str) -> None:
    validate_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "a b", "a/b", "a?b", "a#b", "ä", "x" * 256, ".", "..", "a\n", "a\x00", "a\x7f", "\u202ea"],
)
def test_what_a_path_could_not_carry_is_no_key(key: str) -> None:
    with pytest.raises(ValidationError):
        validate_key(key)


@pytest.mark.parametrize("typed", ["1e5", "1_000", "NaN", "٣٤", "1,000", "0x10"])
def test_forms_take_numbers_as_they_are_read(typed: str) -> None:
    with pytest.raises(ValidationError):
        PlainDecimalInput(max_digits=24, decimal_places=12).clean(typed)


@pytest.mark.parametrize("typed", ["10", "0.002", " 499.00 ", "-1", ".5"])
def test_forms_take_plain_numbers(typed: str) -> None:
    cleaned = PlainDecimalInput(max_digits=24, decimal_places=12).clean(typed)
    assert cleaned == Decimal(typed.strip())
