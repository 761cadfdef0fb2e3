"""What makes a price impossible, where, and in which words."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from catalog.pricing import Graduated, Volume, faults
from tests.catalog.notation import price

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("flat | at 499", id="flat"),
        pytest.param("per_unit | at 0", id="free of charge"),
        pytest.param("graduated | tiers rest @ 1", id="one open tier"),
        pytest.param("volume | tiers 1 @ 1 + 5, 2 @ 0.5, rest @ 0 | included 5", id="a ladder"),
        pytest.param("package | at 1 | size 0.5", id="packages of half a unit"),
        pytest.param("per_unit | at 1 | min 5 | max 5 | off 100%", id="floor at the cap"),
    ],
)
def test_sound_prices(text: str) -> None:
    assert faults(price(text)) == []


@pytest.mark.parametrize(
    ("text", "path", "code"),
    [
        pytest.param("flat | at -1", ("unit_amount",), "negative", id="negative fee"),
        pytest.param("per_unit | at -1", ("unit_amount",), "negative", id="negative unit price"),
        pytest.param("per_unit | at NaN", ("unit_amount",), "not_a_number", id="not a number"),
        pytest.param("package | at -1 | size 1", ("unit_amount",), "negative", id="package price"),
        pytest.param(
            "package | at 1 | size 0", ("package_size",), "not_positive", id="empty package"
        ),
        pytest.param(
            "package | at 1 | size Infinity",
            ("package_size",),
            "not_a_number",
            id="endless package",
        ),
        pytest.param(
            "per_unit | at 1 | included -1", ("included_quantity",), "negative", id="allowance"
        ),
        pytest.param(
            "flat | at 1 | included 1", ("included_quantity",), "included_on_flat", id="on flat"
        ),
        pytest.param("per_unit | at 1 | min -1", ("minimum",), "negative", id="floor"),
        pytest.param("per_unit | at 1 | max -1", ("maximum",), "negative", id="cap"),
        pytest.param(
            "per_unit | at 1 | min 6 | max 5",
            ("minimum",),
            "minimum_above_maximum",
            id="floor above cap",
        ),
        pytest.param(
            "per_unit | at 1 | off 100.01%",
            ("discount_percent",),
            "not_a_percentage",
            id="more than all off",
        ),
        pytest.param(
            "per_unit | at 1 | off -1%", ("discount_percent",), "not_a_percentage", id="a surcharge"
        ),
        pytest.param(
            "graduated | tiers 10 @ -1, rest @ 1",
            ("tiers", 0, "unit_amount"),
            "negative",
            id="negative tier price",
        ),
        pytest.param(
            "volume | tiers 10 @ 1, rest @ 1 + -5",
            ("tiers", 1, "flat_amount"),
            "negative",
            id="negative tier fee",
        ),
        pytest.param(
            "graduated | tiers 10 @ 1, 10 @ 1, rest @ 1",
            ("tiers", 1, "up_to"),
            "not_rising",
            id="bound repeated",
        ),
        pytest.param(
            "volume | tiers 10 @ 1, 5 @ 1, rest @ 1",
            ("tiers", 1, "up_to"),
            "not_rising",
            id="bound falling",
        ),
        pytest.param(
            "graduated | tiers 0 @ 1, rest @ 1",
            ("tiers", 0, "up_to"),
            "not_positive",
            id="bound at zero",
        ),
        pytest.param(
            "graduated | tiers 10 @ 1",
            ("tiers", 0, "up_to"),
            "last_tier_closed",
            id="no price above the last bound",
        ),
        pytest.param(
            "graduated | tiers rest @ 1, rest @ 1",
            ("tiers", 0, "up_to"),
            "open_tier_not_last",
            id="two open tiers",
        ),
    ],
)
def test_fault(text: str, path: tuple[str | int, ...], code: str) -> None:
    [fault] = faults(price(text))
    assert (fault.path, fault.code) == (path, code)
    assert fault.message.endswith(".")


@pytest.mark.parametrize("model", [Graduated(()), Volume(())])
def test_a_ladder_needs_a_tier(model: Graduated | Volume) -> None:
    [fault] = faults(replace(price("per_unit | at 1"), model=model))
    assert (fault.path, fault.code) == (("tiers",), "no_tiers")


def test_all_faults_at_once_in_the_order_of_the_form() -> None:
    broken = price(
        "graduated | tiers 10 @ -1, 5 @ 1 + -2 | included -1 | min 3 | max -1 | off 101%"
    )
    assert [(fault.path, fault.code) for fault in faults(broken)] == [
        (("tiers", 0, "unit_amount"), "negative"),
        (("tiers", 1, "flat_amount"), "negative"),
        (("tiers", 1, "up_to"), "not_rising"),
        (("tiers", 1, "up_to"), "last_tier_closed"),
        (("included_quantity",), "negative"),
        (("maximum",), "negative"),
        (("discount_percent",), "not_a_percentage"),
    ]


def test_a_finance_person_can_read_it() -> None:
    [fault] = faults(replace(price("per_unit | at 1"), minimum=D(6), maximum=D(5)))
    assert fault.message == "The minimum must not be above the maximum."
