"""What becomes of a subscription: each can be looked at first, with the invoice that would follow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.answers import invoice_answer, readers_locale, shown, upcoming
from billing.api.periods import written
from billing.api.shapes import InvoiceSerializer
from billing.services import life
from billing.services.life import Next, When
from catalog.api.fields import Choice, KeyOf
from catalog.models import Plan
from config.base.api.fields import CalendarDate, KeyString, QuantityString, Text, WholeNumber, YesNo
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiView
from customers.api import PhaseSerializer, SubscriptionSerializer
from customers.models import Subscription
from customers.periods import zone
from customers.services import first_period, offered_version
from customers.terms import zones_of

KEY = OpenApiParameter("key", str, "path", description="The subscription's key.")


class DryRunSerializer(StrictSerializer):
    dry_run = YesNo(default=False, help_text="Say what would happen, and change nothing.")


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "enum": list(When.values)},
            {"type": "string", "format": "date"},
        ]
    }
)
class WhenOrDay(serializers.Field[When | date, Any, str, Any]):
    """One of `When`, or a date such as `2026-12-15`."""

    default_error_messages = {
        "invalid_choice": "Choose immediate, at_period_end, or a day such as 2026-12-15."
    }

    def to_internal_value(self, data: Any) -> When | date:
        if isinstance(data, str) and data in When.values:
            return When(data)
        try:
            return CalendarDate().to_internal_value(data)
        except serializers.ValidationError:
            self.fail("invalid_choice")


class CancelSerializer(DryRunSerializer):
    """When service ends."""

    when = Choice(
        When,
        default=When.AT_PERIOD_END,
        help_text="`immediate`: today is the last day; `at_period_end`: what is paid is served.",
    )


class ChangePlanSerializer(DryRunSerializer):
    """Which version comes next, and when."""

    plan = KeyOf(Plan)
    version = WholeNumber(
        min_value=1,
        max_value=2**31 - 1,
        allow_null=True,
        default=None,
        help_text="By default the current one in the currency of the one who pays.",
    )
    when = WhenOrDay(
        allow_null=True,
        default=None,
        help_text="A date is the first day under it, still to come or over. By "
        "default a plan with a lower base fee a year waits for the period's end, and any other begins "
        "at once; a trial runs to its end.",
    )
    bill_now = YesNo(
        default=False,
        help_text="Draft an invoice over the base fees of the change, and what is credited for it, at "
        "once instead of on the next invoice. Only once the change has begun; where its day ends the "
        "running period, the close of that bills it at once anyhow.",
    )
    lose_own_terms = YesNo(
        default=False,
        help_text="Confirm that own terms no longer hold which the version has no place for; a dry run "
        "names them in `lost_own_terms`.",
    )


class ChangeQuantitySerializer(DryRunSerializer):
    """How many there are of a price without a metric."""

    price = KeyString(help_text="The key of the price, such as seats.")
    quantity = QuantityString()
    starts_on = CalendarDate(
        allow_null=True, default=None, help_text="A day from today on; by default today."
    )


class ChangeTimeZoneSerializer(DryRunSerializer):
    """Where days begin."""

    time_zone = Text(max_length=64, help_text="IANA name, such as Asia/Tokyo.")


class ChangedSubscriptionSerializer(serializers.Serializer[Any]):
    """A subscription after a change, and its next invoice, as `upcoming-invoice` shows it."""

    dry_run = serializers.BooleanField(help_text="true: nothing was changed.")
    takes_effect_on = serializers.DateField(help_text="The first day after the change.")
    subscription = SubscriptionSerializer()
    next_invoice = InvoiceSerializer(allow_null=True, help_text="null: none is on its way.")
    lost_own_terms = serializers.ListField(
        child=serializers.CharField(),
        help_text="Keys of prices with own terms that its last plan has no place for.",
    )
    dropped_phases = PhaseSerializer(
        many=True,
        help_text="Changes of plan and pauses that were still to come, and no longer are.",
    )
    change_invoice = InvoiceSerializer(
        allow_null=True, help_text="The draft over a change of plan alone; null: there is none."
    )


class FirstPeriodSerializer(serializers.Serializer[Any]):
    """The first period in a new time zone."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    start_date = serializers.DateField()
    end_date = serializers.DateField()
    minutes_longer = serializers.IntegerField(
        help_text="Than it would have been; negative where it is shorter."
    )


class ChangedZoneSerializer(ChangedSubscriptionSerializer):
    """A subscription whose time zone changed, and how the new one begins."""

    first_period = FirstPeriodSerializer()


class LifeView(ApiView):
    """Something that is done with a subscription."""

    scope = "customers"

    def find(self, key: str) -> Subscription:
        return get_object_or_404(Subscription, key=key)

    def carry_out(
        self,
        request: Request,
        subscription: Subscription,
        do: Callable[[datetime], date],
        *,
        dry: bool,
        tell: Callable[[date, Next], dict[str, Any]] = lambda day, found: {},
    ) -> Response:
        """Do it, or just look; answer with the subscription and the invoice that comes next.

        `tell` adds what else is to be said.
        """
        at = timezone.now()
        if dry:
            day, found = life.preview(lambda: do(at), subscription_id=subscription.pk, at=at)
        else:
            day, found = life.carry_out(lambda: do(at), subscription_id=subscription.pk, at=at)
        return Response(
            {
                "dry_run": dry,
                "takes_effect_on": day,
                "subscription": SubscriptionSerializer(found.subscription, context={"at": at}).data,
                "next_invoice": next_invoice(request, found),
                "lost_own_terms": found.lost_terms,
                "dropped_phases": [PhaseSerializer(one).data for one in found.dropped],
                "change_invoice": change_invoice(request, found),
                **tell(day, found),
            }
        )


def next_invoice(request: Request, found: Next) -> dict[str, Any] | None:
    """Write the invoice that comes next as the contract does."""
    if found.running is None:
        return None
    locale = readers_locale(request, found.running.invoice)
    return invoice_answer(upcoming(found.running), locale=locale)


def change_invoice(request: Request, found: Next) -> dict[str, Any] | None:
    """Write the draft over a change of plan alone as the contract does."""
    if found.change is None:
        return None
    change = shown(found.change, found.change_beside)
    return invoice_answer(change, locale=readers_locale(request, found.change))


class ChangePlan(LifeView):
    """Another plan, or another version of the same, for a subscription."""

    @extend_schema(
        operation_id="subscriptions_change_plan",
        parameters=[KEY],
        request=ChangePlanSerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Put a subscription under another published version.

        At once, between versions whose periods last the same: the running period gets two parts,
        each rated under its own version, and is billed once at its end, with a credit of the unused
        fee and the new one for the days that are left. Else the running period ends today, and the
        day is the new anchor. A date as `when` is the day of the change: from one that is still to
        come the plan changes by itself, and one that is over counts as if it had been said then.
        `dry_run` has the exact lines.
        """
        subscription = self.find(key)
        body = self.read_body(ChangePlanSerializer)
        payer = subscription.payer or subscription.customer
        version = offered_version(
            plan=body["plan"], number=body["version"], currency=payer.currency
        )

        def change(at: datetime) -> date:
            return life.change_plan(
                subscription_id=subscription.pk,
                version=version,
                when=body["when"],
                bill_now=body["bill_now"],
                lose_own_terms=body["lose_own_terms"] or body["dry_run"],
                at=at,
                actor=self.actor,
            )

        return self.carry_out(request, subscription, change, dry=body["dry_run"])


class ChangeQuantity(LifeView):
    """How many seats a subscription has."""

    @extend_schema(
        operation_id="subscriptions_change_quantity",
        parameters=[KEY],
        request=ChangeQuantitySerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Say how many there are of a price without a metric, such as seats, from a day on.

        More of them are charged from that day, for the days that are left; fewer from the next
        period on.
        """
        subscription = self.find(key)
        body = self.read_body(ChangeQuantitySerializer)

        def change(at: datetime) -> date:
            return life.change_quantity(
                subscription_id=subscription.pk,
                price_key=body["price"],
                quantity=body["quantity"],
                starts_on=body["starts_on"],
                at=at,
                actor=self.actor,
            )

        return self.carry_out(request, subscription, change, dry=body["dry_run"])


class ChangeTimeZone(LifeView):
    """The time zone of a subscription."""

    @extend_schema(
        operation_id="subscriptions_change_time_zone",
        parameters=[KEY],
        request=ChangeTimeZoneSerializer,
        responses=ChangedZoneSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Let the days of a subscription begin in another time zone, from its next boundary on.

        The running period ends as it would have. The next one begins there and ends at midnight in
        the new zone, so it is some hours shorter or longer. Before service begins, it begins in the
        new zone.
        """
        subscription = self.find(key)
        body = self.read_body(ChangeTimeZoneSerializer)

        def change(at: datetime) -> date:
            return life.change_time_zone(
                subscription_id=subscription.pk,
                time_zone=body["time_zone"],
                at=at,
                actor=self.actor,
            )

        return self.carry_out(
            request, subscription, change, dry=body["dry_run"], tell=_first_period
        )


def _first_period(day: date, found: Next) -> dict[str, Any]:
    first, place = (
        first_period(found.subscription, day),
        zone(zones_of(found.subscription).on(day)),
    )
    return {
        "first_period": {
            "start": written(first.starts_at, place),
            "end": written(first.ends_at, place),
            "start_date": first.start,
            "end_date": first.end,
            "minutes_longer": first.longer // timedelta(minutes=1),
        }
    }


class CancelSubscription(LifeView):
    """The end of a subscription."""

    @extend_schema(
        operation_id="subscriptions_cancel",
        parameters=[KEY],
        request=CancelSerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Cancel a subscription, at once or to the end of what is paid for.

        The last invoice charges usage, and credits what was paid in advance for the days after,
        where the plan's version says so. Until service ends it can be taken back.
        """
        subscription = self.find(key)
        body = self.read_body(CancelSerializer)
        when = When(body["when"])

        def cancel(at: datetime) -> date:
            return life.cancel(subscription_id=subscription.pk, when=when, at=at, actor=self.actor)

        return self.carry_out(request, subscription, cancel, dry=body["dry_run"])


class ReactivateSubscription(LifeView):
    """A subscription that goes on after all."""

    @extend_schema(
        operation_id="subscriptions_reactivate",
        parameters=[KEY],
        request=DryRunSerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Let a cancelled subscription go on.

        Before its end, as if it had never been cancelled. After it, from today, under its last plan;
        the day is the anchor of its periods.
        """
        subscription = self.find(key)
        body = self.read_body(DryRunSerializer)

        def reactivate(at: datetime) -> date:
            return life.reactivate(subscription_id=subscription.pk, at=at, actor=self.actor)

        return self.carry_out(request, subscription, reactivate, dry=body["dry_run"])


class PauseSubscription(LifeView):
    """A subscription that rests."""

    @extend_schema(
        operation_id="subscriptions_pause",
        parameters=[KEY],
        request=CancelSerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Pause a subscription until it is resumed: no fee, and usage is not billed.

        What was paid in advance for days of the pause is credited on the next invoice.
        """
        subscription = self.find(key)
        body = self.read_body(CancelSerializer)
        when = When(body["when"])

        def pause(at: datetime) -> date:
            return life.pause(subscription_id=subscription.pk, when=when, at=at, actor=self.actor)

        return self.carry_out(request, subscription, pause, dry=body["dry_run"])


class ResumeSubscription(LifeView):
    """A subscription that is in service again."""

    @extend_schema(
        operation_id="subscriptions_resume",
        parameters=[KEY],
        request=DryRunSerializer,
        responses=ChangedSubscriptionSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Resume a paused subscription from today, or take back a pause that is still to come."""
        subscription = self.find(key)
        body = self.read_body(DryRunSerializer)

        def resume(at: datetime) -> date:
            return life.resume(subscription_id=subscription.pk, at=at, actor=self.actor)

        return self.carry_out(request, subscription, resume, dry=body["dry_run"])


urlpatterns = [
    path("subscriptions/<str:key>/change-plan", ChangePlan.as_view(), name="change_plan"),
    path("subscriptions/<str:key>/quantities", ChangeQuantity.as_view(), name="quantities"),
    path("subscriptions/<str:key>/time-zone", ChangeTimeZone.as_view(), name="change_time_zone"),
    path("subscriptions/<str:key>/cancel", CancelSubscription.as_view(), name="cancel"),
    path("subscriptions/<str:key>/pause", PauseSubscription.as_view(), name="pause"),
    path("subscriptions/<str:key>/resume", ResumeSubscription.as_view(), name="resume"),
    path("subscriptions/<str:key>/reactivate", ReactivateSubscription.as_view(), name="reactivate"),
]
