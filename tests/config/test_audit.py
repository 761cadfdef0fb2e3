"""What the trail keeps of a row's values."""

from __future__ import annotations

from decimal import Decimal

import pytest

from config.base.audit import state
from customers.models import SubscriptionQuantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12345678901234567890.1234567891", "12345678901234567890.1234567891"),
        ("99999999999999999999.9999999999", "99999999999999999999.9999999999"),
        ("1200.00", "1200"),
        ("0.000", "0"),
    ],
)
def test_a_number_keeps_every_digit(value: str, text: str) -> None:
    row = SubscriptionQuantity(quantity=Decimal(value))
    assert state(row)["quantity"] == text
