"""Reminders while several runs go at once: each invoice once per level."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from billing.models import Delivery, Reminder, ReminderRow
from billing.services.payments import Portion, allocate_payment
from billing.services.reminders import remind, stop_reminders
from config.base.audit import SYSTEM
from customers.models import Issuer
from tests import factories as make
from tests.billing.months import contradictions
from tests.billing.side_by_side import ROUNDS, at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]
DEC_8 = datetime(2026, 12, 8, 12, tzinfo=UTC)
"""A week after the invoices of November are due."""


@pytest.fixture(autouse=True)
def reminding(settings: Any, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(name="Northlight", email="billing@northlight.test", sends_reminders=True)


def run() -> list[Reminder]:
    return remind(at=DEC_8, actor=SYSTEM)


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_two_runs_remind_of_each_invoice_once(attempt: int) -> None:
    for n in range(5):
        make.issued(make.customer(email=f"ap{n}@acme.test"))
    answers = at_once(run, run, run)
    assert sorted(map(len, answers)) == [0, 0, 5]
    rows = ReminderRow.objects.values_list("item", "level")
    assert len(set(rows)) == len(rows) == 5
    assert Delivery.objects.filter(status="waiting").count() == 5
    assert contradictions(DEC_8, but=["periods_close_in_time"]) == []


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_what_is_paid_meanwhile_is_asked_for_or_not_at_all(attempt: int) -> None:
    ada = make.customer(email="ap@acme.test")
    invoice = make.issued(ada)
    payment = make.payment(ada, "60", at=DEC_8)
    made, _ = at_once(
        run,
        lambda: allocate_payment(
            payment_id=payment.pk,
            portions=[Portion(invoice.pk, payment.amount)],
            at=DEC_8,
            actor=SYSTEM,
        ),
    )
    assert [one.to_pay for one in made] == [40]
    assert ReminderRow.objects.get().asked in (40, 100)
    assert contradictions(DEC_8, but=["periods_close_in_time"]) == []


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_who_is_left_out_meanwhile_gets_one_or_none(attempt: int) -> None:
    ada = make.customer(email="ap@acme.test")
    make.issued(ada)
    at_once(run, lambda: stop_reminders(of=ada, reason="x", at=DEC_8, actor=SYSTEM))
    assert run() == []
    assert Reminder.objects.count() <= 1
