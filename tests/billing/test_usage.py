"""Snapshots of usage, compared."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import UsageSnapshot
from billing.usage import same_usage
from tests.metering.usage import D


@pytest.mark.parametrize(
    ("value", "same"),
    [
        pytest.param(1, True, id="the same"),
        pytest.param(True, False, id="true is priced by another row than 1"),
        pytest.param("1", False, id="a text is no number"),
    ],
)
def test_usage_is_the_same_under_the_same_value_only(value: Any, *, same: bool) -> None:
    one, other = (
        UsageSnapshot(
            quantity=D(5), events=1, cells=[{"values": {"m": held}, "quantity": "5", "events": 1}]
        )
        for held in (1, value)
    )
    assert same_usage(one, other) is same
