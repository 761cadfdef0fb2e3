"""R13, matrix: a price per combination of dimension values; rows in order, then the default."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.money import exact_sum
from catalog.pricing import Cell, Cells, Matrix, Price, Rated, Row, explanation, faults, rate
from catalog.pricing.explanation import step_from_json

pytestmark = pytest.mark.once

MATRIX = Matrix(
    ("region", "size"),
    (
        Row({"region": "eu", "size": "large"}, D("0.40")),
        Row({"region": "eu"}, D("0.20")),
        Row({"size": "large"}, D("0.30")),
    ),
    D("0.10"),
)


def cells(text: str) -> Cells:
    """Read "eu/large 5, us/small 2"; "-" is a missing value."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        where, quantity = part.split()
        values = [None if value == "-" else value for value in where.split("/")]
        found.append(Cell(dict(zip(MATRIX.dimensions, values, strict=True)), D(quantity)))
    return Cells(found)


def charged(text: str, *, included: str = "0") -> Rated:
    return rate(Price(MATRIX, included=D(included)), cells(text), exponent=2)


@pytest.mark.parametrize(
    ("used", "exact"),
    [
        pytest.param("", "0", id="nothing used"),
        pytest.param("eu/large 5", "2", id="the first row that matches wins"),
        pytest.param("eu/small 5", "1", id="a row that names one dimension takes any other"),
        pytest.param("us/large 5", "1.5", id="the next row"),
        pytest.param("us/small 5", "0.5", id="the default takes the rest"),
        pytest.param("-/- 5", "0.5", id="missing values are nobody's row"),
        pytest.param("eu/small 5, eu/- 5", "2", id="cells of one row add up"),
        pytest.param("eu/large 5, us/small -3", "2", id="less than nothing counts 0"),
    ],
)
def test_what_cells_cost(used: str, exact: str) -> None:
    assert charged(used).exact == D(exact)


def test_the_allowance_covers_units_in_the_order_of_the_rows() -> None:
    result = charged("us/small 10, eu/small 10, eu/large 10", included="15")
    said = [
        (step["kind"], step.get("match"), step["quantity"], step["amount"])
        for step in explanation(result)["steps"]
    ]
    assert said == [
        ("included", None, "15", "0"),
        ("cell", {"region": "eu"}, "5", "1"),
        ("cell", {}, "10", "1"),
    ]
    assert (result.used, result.overage) == (D(30), D(15))


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=repr(value)) for value in ("1", 1, D("1.0"))]
)
def test_a_number_matches_its_digits(value: Any) -> None:
    model = Matrix(("n",), (Row({"n": "1"}, D(2)),), D(1))
    assert rate(Price(model), Cells([Cell({"n": value}, D(1))]), exponent=2).exact == 2


def test_true_is_not_one() -> None:
    model = Matrix(("n",), (Row({"n": "1"}, D(2)), Row({"n": "true"}, D(3))), D(1))
    assert rate(Price(model), Cells([Cell({"n": True}, D(1))]), exponent=2).exact == 3


values = st.sampled_from(["eu", "us", "large", None])
tables = st.lists(
    st.builds(
        lambda region, size, quantity: Cell({"region": region, "size": size}, quantity),
        values,
        values,
        st.decimals(0, 100, places=3),
    ),
    max_size=12,
)


@given(table=tables, included=st.decimals(0, 300, places=2))
def test_every_unit_is_charged_once(table: list[Cell], included: D) -> None:
    result = rate(Price(MATRIX, included=included), Cells(table), exponent=2)
    used = sum((cell.quantity for cell in table), D(0))
    assert exact_sum(step.quantity for step in result.steps) == result.used == used
    for step in result.steps:
        assert step.quantity * step.unit_amount == step.amount
    said = explanation(result)["steps"]
    assert [step_from_json(step).match for step in said] == [step.match for step in result.steps]


@pytest.mark.parametrize(
    ("model", "path", "code"),
    [
        pytest.param(Matrix((), MATRIX.rows[1:2], D(1)), ("dimensions",), "required", id="none"),
        pytest.param(Matrix(("region",), (), D(1)), ("rows",), "required", id="no row"),
        pytest.param(
            Matrix(("region",), (Row({}, D(1)),), D(1)),
            ("rows", 0, "match"),
            "required",
            id="a row for everything",
        ),
        pytest.param(
            Matrix(("a",), (Row({"a": "x"}, D(-1)),), D(1)),
            ("rows", 0, "unit_amount"),
            "negative",
            id="a negative price",
        ),
        pytest.param(
            Matrix(("a",), (Row({"b": "x"}, D(1)),), D(1)),
            ("rows", 0, "match", "b"),
            "unknown_dimension",
            id="another dimension",
        ),
        pytest.param(
            Matrix(("a", "b"), (Row({"a": "x"}, D(1)), Row({"a": "x", "b": "y"}, D(2))), D(1)),
            ("rows", 1, "match"),
            "never_reached",
            id="a row that an earlier one takes all of",
        ),
    ],
)
def test_faults(model: Matrix, path: tuple[Any, ...], code: str) -> None:
    found = [(fault.path, fault.code) for fault in faults(Price(model))]
    assert (path, code) in found


def test_a_sound_matrix() -> None:
    assert faults(Price(MATRIX)) == []
