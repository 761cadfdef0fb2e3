"""What the database refuses among the customers: each named rule, fired once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from catalog.models import PlanVersion
from customers.models import (
    AppliedCoupon,
    Contact,
    Customer,
    Issuer,
    Logo,
    PriceOverride,
    SignInLink,
    Subscription,
    SubscriptionPhase,
    SubscriptionQuantity,
)
from customers.triggers import GUARDS
from tests import factories as make

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
NOV, DEC, JAN = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


def logo() -> Logo:
    return Logo.objects.create(sha256="a" * 64, png=b"", width=1, height=1)


def ended_in_december() -> Subscription:
    """A subscription whose one phase ran in November."""
    subscription = make.subscription()
    subscription.phases.update(ends_on=DEC)
    return subscription


def phase(subscription: Subscription | None = None, **fields: Any) -> SubscriptionPhase:
    subscription = subscription or ended_in_december()
    [first] = subscription.phases.all()[:1]
    defaults = {"plan_version": first.plan_version, "time_zone": "UTC", "starts_on": DEC}
    return SubscriptionPhase.objects.create(subscription=subscription, **{**defaults, **fields})


def phases(**change: Any) -> Callable[[], Any]:
    """Change the first of two phases that touch."""

    def write() -> None:
        subscription = ended_in_december()
        phase(subscription)
        subscription.phases.filter(starts_on=NOV).update(**change)

    return write


def with_tax() -> PlanVersion:
    return make.published(prices_include_tax=True)


def unguarded(write: Callable[[], Any]) -> Callable[[], Any]:
    """Write as a second session would, which does not see the first one's uncommitted phase."""

    def write_unguarded() -> None:
        table = " ON customers_subscriptionphase" if connection.vendor == "postgresql" else ""
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER phase_starts_where_the_one_before_ends{table}")
        write()

    return write_unguarded


def contact(email: str, customer: Customer) -> Contact:
    return Contact.objects.create(customer=customer, email=email)


def same_contact_twice() -> None:
    acme = make.customer()
    contact("ap@acme.test", acme)
    contact("AP@acme.test", acme)


def link(**fields: Any) -> SignInLink:
    """Write a link as staff make it."""
    person = contact("ap@acme.test", make.customer())
    defaults = {
        "contact": person,
        "email": person.email,
        "token_hash": "t",
        "created_at": MOMENT,
        "expires_at": MOMENT + timedelta(minutes=15),
    }
    return SignInLink.objects.create(**{**defaults, **fields})


def seats(**fields: Any) -> SubscriptionQuantity:
    defaults = {"price_key": "seats", "starts_on": NOV, "quantity": 1}
    fields.setdefault("subscription", make.subscription())
    return SubscriptionQuantity.objects.create(**{**defaults, **fields})


def seats_twice() -> None:
    subscription = seats().subscription
    seats(subscription=subscription)


def own_price(**fields: Any) -> PriceOverride:
    defaults = {
        "price_key": "base",
        "starts_on": NOV,
        "terms": {"unit_amount": "1"},
        "reason": "why",
        "agreed_by": "anna",
        "agreed_at": MOMENT,
    }
    fields.setdefault("subscription", make.subscription())
    return PriceOverride.objects.create(**{**defaults, **fields})


def own_price_twice() -> None:
    subscription = own_price().subscription
    own_price(subscription=subscription, starts_on=DEC)


def given(**fields: Any) -> AppliedCoupon:
    defaults = {"starts_on": NOV, "applied_by": "anna", "applied_at": MOMENT}
    if "subscription" not in fields:
        fields |= {"subscription": make.subscription(), "coupon": make.coupon()}
    return AppliedCoupon.objects.create(**{**defaults, **fields})


def given_twice() -> None:
    first = given()
    given(subscription=first.subscription, coupon=first.coupon, starts_on=DEC)


def renamed(model: Any, row: Any) -> Callable[[], Any]:
    return lambda: model.objects.filter(pk=row().pk).update(key="other")


RULES: dict[str, Callable[[], Any]] = {
    "issuer_waits_at_most_31_days_for_usage": lambda: Issuer.objects.create(
        name="We", usage_cutoff_hours=745
    ),
    "issuer_issues_within_92_days": lambda: Issuer.objects.create(name="We", auto_issue_hours=2209),
    "customer_waits_at_most_31_days_for_usage": lambda: make.customer(usage_cutoff_hours=745),
    "customer_issues_within_92_days": lambda: make.customer(auto_issue_hours=2209),
    "issuer_tax_status_is_known": lambda: Issuer.objects.create(name="We", tax_status="x"),
    "issuer_tax_rate_from_0_to_100_percent": lambda: Issuer.objects.create(
        name="We", standard_tax_rate=101
    ),
    "issuer_of_electronic_invoices_is_complete": lambda: Issuer.objects.create(
        name="We",
        legal_name="We",
        electronic_invoices=True,
        line1="1 Road",
        city="Leipzig",
        country="DE",
        tax_status="standard",
        register_entry="HRB 1",  # which identifies only who is out of scope of tax
    ),
    "issuer_reminds_later_each_time": lambda: Issuer.objects.create(
        name="We", second_reminder_days=None, third_reminder_days=7
    ),
    "issuer_reminds_once_it_is_overdue": lambda: Issuer.objects.create(
        name="We", first_reminder_days=0
    ),
    "issuer_sends_from_an_address": lambda: Issuer.objects.create(name="We", sends_invoices=True),
    "issuer_consolidation_is_known": lambda: Issuer.objects.create(name="We", consolidation=""),
    "customer_consolidation_is_known": lambda: make.customer(consolidation="x"),
    "customer_tax_status_is_known": lambda: make.customer(tax_status="x"),
    "customer_pays_within_a_year": lambda: make.customer(payment_terms_days=366),
    "customer_key_never_changes": renamed(Customer, make.customer),
    "contact_once_per_customer_and_address": same_contact_twice,
    "sign_in_link_expires_after_it_is_made": lambda: link(expires_at=MOMENT),
    "sign_in_link_leads_to_an_address": lambda: link(contact=None),
    "sign_in_link_used_only_once_written": lambda: link(token_hash=None, used_at=MOMENT),
    "sign_in_link_asked_for_in_a_browser_by_address": lambda: link(browser_hash="b"),
    "subscription_ends_after_it_starts": lambda: Subscription.objects.filter(
        pk=make.subscription().pk
    ).update(ends_on=NOV),
    "override_ends_after_it_starts": lambda: own_price(ends_on=NOV),
    "override_open_once_per_price": own_price_twice,
    "override_has_a_reason": lambda: own_price(reason=""),
    "override_changes_only_its_end": lambda: PriceOverride.objects.filter(pk=own_price().pk).update(
        terms={}
    ),
    "logo_never_changes": lambda: Logo.objects.filter(pk=logo().pk).update(width=2),
    "logo_is_never_deleted": lambda: Logo.objects.filter(pk=logo().pk).delete(),
    "override_is_never_deleted": lambda: PriceOverride.objects.filter(pk=own_price().pk).delete(),
    "applied_coupon_ends_not_before_it_starts": lambda: given(ends_on=date(2026, 10, 31)),
    "applied_coupon_running_once_per_subscription": given_twice,
    "applied_coupon_changes_only_its_end": lambda: AppliedCoupon.objects.filter(
        pk=given().pk
    ).update(starts_on=DEC),
    "applied_coupon_is_never_deleted": lambda: AppliedCoupon.objects.filter(pk=given().pk).delete(),
    "subscription_identity_never_changes": renamed(Subscription, make.subscription),
    "subscription_starts_with_its_first_phase": lambda: Subscription.objects.filter(
        pk=make.subscription().pk
    ).update(starts_on=DEC),
    "phase_alignment_is_known": lambda: phase(alignment="x"),
    "phase_ends_after_it_starts": lambda: phase(ends_on=DEC),
    "phase_on_calendar_has_no_anchor": lambda: phase(alignment="calendar", anchor_on=DEC),
    "phase_start_once_per_subscription": unguarded(lambda: phase(starts_on=NOV, ends_on=DEC)),
    "phase_open_once_per_subscription": unguarded(
        lambda: phase(make.subscription(), starts_on=DEC)
    ),
    "phase_starts_where_the_one_before_ends": lambda: phase(starts_on=JAN),
    "phase_begins_priced_as_the_others": lambda: phase(plan_version=with_tax()),
    "phase_stays_priced_as_the_others": lambda: SubscriptionPhase.objects.filter(
        pk=phase().pk
    ).update(plan_version=with_tax()),
    "phase_terms_never_change": phases(time_zone="Asia/Tokyo"),
    "phase_leaves_no_gap": lambda: make.subscription().phases.all()._raw_delete("default"),
    "phase_end_changes_only_on_the_last": phases(ends_on=date(2026, 11, 15)),
    "quantity_once_per_subscription_price_and_day": seats_twice,
    "quantity_never_negative": lambda: seats(quantity=-1),
}
SQLITE_SAYS = {
    "phase_start_once_per_subscription": "customers_subscriptionphase.starts_on",
    "phase_open_once_per_subscription": "customers_subscriptionphase.subscription_id",
    "contact_once_per_customer_and_address": "contact_once_per_customer_and_address",
    "applied_coupon_running_once_per_subscription": "customers_appliedcoupon.coupon_id",
    "override_open_once_per_price": "customers_priceoverride.price_key",
    "quantity_once_per_subscription_price_and_day": "customers_subscriptionquantity.starts_on",
}


@pytest.mark.parametrize("rule", RULES)
def test_the_database_refuses_by_name(rule: str) -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        RULES[rule]()
    assert rule in str(refusal.value) or SQLITE_SAYS.get(rule, rule) in str(refusal.value)


def test_every_named_rule_is_fired() -> None:
    models = apps.get_app_config("customers").get_models()
    named = {constraint.name for model in models for constraint in model._meta.constraints}
    assert named | {guard.name for guard in GUARDS} == set(RULES)


def test_phases_that_touch_are_accepted() -> None:
    subscription = ended_in_december()
    phase(subscription, ends_on=JAN)
    phase(subscription, starts_on=JAN)
    assert [p.starts_on for p in subscription.phases.all()] == [NOV, DEC, JAN]


def test_a_second_open_phase_is_refused() -> None:
    with pytest.raises(IntegrityError, match="phase_starts_where_the_one_before_ends"):
        phase(make.subscription())
