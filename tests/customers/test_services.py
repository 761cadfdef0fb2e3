"""What becomes of subscriptions: fewer and more seats, and an end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from catalog.drafts import PriceDraft
from catalog.models import Price
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers import services
from customers.models import Contact, Issuer, Subscription
from customers.periods import Alignment
from customers.terms import periods
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Subscription:
    """Twelve seats from 10 November, by the calendar."""
    seats = Price(
        key="seats", name="Seats", model="per_unit", unit_amount=Decimal(29), timing="advance"
    )
    calls = make.graduated(make.metric("calls"), "rest @ 0.1", key="calls")
    return make.subscription(
        version=make.published(PriceDraft(seats), calls),
        starts_on=date(2026, 11, 10),
        alignment=Alignment.CALENDAR,
        quantities={"seats": Decimal(12)},
        key="acme-team",
    )


def seats(
    subscription: Subscription, quantity: int, starts_on: date, *, today: date | None = None
) -> None:
    services.change_quantity(
        subscription_id=subscription.pk,
        price_key="seats",
        quantity=Decimal(quantity),
        starts_on=starts_on,
        today=today or starts_on,
        actor=SYSTEM,
    )


def end(subscription: Subscription, ends_on: date, *, today: date) -> Subscription:
    return services.end_subscription(
        subscription_id=subscription.pk, ends_on=ends_on, today=today, actor=SYSTEM
    )


def fault(refused: pytest.ExceptionInfo[Invalid]) -> tuple[Any, ...]:
    [only] = refused.value.faults
    return only.path, only.code


class TestQuantities:
    def test_hold_from_a_day_on(self, team: Subscription) -> None:
        seats(team, 15, date(2026, 11, 20))
        seats(team, 9, date(2026, 12, 5))
        assert [(row.starts_on.day, row.quantity) for row in team.quantities.all()] == [
            (10, 12),
            (20, 15),
            (5, 9),
        ]

    def test_of_one_day_the_last_that_was_said_holds(self, team: Subscription) -> None:
        seats(team, 15, date(2026, 11, 20))
        seats(team, 14, date(2026, 11, 20))
        assert [row.quantity for row in team.quantities.all()] == [12, 14]

    def test_stand_in_the_audit_trail(self, team: Subscription) -> None:
        seats(team, 15, date(2026, 11, 20))
        entry = AuditEntry.objects.get(action="changed quantity")
        assert entry.changes == {"quantity seats from 2026-11-20": ["12", "15"]}

    @pytest.mark.parametrize(
        ("quantity", "starts_on", "today", "path", "code"),
        [
            pytest.param(-1, 20, 20, ("quantities", "seats"), "negative", id="less than none"),
            pytest.param(13, 19, 20, ("starts_on",), "out_of_range", id="a day that is over"),
            pytest.param(13, 9, 9, ("starts_on",), "out_of_range", id="before service begins"),
        ],
    )
    def test_that_cannot_be_are_refused(
        self,
        team: Subscription,
        quantity: int,
        starts_on: int,
        today: int,
        path: tuple[str, ...],
        code: str,
    ) -> None:
        with pytest.raises(Invalid) as refused:
            seats(team, quantity, date(2026, 11, starts_on), today=date(2026, 11, today))
        assert fault(refused) == (path, code)
        assert team.quantities.count() == 1

    def test_of_what_is_measured_are_refused(self, team: Subscription) -> None:
        with pytest.raises(Invalid) as refused:
            services.change_quantity(
                subscription_id=team.pk,
                price_key="calls",
                quantity=Decimal(1),
                starts_on=date(2026, 11, 20),
                today=date(2026, 11, 20),
                actor=SYSTEM,
            )
        assert fault(refused) == (("quantities", "calls"), "metered")

    def test_stop_where_service_does(self, team: Subscription) -> None:
        end(team, date(2026, 12, 1), today=date(2026, 11, 20))
        with pytest.raises(Invalid):
            seats(team, 13, date(2026, 12, 1), today=date(2026, 11, 30))
        with pytest.raises(services.SubscriptionEnded):
            seats(team, 13, date(2026, 12, 1))


class TestAnEnd:
    def test_comes_where_a_period_ends(self, team: Subscription) -> None:
        ended = end(team, date(2027, 1, 1), today=date(2026, 11, 20))
        assert ended.ends_on == date(2027, 1, 1)
        fresh = Subscription.objects.with_terms().get(pk=team.pk)
        assert [(period.start, period.end) for _, period in periods(fresh)] == [
            (date(2026, 11, 10), date(2026, 12, 1)),
            (date(2026, 12, 1), date(2027, 1, 1)),
        ]
        entry = AuditEntry.objects.filter(action="changed").latest("pk")
        assert entry.changes == {"ends_on": [None, "2027-01-01"]}

    def test_can_be_moved_until_it_comes(self, team: Subscription) -> None:
        end(team, date(2026, 12, 1), today=date(2026, 11, 20))
        assert end(team, date(2027, 2, 1), today=date(2026, 11, 30)).ends_on == date(2027, 2, 1)

    @pytest.mark.parametrize(
        ("ends_on", "today", "code"),
        [
            pytest.param(date(2026, 12, 1), date(2026, 12, 1), "out_of_range", id="today"),
            pytest.param(date(2026, 11, 10), date(2026, 11, 1), "out_of_range", id="its first day"),
        ],
    )
    def test_at_another_day_is_refused(
        self, team: Subscription, ends_on: date, today: date, code: str
    ) -> None:
        with pytest.raises(Invalid) as refused:
            end(team, ends_on, today=today)
        assert fault(refused) == (("ends_on",), code)
        team.refresh_from_db()
        assert team.ends_on is None

    def test_is_final(self, team: Subscription) -> None:
        end(team, date(2026, 12, 1), today=date(2026, 11, 20))
        with pytest.raises(services.SubscriptionEnded, match="acme-team ended"):
            end(team, date(2027, 1, 1), today=date(2026, 12, 1))


def test_a_contact_is_added_once_per_customer() -> None:
    acme, other = make.customer("acme"), make.customer("other")
    services.add_contact(contact=Contact(customer=acme, email="ann@acme.example"), actor=SYSTEM)
    services.add_contact(contact=Contact(customer=other, email="ann@acme.example"), actor=SYSTEM)
    again = Contact(customer=acme, email="Ann@acme.example")
    with pytest.raises(ValidationError):
        services.add_contact(contact=again, actor=SYSTEM)
    assert AuditEntry.objects.filter(subject_type="customers.contact").count() == 2


def test_an_issuer_has_a_name_of_its_own() -> None:
    services.create_issuer(issuer=Issuer(name="Acme", legal_name="Acme AG"), actor=SYSTEM)
    with pytest.raises(ValidationError, match="already exists"):
        services.create_issuer(issuer=Issuer(name="Acme", legal_name="Acme Inc."), actor=SYSTEM)
    assert AuditEntry.objects.filter(subject_type="customers.issuer").count() == 1


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param(
            {"iban": "DE89370400440532013000", "bic": "COBADEFFXXX"}, None, id="both right"
        ),
        pytest.param({"iban": "de89 3704 0044 0532 0130 00"}, None, id="as it is printed"),
        pytest.param({"iban": "", "bic": ""}, None, id="none"),
        pytest.param(
            {"iban": "DE89370400440532013001"},
            ("iban", "wrong_check_digits"),
            id="a digit mistyped",
        ),
        pytest.param(
            {"iban": "DE8937040044053201300"}, ("iban", "wrong_check_digits"), id="a digit missing"
        ),
        pytest.param({"iban": "000123456789"}, ("iban", "invalid"), id="another kind of account"),
        pytest.param({"iban": "٣٤"}, ("iban", "invalid"), id="digits that are not ASCII"),
        pytest.param({"bic": "COBADEFFX"}, ("bic", "invalid"), id="nine letters"),
    ],
)
def test_an_issuer_is_paid_to_an_account_that_can_be(
    fields: dict[str, str], fault: tuple[str, str] | None
) -> None:
    issuer = Issuer.objects.get()
    if fault is None:
        services.change_issuer(issuer_id=issuer.pk, fields=fields, actor=SYSTEM)
        return
    with pytest.raises(Invalid) as refused:
        services.change_issuer(issuer_id=issuer.pk, fields=fields, actor=SYSTEM)
    [only] = refused.value.faults
    assert (only.path, only.code) == ((fault[0],), fault[1])
    with pytest.raises(Invalid):
        services.create_issuer(issuer=Issuer(name="B", legal_name="B", **fields), actor=SYSTEM)
