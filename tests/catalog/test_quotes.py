"""A period of a whole plan, worked out: what is asked, what is answered, and what it comes to."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from catalog.calculator import rated_in_whole
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price, PriceTier, ValueMetric
from catalog.presets import KEYS, preset, worked_month
from catalog.quotes import Question, Typical, questions_of, quote, read_answers
from catalog.worked import formula, rows_of

CALLS = ValueMetric(name="API calls", unit="call", unit_plural="calls", rounding_scale=0)


def fee(amount: str = "499", **fields: Any) -> PriceDraft:
    return PriceDraft(Price(key="base", name="Base", model="flat", unit_amount=D(amount), **fields))


def price(model: str, *tiers: tuple[str, str, str], **fields: Any) -> PriceDraft:
    values: dict[str, Any] = {"key": "calls", "name": "API calls", "metric": CALLS, **fields}
    steps = [
        PriceTier(up_to=D(up_to) if up_to else None, unit_amount=D(unit), flat_amount=D(flat))
        for up_to, unit, flat in tiers
    ]
    return PriceDraft(Price(model=model, timing="arrears", **values), steps)


LADDER = price(
    "graduated",
    ("50000", "0.002", "0"),
    ("", "0.0015", "0"),
    included_quantity=D(100_000),
)
CARD = price("percentage", percent_rate=D("2.9"), fixed_amount=D("0.30"), key="pay")
TABLE = price(
    "matrix",
    unit_amount=D(1),
    dimensions=["region"],
    rows=[{"match": {"region": "eu"}, "unit_amount": "2"}],
    key="grid",
)
SEATS = price("per_unit", metric=None, unit_amount=D(12), key="seats", unit="seat")


@pytest.mark.parametrize(
    ("draft", "asked"),
    [
        pytest.param(fee(), [], id="nothing of a fee"),
        pytest.param(LADDER, [("calls", "175000")], id="usage into the second tier"),
        pytest.param(SEATS, [("seats", "5")], id="how many are agreed on"),
        pytest.param(CARD, [("pay", "100"), ("pay/each", "100")], id="payments and their size"),
        pytest.param(TABLE, [("grid/1", "100"), ("grid/2", "100")], id="each row, and all others"),
    ],
)
def test_what_is_asked_of_a_price(draft: PriceDraft, asked: list[tuple[str, str]]) -> None:
    assert [(one.name, str(one.default)) for one in questions_of(draft)] == [
        (name, str(D(value))) for name, value in asked
    ]


def test_what_is_usual_is_suggested() -> None:
    usual = Typical({"quantity": D(7), "events": D(3), "each": D("9.5")}, 12)
    assert [one.default for one in questions_of(LADDER, usual)] == [D(7)]
    assert [one.default for one in questions_of(CARD, usual)] == [D(3), D("9.5")]


CALLS_ASKED = Question("calls", "quantity", LADDER, D(175_000))
PAYMENTS_ASKED = Question("pay", "events", CARD, D(100))


@pytest.mark.parametrize(
    ("question", "said", "answer", "code"),
    [
        pytest.param(CALLS_ASKED, {}, "175000", None, id="nothing said: the default"),
        pytest.param(CALLS_ASKED, {"calls": ""}, "0", None, id="an empty field"),
        pytest.param(CALLS_ASKED, {"calls": " 12.5 "}, "12.5", None, id="decimals"),
        pytest.param(CALLS_ASKED, {"calls": "9" * 20}, "9" * 20, None, id="as large as it gets"),
        pytest.param(CALLS_ASKED, {"calls": "9" * 21}, "0", "not_a_number", id="larger"),
        pytest.param(CALLS_ASKED, {"calls": "-1"}, "0", "not_a_number", id="below zero"),
        pytest.param(CALLS_ASKED, {"calls": "1e9"}, "0", "not_a_number", id="an exponent"),
        pytest.param(CALLS_ASKED, {"calls": "NaN"}, "0", "not_a_number", id="no number"),
        pytest.param(CALLS_ASKED, {"calls": "١٢"}, "0", "not_a_number", id="other digits"),
        pytest.param(CALLS_ASKED, {"calls": "1,000"}, "0", "not_a_number", id="with a comma"),
        pytest.param(CALLS_ASKED, {"calls": "0.12345678901"}, "0", "not_a_number", id="too fine"),
        pytest.param(PAYMENTS_ASKED, {"pay": "10000"}, "10000", None, id="as many as may be"),
        pytest.param(PAYMENTS_ASKED, {"pay": "10001"}, "0", "too_many", id="one more"),
        pytest.param(PAYMENTS_ASKED, {"pay": "1.5"}, "0", "not_whole", id="half a payment"),
    ],
)
def test_how_answers_are_read(
    question: Question, said: dict[str, str], answer: str, code: str | None
) -> None:
    answers, faults = read_answers([question], said)
    assert answers == {question.name: D(answer)}
    assert [fault.code for fault in faults] == ([code] if code else [])


@pytest.mark.parametrize(
    ("drafts", "answers", "terms", "nets", "total"),
    [
        pytest.param(
            [fee(), LADDER],
            {"calls": D(187_340)},
            {},
            [("price", "499.00"), ("price", "156.01")],
            "655.01",
            id="a fee and usage over the allowance",
        ),
        pytest.param(
            [price("per_unit", unit_amount=D("0.01"), minimum=D(20))],
            {"calls": D(150)},
            {},
            [("price", "1.50"), ("minimum", "18.50")],
            "20.00",
            id="a minimum is a line of its own",
        ),
        pytest.param(
            [fee("30"), SEATS],
            {"seats": D(2)},
            {"minimum_commitment": D(100)},
            [("price", "30.00"), ("price", "24.00"), ("commitment", "46.00")],
            "100.00",
            id="what the commitment lacks",
        ),
        pytest.param(
            [fee("100")],
            {},
            {"minimum_commitment": D(100)},
            [("price", "100.00")],
            "100.00",
            id="a commitment that is just reached",
        ),
        pytest.param(
            [CARD], {"pay": D(10), "pay/each": D(50)}, {}, [("price", "17.50")], "17.50", id="cards"
        ),
        pytest.param(
            [TABLE], {"grid/1": D(3), "grid/2": D(4)}, {}, [("price", "10.00")], "10.00", id="rows"
        ),
    ],
)
def test_what_a_period_comes_to(
    drafts: list[PriceDraft],
    answers: dict[str, D],
    terms: dict[str, Any],
    nets: list[tuple[str, str]],
    total: str,
) -> None:
    worked = quote(PlanVersion(currency="EUR", **terms), drafts, answers)
    assert [(line.kind, str(line.net)) for line in worked.lines] == nets
    assert str(worked.total) == total


def test_a_commitment_for_longer_than_a_price_is_left_open() -> None:
    drafts = [fee(), price("per_unit", unit_amount=D(1), interval="month")]
    version = PlanVersion(currency="EUR", interval="year", minimum_commitment=D(10_000))
    worked = quote(version, drafts, {"calls": D(0)})
    assert (str(worked.total), worked.commitment_open) == ("499.00", True)


@pytest.mark.parametrize("key", KEYS)
def test_each_example_comes_to_its_month_by_hand(key: str) -> None:
    """The presets' months are worked out elsewhere by hand; payments of several sizes aside."""
    chosen = preset(key)
    drafts = chosen.new_prices(chosen.new_metrics())
    if any(isinstance(usage, list) for usage in chosen.month.values()):
        return
    answers = {name: D(str(usage)) for name, usage in chosen.month.items()}
    worked = quote(chosen.new_version("EUR"), drafts, answers)
    assert worked.total == worked_month(chosen, currency="EUR", locale="en").total


@pytest.mark.parametrize(
    ("draft", "used", "sums"),
    [
        pytest.param(
            LADDER,
            "187340",
            "50,000 × 2.00 per 1,000 + 37,340 × 1.50 per 1,000",
            id="what costs nothing is left out",
        ),
        pytest.param(
            price("graduated", ("100", "0", "10"), ("", "0.5", "7")),
            "150",
            "100 × 0.00 plus 10.00 + 50 × 0.50 plus 7.00",
            id="a tier's own fee",
        ),
        pytest.param(
            price("package", unit_amount=D(5), package_size=D(1000)),
            "2500",
            "3 × 5.00 per package",
            id="packages are counted, not units",
        ),
        pytest.param(
            price("per_unit", unit_amount=D(1), maximum=D(100)),
            "150",
            "150 × 1.00; limited to at most 100.00",
            id="a cap in words",
        ),
        pytest.param(LADDER, "5", "", id="nothing beyond the allowance"),
    ],
)
def test_a_sum_for_a_pocket_calculator(draft: PriceDraft, used: str, sums: str) -> None:
    rated = rated_in_whole(draft, D(used), "EUR")
    assert formula(rows_of(rated, units=("call", "calls"), locale="en")) == sums
