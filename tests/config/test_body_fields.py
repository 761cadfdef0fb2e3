"""Fields take one spelling of a value and answer another that is as plain."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from config.base.api.fields import (
    AmountString,
    CalendarDate,
    Instant,
    KeyString,
    QuantityString,
    Text,
    UnitAmountString,
    WholeNumber,
    YesNo,
    plain,
)

pytestmark = pytest.mark.django_db
QUANTITY, PRICE, AMOUNT = QuantityString(), UnitAmountString(), AmountString()


@pytest.mark.parametrize(
    ("field", "sent", "value"),
    [
        pytest.param(QUANTITY, "187340", "187340", id="a string of digits"),
        pytest.param(QUANTITY, "0.0000000001", "0.0000000001", id="ten decimals"),
        pytest.param(QUANTITY, 25, "25", id="a JSON whole number"),
        pytest.param(QUANTITY, Decimal("0.5"), "0.5", id="a JSON decimal"),
        pytest.param(QUANTITY, "-0", "0", id="minus nothing is nothing"),
        pytest.param(PRICE, "0.000000000001", "0.000000000001", id="twelve decimals"),
        pytest.param(PRICE, "007.50", "7.5", id="leading and trailing zeros"),
        pytest.param(AMOUNT, "99999999999999.9", "99999999999999.9", id="fifteen digits"),
        pytest.param(AmountString(minimum=None), "-1.5", "-1.5", id="negative where allowed"),
    ],
)
def test_a_decimal_that_is_read(
    field: serializers.Field[Any, Any, Any, Any], sent: Any, value: str
) -> None:
    assert field.run_validation(sent) == Decimal(value)
    assert field.to_representation(field.run_validation(sent)) == value


@pytest.mark.parametrize(
    ("field", "sent", "code"),
    [
        pytest.param(QUANTITY, "1e5", "invalid", id="an exponent"),
        pytest.param(QUANTITY, Decimal("1E+5"), "invalid", id="an exponent in a number"),
        pytest.param(QUANTITY, "NaN", "invalid", id="not a number"),
        pytest.param(QUANTITY, Decimal("NaN"), "invalid", id="a decimal that is none"),
        pytest.param(QUANTITY, "Infinity", "invalid", id="infinity"),
        pytest.param(QUANTITY, "1_000", "invalid", id="Python's underscore"),
        pytest.param(QUANTITY, "1,000", "invalid", id="a thousands separator"),
        pytest.param(QUANTITY, "٣٤", "invalid", id="Arabic-Indic digits"),
        pytest.param(QUANTITY, "+1", "invalid", id="a plus sign"),
        pytest.param(QUANTITY, " 1", "invalid", id="a space"),
        pytest.param(QUANTITY, "1\n", "invalid", id="a line break"),
        pytest.param(QUANTITY, "", "invalid", id="nothing"),
        pytest.param(QUANTITY, ".5", "invalid", id="no digit before the point"),
        pytest.param(QUANTITY, "5.", "invalid", id="no digit after the point"),
        pytest.param(QUANTITY, True, "invalid", id="a boolean"),
        pytest.param(QUANTITY, 0.5, "invalid", id="a float, which only a bug could bring"),
        pytest.param(QUANTITY, ["1"], "invalid", id="a list"),
        pytest.param(QUANTITY, None, "null", id="null"),
        pytest.param(QUANTITY, "-1", "too_small", id="a negative"),
        pytest.param(QuantityString(positive=True), "0", "not_positive", id="nothing at all"),
        pytest.param(QUANTITY, "1" + "0" * 20, "too_long", id="21 digits"),
        pytest.param(QUANTITY, "0.00000000001", "too_long", id="eleven decimals"),
        pytest.param(QUANTITY, Decimal("1E-90"), "too_long", id="ninety decimals"),
        pytest.param(PRICE, "1000000000000", "too_long", id="13 digits of a price"),
        pytest.param(AMOUNT, "0.00001", "too_long", id="five decimals of an amount"),
    ],
)
def test_a_decimal_that_is_refused(
    field: serializers.Field[Any, Any, Any, Any], sent: Any, code: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        field.run_validation(sent)
    assert refusal.value.get_codes() == [code]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("9" * 10_000_000, id="ten million digits"),
        pytest.param(10**100_000, id="a whole number of 100,000 digits"),
        pytest.param(Decimal("1E-999999"), id="a million decimals"),
    ],
)
def test_an_endless_number_is_refused_at_once(sent: Any) -> None:
    began = time.perf_counter()
    with pytest.raises(ValidationError):
        QUANTITY.run_validation(sent)
    assert time.perf_counter() - began < 0.5


def test_sixteen_digits_are_kept_exactly_or_refused_by_name() -> None:
    from django.db import connection  # noqa: PLC0415

    if connection.vendor == "postgresql":
        assert QUANTITY.run_validation("1234567890.123456") == Decimal("1234567890.123456")
    else:
        with pytest.raises(ValidationError, match="16 significant digits"):
            QUANTITY.run_validation("1234567890.123456")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("1E+3", "1000", id="no exponent"),
        pytest.param("0E-10", "0", id="nothing, from a column with ten decimals"),
        pytest.param("-0.00", "0", id="no negative nothing"),
        pytest.param("0.0000001", "0.0000001", id="seven decimals"),
        pytest.param("100.5000", "100.5", id="zeros cut"),
    ],
)
def test_a_decimal_in_an_answer(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_an_amount_keeps_its_zeros_if_told_so() -> None:
    assert AmountString(keep_zeros=True).to_representation(Decimal("0.00")) == "0.00"


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_every_decimal_reads_back_from_its_text(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        pytest.param(Text(max_length=5), "123456", id="too long"),
        pytest.param(Text(max_length=50), "", id="nothing"),
        pytest.param(Text(max_length=50), "   ", id="spaces"),
        pytest.param(Text(max_length=50), 5, id="a number for a text"),
        pytest.param(Text(max_length=50), "a\x00", id="NUL"),
        pytest.param(Text(max_length=50), "a\nb", id="two lines for one"),
        pytest.param(Text(max_length=50), "a\x1b[1m", id="an escape sequence"),
        pytest.param(Text(max_length=50), "a\u202eb", id="a right-to-left override"),
        pytest.param(Text(max_length=50, lines=True), "a\u2066b", id="an isolate"),
        pytest.param(KeyString(), "", id="no key"),
        pytest.param(KeyString(), "a b", id="a space in a key"),
        pytest.param(KeyString(), "a/b", id="a slash in a key"),
        pytest.param(KeyString(), "..", id="two dots as a key"),
        pytest.param(KeyString(), "ä", id="a letter outside ASCII"),
        pytest.param(KeyString(), "a" * 256, id="a key of 256 characters"),
        pytest.param(KeyString(), 5, id="a number for a key"),
        pytest.param(WholeNumber(), "5", id="a string for a whole number"),
        pytest.param(WholeNumber(), True, id="a boolean for a whole number"),
        pytest.param(WholeNumber(), Decimal("1.0"), id="a decimal for a whole number"),
        pytest.param(YesNo(), 1, id="one for true"),
        pytest.param(YesNo(), "true", id="a string for true"),
        pytest.param(CalendarDate(), "20261101", id="a date without dashes"),
        pytest.param(CalendarDate(), "2026-02-29", id="no such day"),
        pytest.param(CalendarDate(), "0001-01-01", id="the year 1"),
        pytest.param(CalendarDate(), "２０２６-11-01", id="full-width digits"),
        pytest.param(CalendarDate(), 20261101, id="a number for a date"),
        pytest.param(Instant(), "2026-11-01T12:00:00", id="a time without offset"),
        pytest.param(Instant(), "2026-11-01", id="a date for a time"),
        pytest.param(Instant(), "2026-11-01T24:00:00Z", id="no such hour"),
        pytest.param(Instant(), "9999-12-31T23:59:59Z", id="the end of time"),
    ],
)
def test_a_value_that_is_refused(field: serializers.Field[Any, Any, Any, Any], sent: Any) -> None:
    with pytest.raises(ValidationError):
        field.run_validation(sent)


def test_values_that_are_read() -> None:
    assert Text(max_length=50).run_validation(" Ünï “x” 日本 ") == "Ünï “x” 日本"
    assert Text(max_length=50, lines=True).run_validation("a\nb") == "a\nb"
    assert KeyString().run_validation("a.b:c@d%20") == "a.b:c@d%20"
    assert CalendarDate().run_validation("2026-11-01").isoformat() == "2026-11-01"
    read = Instant().run_validation("2026-11-01t12:00:00.123456789+01:00")
    assert read.isoformat() == "2026-11-01T12:00:00.123456+01:00"
