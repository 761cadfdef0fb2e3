"""Why a bill changed: drivers that add up, whatever changed, and two sentences that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.change import Charge, DriverKind, decompose
from billing.presentation.change import change_view
from billing.presentation.reader import Reader
from catalog.pricing import WHOLE, DayFraction, rate
from tests.catalog import notation

OLD = "graduated | included 100 | tiers 50 @ 2, rest @ 1"
NEW = "graduated | included 80 | tiers 50 @ 3, rest @ 1.5"


def fee(net: str, name: str = "Base fee") -> Charge:
    return Charge(DriverKind.FEE, ("fee", name), name, D(net), "fee")


def calls(used: str, price: str = OLD, *, part: DayFraction = WHOLE, known: bool = True) -> Charge:
    """Charge calls under a price, which is its own terms."""
    value = notation.price(price)
    return Charge(
        DriverKind.USAGE,
        "calls",
        "Calls",
        rate(value, D(used), exponent=2, part=part).amount,
        "usage",
        "call",
        "calls",
        used=D(used),
        price_key="calls",
        terms=price,
        value=value,
        part=part,
        is_of_both=known,
    )


def coupon(taken: str) -> Charge:
    return Charge(DriverKind.CREDIT, "launch", "Launch promotion", -D(taken))


def late(net: str) -> Charge:
    return Charge(DriverKind.ADJUSTMENT, "late", "Calls", D(net), "late")


CASES = {
    "nothing changed": ([fee("49"), calls("120")], [fee("49"), calls("120")], []),
    "more was used at the same price": (
        [fee("49"), calls("120")],
        [fee("49"), calls("160")],
        [("usage", "Calls", "70", "120", "160")],  # 50 × 2 + 10 × 1 = 110, before 20 × 2
    ),
    "as much was used at a new price": (
        [calls("160")],
        [calls("160", NEW)],
        [("price", "Calls", "85", "160", "160")],  # 50 × 3 + 30 × 1.5 = 195, before 110
    ),
    "usage and price changed: usage counts at the last price": (
        [calls("120")],
        [calls("160", NEW)],
        [("usage", "Calls", "70", "120", "160"), ("price", "Calls", "85", "120", "160")],
    ),
    "half a month before, a whole one now": (
        [calls("60", part=DayFraction(15, 30))],
        [calls("160")],
        [("usage", "Calls", "90", "60", "160")],  # 10 over 50 included, × 2 = 20
    ),
    "a fee rose": ([fee("49")], [fee("99")], [("fee", "Base fee", "50", "49", "99")]),
    "a promotion ended": (
        [fee("49"), coupon("10")],
        [fee("49")],
        [("credit", "Launch promotion", "10", "-10", None)],
    ),
    "a metric is used for the first time": (
        [fee("49")],
        [fee("49"), calls("160")],
        [("usage", "Calls", "110", None, "160")],
    ),
    "a metric came with the plan": (
        [fee("49")],
        [fee("49"), calls("160", known=False)],
        [("price", "Calls", "110", None, "160")],
    ),
    "a metric went with the plan": (
        [fee("49"), calls("160", known=False)],
        [fee("49")],
        [("price", "Calls", "-110", "160", None)],
    ),
    "late usage of an earlier period": (
        [fee("49")],
        [fee("49"), late("7.50")],
        [("adjustment", "Calls", "7.50", None, "7.50")],
    ),
}


@pytest.mark.parametrize(("last", "now", "drivers"), CASES.values(), ids=CASES)
def test_drivers(
    last: Sequence[Charge], now: Sequence[Charge], drivers: list[tuple[str | None, ...]]
) -> None:
    change = decompose(last, now, exponent=2)
    assert [(one.kind, one.name, one.amount, one.before, one.now) for one in change.drivers] == [
        (kind, name, D(amount or 0), before and D(before), then and D(then))
        for kind, name, amount, before, then in drivers
    ]
    assert change.net - change.last_net == sum(one.amount for one in change.drivers)


def test_a_price_that_no_quantity_tells_takes_the_whole_difference() -> None:
    """A percentage charges single payments, which are not asked again."""
    last = Charge(
        DriverKind.USAGE, "calls", "Calls", D("5"), used=D(100), price_key="calls", terms="old"
    )
    [driver] = decompose([last], [calls("160")], exponent=2).drivers
    assert (driver.kind, driver.amount) == (DriverKind.PRICE, D("105"))


cents = st.decimals("-9999", "9999", places=2, allow_nan=False)
prices = st.sampled_from(
    [
        OLD,
        NEW,
        "per_unit | at 0.0037",
        "package | size 7 | at 1.005",
        "per_unit | at 2 | min 30",
    ]
)
parts = st.sampled_from([WHOLE, DayFraction(11, 30), DayFraction(1, 31)])
charges = st.lists(
    st.one_of(
        st.builds(lambda net: fee(str(net)), cents),
        st.builds(lambda net: late(str(net)), cents),
        st.builds(lambda net: coupon(str(abs(net))), cents),
        st.builds(
            lambda used, price, part, known: calls(str(used), price, part=part, known=known),
            st.decimals(0, 5000, places=1),
            prices,
            parts,
            st.booleans(),
        ),
    ),
    max_size=6,
)


@given(last=charges, now=charges)
def test_the_drivers_always_add_up(last: list[Charge], now: list[Charge]) -> None:
    change = decompose(last, now, exponent=2)
    assert change.last_net == sum(one.net for one in last)
    assert change.net == sum(one.net for one in now)
    assert sum(one.amount for one in change.drivers) == change.net - change.last_net
    assert all(one.amount for one in change.drivers)


@given(last=charges, now=charges)
def test_the_way_back_has_the_opposite_difference(last: list[Charge], now: list[Charge]) -> None:
    there, back = decompose(last, now, exponent=2), decompose(now, last, exponent=2)
    assert there.difference == -back.difference


def told(
    *drivers: tuple[str, str, str | None, str | None, str], net: str, last: str
) -> dict[str, object]:
    return {
        "last": ["INV-2026-000101"],
        "last_period": {"start": "2026-10-01", "end": "2026-11-01"},
        "last_net": last,
        "net": net,
        "drivers": [
            {
                "kind": kind,
                "said_as": "usage" if kind in ("usage", "price") else "",
                "name": name,
                "unit": "call",
                "unit_plural": "calls",
                "before": before,
                "now": now,
                "amount": amount,
            }
            for kind, name, before, now, amount in drivers
        ],
    }


MORE = ("usage", "API calls", "149800", "187340", "56.41")
LESS_OFF = ("credit", "Launch promotion", "-70.29", "-50", "20.29")
SENTENCES = {
    "most of it is usage": (
        told(MORE, LESS_OFF, net="607.53", last="530.83"),
        "en-GB",
        "Net charges rose by €76.70 to €607.53. "
        "Most of it is API calls: 37,540 calls more than in October.",
    ),
    "less was used": (
        told(("usage", "API calls", "200", "150", "-50"), net="50", last="100"),
        "en-GB",
        "Net charges fell by €50.00 to €50.00. "
        "All of it is API calls: 50 calls less than in October.",
    ),
    "nothing changed": (
        told(net="50", last="50"),
        "en-GB",
        "Net charges stayed at €50.00. Every charge is the same as last time.",
    ),
    "up and down make up for each other": (
        told(MORE, ("credit", "Launch promotion", "0", "-56.41", "-56.41"), net="50", last="50"),
        "en-GB",
        "Net charges stayed at €50.00. What rose and what fell make up for each other.",
    ),
    "a new price in German": (
        told(("price", "API calls", "200", "200", "50"), net="100", last="50"),
        "de-DE",
        "Der Nettobetrag ist um 50,00 € auf 100,00 € gestiegen. "
        "Der einzige Grund: ein neuer Preis für API calls.",
    ),
}


@pytest.mark.parametrize(("data", "locale", "text"), SENTENCES.values(), ids=SENTENCES)
def test_two_sentences(data: dict[str, object], locale: str, text: str) -> None:
    view = change_view(data, Reader(locale, "EUR"), this="November 2026")
    assert " ".join(view.sentences).replace("\u00a0", " ") == text


def test_rows_run_from_the_last_net_to_this_one() -> None:
    view = change_view(
        told(MORE, LESS_OFF, net="607.53", last="530.83"), Reader("en-GB", "EUR"), this="November"
    )
    assert [(row.label, row.value) for row in (view.last, *view.drivers, view.now)] == [
        ("October 2026 (INV-2026-000101), net", "530.83"),
        ("API calls: 149,800 → 187,340 calls", "+56.41"),
        ("Launch promotion: \u221270.29 → \u221250.00", "+20.29"),
        ("November, net", "607.53"),
    ]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [(None, "-50", "not taken off last time"), ("-50", None, "not taken off this time")],
)
def test_a_promotion_is_taken_off_and_never_charged(
    before: str | None, now: str | None, said: str
) -> None:
    amount = "-50" if before is None else "50"
    net, last = ("50", "100") if before is None else ("100", "50")
    data = told(("credit", "Launch promotion", before, now, amount), net=net, last=last)
    view = change_view(data, Reader("en-GB", "EUR"), this="November")
    assert [row.label for row in view.drivers] == [f"Launch promotion: {said}"]
    assert said in view.sentences[1]


def test_many_drivers_end_in_one_row_that_adds_up() -> None:
    many = [("fee", f"Fee {n}", "0", str(n), str(n)) for n in range(1, 13)]
    view = change_view(told(*many, net="78", last="0"), Reader("en-GB", "EUR"), this="")
    assert [row.label for row in view.drivers][-1] == "Other changes"
    assert sum(D(row.value) for row in view.drivers) == 78
