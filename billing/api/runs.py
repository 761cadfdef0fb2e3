"""Billing runs: started by a call, done by workers, watched until they are finished."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from billing import tasks
from billing.api.answers import purpose_of
from billing.models import (
    BillingPeriod,
    BillingRun,
    Invoice,
    InvoiceStatus,
    PeriodStatus,
    Purpose,
    RunStatus,
)
from billing.services import runs
from catalog.api.fields import KeyOf
from config.base.api.fields import Instant
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet
from customers.models import Customer

MOST_LISTED = 1000
EXAMPLE = {"as_of": "2026-12-01T02:00:00Z", "customer": "acme"}


class NewRunSerializer(StrictSerializer):
    """What to close."""

    as_of = Instant(
        required=False, help_text="Act as the clock read this; by default now, never later."
    )
    customer = KeyOf(
        Customer,
        allow_null=True,
        default=None,
        help_text="Only what this customer uses or pays; by default everybody.",
    )


class ProgressSerializer(serializers.Serializer[BillingRun]):
    """How far it came, in subscriptions that had something due when it started."""

    done = serializers.IntegerField(source="subscriptions_done")
    total = serializers.IntegerField(source="subscriptions_total")


class RunSerializer(serializers.Serializer[BillingRun]):
    """A call to close what was due as of a moment, and how far it came."""

    id = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(
        choices=RunStatus.values,
        help_text="`failed`: it came to a halt and was given up; the next run does what it left.",
    )
    as_of = serializers.DateTimeField()
    customer = serializers.CharField(
        source="customer.key", default=None, allow_null=True, help_text="null: everybody."
    )
    started_by = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = ProgressSerializer(source="*")
    periods_closed = serializers.IntegerField()
    invoices_issued = serializers.IntegerField(help_text="Those drafted by earlier runs included.")


class DraftedSerializer(serializers.Serializer[Invoice]):
    """An invoice that the run drafted, or that a subscription joined which the run closed."""

    id = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(choices=InvoiceStatus.values)
    subscription = serializers.CharField(allow_null=True, help_text="The first that it charges.")
    subscriptions = serializers.ListField(
        child=serializers.CharField(), help_text="All that it charges."
    )
    purpose = serializers.ChoiceField(choices=Purpose.values, allow_null=True)

    def to_representation(self, instance: Invoice) -> dict[str, Any]:
        billed = [row.subscription.key for row in instance.charges.all()] or [
            row.subscription.key for row in instance.lines.all()
        ]
        return {
            "id": instance.uuid,
            "status": instance.status,
            "subscription": next(iter(billed), None),
            "subscriptions": list(dict.fromkeys(billed)),
            "purpose": purpose_of(instance),
        }


class ParkedSerializer(serializers.Serializer[BillingPeriod]):
    """A period that could not be closed; `period` is what `/billing/periods/{id}/retry` takes."""

    subscription = serializers.CharField(source="subscription.key")
    period = serializers.UUIDField(source="uuid")
    code = serializers.ChoiceField(choices=[PeriodStatus.PARKED.value], source="status")
    detail = serializers.SerializerMethodField(help_text="Why, in a sentence.")

    def get_detail(self, period: BillingPeriod) -> str:
        return period.trouble.partition("\n")[0]


class RunDetailSerializer(RunSerializer):
    """A run with what it drafted and what it could not close."""

    invoices = DraftedSerializer(many=True, help_text=f"The first {MOST_LISTED:,} that it drafted.")
    invoices_url = serializers.CharField(help_text="Where all that it drafted are listed.")
    failed = ParkedSerializer(
        many=True, help_text=f"The first {MOST_LISTED:,} that wait for somebody."
    )


class RunFilters(Filters):
    customer = filters.CharFilter("customer__key", label="The key of the customer it was for.")

    class Meta:
        model = BillingRun
        fields = ("status",)


class RunViewSet(mixins.ListModelMixin, ApiViewSet[BillingRun]):
    """Billing runs, the newest first."""

    scope = "billing"
    queryset = BillingRun.objects.select_related("customer").order_by("-pk")
    serializer_class = RunSerializer
    filterset_class = RunFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(
        request=NewRunSerializer,
        responses={202: RunDetailSerializer},
        examples=[OpenApiExample("One customer", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Close what is due and issue what may be issued; read the run to see how far it is.

        Workers do it, and the answer says `running`. Where no broker is configured it is done
        before the answer, which says `finished`; under an Idempotency-Key it is done right after
        the answer was stored, which therefore says `running` too. What nobody could do is done
        by the sweep, within five minutes.
        """
        body = self.read_body(NewRunSerializer)
        now = timezone.now()
        run = runs.start_run(
            as_of=body.get("as_of", now), now=now, actor=self.actor, customer=body["customer"]
        )
        tasks.nudge_run(run.pk)
        return self._answer(run, status=202)

    @extend_schema(responses=RunDetailSerializer)
    def retrieve(self, request: Request, uuid: str) -> Response:
        """Read how far a run is, what it drafted, and what it could not close."""
        return self._answer(self.get_object())

    def _answer(self, run: BillingRun, *, status: int = 200) -> Response:
        fresh = self.get_queryset().get(pk=run.pk)
        drafted = (
            Invoice.objects.of_run(fresh.uuid)
            .order_by("pk")
            .prefetch_related("charges__subscription", "lines__subscription")
        )
        return Response(
            {
                **RunSerializer(fresh).data,
                "invoices": [DraftedSerializer(one).data for one in drafted[:MOST_LISTED]],
                "invoices_url": f"{reverse('invoice-list', request=self.request)}?run={fresh.uuid}",
                "failed": [ParkedSerializer(one).data for one in _parked(fresh)[:MOST_LISTED]],
            },
            status=status,
        )


def _parked(run: BillingRun) -> QuerySet[BillingPeriod]:
    found = run.periods.filter(status=PeriodStatus.PARKED)
    return found.select_related("subscription").order_by("pk")


routes = [("billing/runs", RunViewSet, "run")]
