"""R13, percentage: 2.9 % + 0.30 of every payment, its bounds, free events and reversals."""

from decimal import Decimal as D
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.money import exact_sum
from catalog.pricing import (
    WHOLE,
    DayFraction,
    Payments,
    Percentage,
    Price,
    Rated,
    explanation,
    faults,
    rate,
)
from catalog.pricing.explanation import step_from_json

pytestmark = pytest.mark.once

CARD = Percentage(D("2.9"), fixed_amount=D("0.30"))


def charged(
    model: Percentage, amounts: str, *, part: DayFraction = WHOLE, minimum: D | None = None
) -> Rated:
    moved = [D(amount) for amount in amounts.split()]
    return rate(Price(model, minimum=minimum), Payments(moved), exponent=2, part=part)


@pytest.mark.parametrize(
    ("model", "amounts", "exact"),
    [
        pytest.param(CARD, "", "0", id="no payment, no fee"),
        pytest.param(CARD, "100", "3.2", id="2.9 % of 100 and the fee"),
        pytest.param(CARD, "100 50", "4.95", id="the fee is due for each"),
        pytest.param(CARD, "0", "0.3", id="nothing moved still pays the fixed fee"),
        pytest.param(CARD, "100 -100", "0.3", id="a reversal gives the rate back, not the fee"),
        pytest.param(CARD, "0.01", "0.30029", id="no rounding per event"),
        pytest.param(Percentage(D(30)), "10 20", "9", id="revenue share, no fee"),
        pytest.param(Percentage(D(0), D("0.05")), "1 2 3", "0.15", id="a fee alone"),
        pytest.param(Percentage(D(1), D("0.10"), minimum=D(2)), "50", "2", id="raised, fee inside"),
        pytest.param(Percentage(D(1), D("0.10"), minimum=D("0.60")), "50", "0.6", id="just enough"),
        pytest.param(Percentage(D(1), maximum=D(5)), "500", "5", id="exactly the most"),
        pytest.param(Percentage(D(1), maximum=D(5)), "500.01", "5", id="cut above it"),
        pytest.param(Percentage(D(1), D(6), maximum=D(5)), "0", "5", id="the most covers the fee"),
        pytest.param(
            Percentage(D(1), minimum=D(2)), "1000 -100", "9", id="no least for a reversal"
        ),
        pytest.param(Percentage(D(10), free_events=2), "9 9 100", "10", id="the first are free"),
        pytest.param(Percentage(D(10), free_events=2), "9 -9 100", "10", id="reversals too"),
        pytest.param(Percentage(D(10), free_events=2), "9", "0", id="fewer than are free"),
    ],
)
def test_what_payments_cost(model: Percentage, amounts: str, exact: str) -> None:
    assert charged(model, amounts).exact == D(exact)


def test_rows_part_what_is_charged_alike() -> None:
    model = Percentage(D(2), D("0.30"), free_events=1, minimum=D(1), maximum=D(5))
    result = charged(model, "10 100 100 5 900 -50")
    said = [
        (step["kind"], step["events"], step["quantity"], step["amount"])
        for step in explanation(result)["steps"]
    ]
    assert said == [
        ("free", 1, "10", "0"),
        ("percentage", 2, "200", "4.6"),
        ("raised", 1, "5", "1"),
        ("cut", 1, "900", "5"),
        ("reversal", 1, "-50", "-1"),
    ]
    assert (result.used, result.net) == (D(1065), D("9.60"))


def test_more_given_back_than_charged_bills_as_nothing() -> None:
    result = charged(CARD, "10 -500")
    assert (result.net, result.negative) == (D("0.00"), True)
    assert result.steps[-1].kind == "negative"
    assert exact_sum(step.amount for step in result.steps) == 0


def test_monthly_minimum_of_a_revenue_share() -> None:
    result = charged(Percentage(D(20)), "100", minimum=D(50))
    assert (result.net, result.shortfall, result.amount) == (D(20), D(30), D(50))


def test_half_a_month_has_half_the_free_events_rounded_up_and_the_same_rate() -> None:
    model = Percentage(D(10), free_events=3)
    result = charged(model, "10 10 10", part=DayFraction(15, 30))
    assert result.exact == D(1)


amounts = st.lists(st.decimals(-1_000, 1_000, places=2), max_size=30)
bounds = st.none() | st.decimals(0, 5, places=2)


@st.composite
def percentages(draw: st.DrawFn) -> Percentage:
    least, most = draw(bounds), draw(bounds)
    if least is not None and most is not None:
        least, most = sorted((least, most))
    return Percentage(
        draw(st.decimals(0, 100, places=4)),
        draw(st.decimals(0, 2, places=2)),
        draw(st.integers(0, 5)),
        least,
        most,
    )


def fee(model: Percentage, place: int, amount: D) -> F:
    """The rule, event by event, in fractions."""
    if place < model.free_events:
        return F(0)
    share = F(amount) * F(model.percent_rate) / 100
    if amount < 0:
        return share
    charge = share + F(model.fixed_amount)
    if model.minimum is not None:
        charge = max(charge, F(model.minimum))
    return charge if model.maximum is None else min(charge, F(model.maximum))


@given(model=percentages(), moved=amounts)
def test_every_event_is_charged_once(model: Percentage, moved: list[D]) -> None:
    assert not faults(Price(model))
    result = rate(Price(model), Payments(moved), exponent=2)
    due = sum((fee(model, place, amount) for place, amount in enumerate(moved)), F(0))
    assert F(result.exact) == max(due, F(0))
    assert sum(step.events or 0 for step in result.steps) == len(moved)
    assert result.used == sum(moved, D(0))
    for step in result.steps:
        if step.kind != "negative":
            assert F(step.quantity) * F(step.unit_amount) + F(step.flat_amount) == F(step.amount)
    said = explanation(result)
    assert [step_from_json(step).events for step in said["steps"]] == [
        step.events for step in result.steps
    ]


@pytest.mark.parametrize(
    ("model", "path", "code"),
    [
        pytest.param(Percentage(D(-1)), ("percent_rate",), "negative", id="rate below 0"),
        pytest.param(Percentage(D("100.01")), ("percent_rate",), "above_100", id="rate above 100"),
        pytest.param(Percentage(D("NaN")), ("percent_rate",), "not_a_number", id="no rate"),
        pytest.param(Percentage(D(1), D(-1)), ("fixed_amount",), "negative", id="fee below 0"),
        pytest.param(
            Percentage(D(1), free_events=-1), ("free_events",), "negative", id="free below 0"
        ),
        pytest.param(
            Percentage(D(1), minimum=D(2), maximum=D(1)),
            ("per_event_minimum",),
            "minimum_above_maximum",
            id="least above most",
        ),
    ],
)
def test_faults(model: Percentage, path: tuple[str, ...], code: str) -> None:
    assert [(fault.path, fault.code) for fault in faults(Price(model))] == [(path, code)]


def test_a_percentage_includes_no_quantity() -> None:
    [fault] = faults(Price(CARD, included=D(1)))
    assert (fault.path, fault.code) == (("included_quantity",), "included_on_percentage")


def test_a_quantity_is_no_payment() -> None:
    with pytest.raises(TypeError, match="percentage price can't be charged on Decimal"):
        rate(Price(CARD), D(1), exponent=2)
