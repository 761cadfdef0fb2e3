"""Customers and their subscriptions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.core.validators import EmailValidator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api.fields import Choice, CurrencyCode, KeyOf, unchanged_key
from catalog.api.overrides import OverrideTermsSerializer
from catalog.clocks import LONGEST_CUTOFF_HOURS, LONGEST_ISSUE_HOURS
from catalog.models import Coupon, Plan
from config.base import audit
from config.base.api.fields import (
    CalendarDate,
    KeyString,
    QuantityString,
    Text,
    WholeNumber,
    YesNo,
)
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault
from customers import services
from customers.models import (
    AppliedCoupon,
    Consolidation,
    Customer,
    PeriodAlignment,
    PriceOverride,
    Subscription,
    SubscriptionPhase,
    TaxStatus,
)
from customers.parties import party_faults
from customers.periods import Alignment
from customers.quantities import quantity_on
from customers.querysets import SubscriptionQuerySet
from customers.terms import in_force, today_of, zones_of
from customers.zones import ZoneChange

CUSTOMER: dict[str, Any] = {
    "key": "acme",
    "name": "Acme",
    "legal_name": "Acme GmbH",
    "email": "ap@acme.test",
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "locale": "de-DE",
    "payment_terms_days": 30,
    "vat_id": "DE136695976",
    "address": {
        "line1": "Hauptstraße 1",
        "postal_code": "10115",
        "city": "Berlin",
        "country": "DE",
    },
}
SUBSCRIPTION: dict[str, Any] = {
    "key": "acme-scale",
    "customer": "acme",
    "plan": "scale",
    "version": 1,
    "starts_on": "2026-11-01",
    "alignment": "anniversary",
    "anchor_on": "2026-11-01",
    "quantities": {"seats": "25"},
}


class EmailAddress(Text):
    """An e-mail address."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, validators=[EmailValidator()], **kwargs)


class AddressSerializer(StrictSerializer):
    """Where the customer is; a change names only the lines that change."""

    line1 = Text(max_length=200, allow_blank=True, default="")
    line2 = Text(max_length=200, allow_blank=True, default="")
    postal_code = Text(max_length=20, allow_blank=True, default="")
    city = Text(max_length=100, allow_blank=True, default="")
    region = Text(max_length=100, allow_blank=True, default="")
    country = Text(
        max_length=2, allow_blank=True, default="", help_text="ISO 3166 code, such as DE."
    )


class CustomerSerializer(CheckedSerializer):
    """Who uses what we sell; only key, name and currency are required."""

    key = KeyString(help_text="Your own name for it, which events call `subject`.")
    name = Text(max_length=200, help_text="What you call them.")
    legal_name = Text(max_length=200, required=False, help_text="By default the name.")
    email = EmailAddress(allow_blank=True, default="")
    currency = CurrencyCode()
    time_zone = Text(
        max_length=64,
        default="UTC",
        help_text="IANA name, such as Europe/Berlin. A subscription keeps its own until "
        "`time-zone` changes it.",
    )
    locale = Text(max_length=20, default="en", help_text="Language and numbers, such as de-DE.")
    payment_terms_days = WholeNumber(min_value=0, max_value=365, default=30)
    vat_id = Text(max_length=20, allow_blank=True, default="")
    attention = Text(
        max_length=200, allow_blank=True, default="", help_text="Printed below the name."
    )
    purchase_order = Text(
        max_length=100,
        allow_blank=True,
        default="",
        help_text="Their order number, printed on every invoice.",
    )
    buyer_reference = Text(
        max_length=100,
        allow_blank=True,
        default="",
        help_text="What they ask to be named besides, such as a Leitweg-ID; the buyer reference of an "
        "electronic invoice.",
    )
    address = AddressSerializer(source="*", required=False)
    tax_status = Choice(
        TaxStatus,
        default=TaxStatus.AUTOMATIC,
        help_text="`automatic`: by country and VAT ID; anything else wins over them.",
    )
    tax_reason = Text(
        max_length=200,
        allow_blank=True,
        default="",
        help_text="Printed where they are exempt or out of scope, such as the law that says so.",
    )
    consolidation = Choice(
        Consolidation,
        allow_null=True,
        default="",
        help_text="Whether all subscriptions that it pays for share an invoice where they are "
        "billed on the same day; null: as the issuer does it.",
    )
    usage_cutoff_hours = WholeNumber(
        min_value=0,
        max_value=LONGEST_CUTOFF_HOURS,
        allow_null=True,
        default=None,
        help_text="Hours after a period's end until it is closed; null: as the plan or the issuer says.",
    )
    auto_issue_hours = WholeNumber(
        min_value=0,
        max_value=LONGEST_ISSUE_HOURS,
        allow_null=True,
        default=None,
        help_text="Hours after the close until the invoice is issued; null: as the plan or the issuer "
        "says.",
    )
    manual_approval = YesNo(
        allow_null=True,
        default=None,
        help_text="Whether a person issues the invoices; null: as the plan or the issuer says.",
    )
    invoices_by_email = YesNo(
        default=True,
        help_text="Whether invoices are sent to `email` and to the contacts who receive them, where the "
        "issuer sends them.",
    )
    segment = Text(max_length=100, allow_blank=True, default="", help_text="Your own grouping.")
    created_at = serializers.DateTimeField(read_only=True)

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        before = {} if self.instance is None else audit.state(self.instance)
        for path, code, message in party_faults(values, before):
            yield Fault(("address", *path) if path == ("country",) else path, code, message)


class ChangedCustomerSerializer(CustomerSerializer):
    """What changes of a customer."""

    def validate_key(self, key: str) -> str:
        return unchanged_key(key, self.instance)


class CustomerFilters(Filters):
    search = filters.CharFilter(method="named", label="Part of the name or the legal name.")

    class Meta:
        model = Customer
        fields = ("key", "currency", "country", "segment")

    def named(self, customers: QuerySet[Customer], _: str, part: str) -> QuerySet[Customer]:
        return customers.filter(Q(name__icontains=part) | Q(legal_name__icontains=part))


class CustomerViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Customer]):
    """Customers: who uses what we sell."""

    scope = "customers"
    queryset = Customer.objects.order_by("pk")
    serializer_class = CustomerSerializer
    filterset_class = CustomerFilters
    lookup_field = "key"

    @extend_schema(
        responses={201: CustomerSerializer},
        examples=[OpenApiExample("Acme", CUSTOMER, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Create a customer."""
        customer = Customer(**self.read_body(CustomerSerializer))
        customer = services.create_customer(customer=customer, actor=self.actor)
        return Response(self.get_serializer(customer).data, status=201)

    @extend_schema(request=ChangedCustomerSerializer, responses=CustomerSerializer)
    def partial_update(self, request: Request, key: str) -> Response:
        """Change a customer's details; invoices issued before keep what they say."""
        customer = self.get_object()
        fields = self.read_body(ChangedCustomerSerializer, instance=customer, partial=True)
        customer = services.change_customer(
            customer_id=customer.pk, fields=fields, actor=self.actor
        )
        return Response(self.get_serializer(customer).data)


class NewSubscriptionSerializer(StrictSerializer):
    """A customer's agreement to a published version of a plan."""

    key = KeyString(help_text="Your own name for it; it never changes.")
    customer = KeyOf(Customer)
    plan = KeyOf(Plan)
    version = WholeNumber(
        min_value=1,
        max_value=2**31 - 1,
        allow_null=True,
        default=None,
        help_text="By default the current one in the currency of the one who pays.",
    )
    starts_on = CalendarDate(help_text="The first day of service, from 1970-01-01 to 2200-01-01.")
    alignment = Choice(PeriodAlignment, default=PeriodAlignment.ANNIVERSARY)
    anchor_on = CalendarDate(
        allow_null=True,
        default=None,
        help_text="Periods are counted from it; by default the start.",
    )
    time_zone = Text(
        max_length=64,
        allow_null=True,
        default=None,
        help_text="Where its days begin; by default the customer's.",
    )
    quantities = serializers.DictField(
        child=QuantityString(),
        default=dict,
        help_text="Of prices without a metric, by the price's key; 1 for what is not named.",
    )
    payer = KeyOf(
        Customer, allow_null=True, default=None, help_text="By default the customer itself."
    )


class PhaseSerializer(serializers.Serializer[SubscriptionPhase]):
    """A stretch of a subscription under one version and one calendar."""

    plan = serializers.CharField(source="plan_version.plan.key")
    version = serializers.IntegerField(source="plan_version.number")
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(allow_null=True, help_text="The first day no longer under it.")
    alignment = Choice(PeriodAlignment)
    anchor_on = serializers.DateField(allow_null=True)
    time_zone = serializers.SerializerMethodField(help_text="Where its first day begins.")
    is_paused = serializers.BooleanField(help_text="No service: no fee, usage is not billed.")

    def get_time_zone(self, phase: SubscriptionPhase) -> str:
        return zones_of(phase.subscription).on(phase.starts_on)


class ZoneChangeSerializer(serializers.Serializer[ZoneChange]):
    """A time zone that holds from a day on, on which a period begins."""

    starts_on = serializers.DateField(source="since")
    time_zone = serializers.CharField(source="name")


class TermsAt(NamedTuple):
    """A subscription with the terms that hold at a moment."""

    subscription: Subscription
    phase: SubscriptionPhase
    quantities: dict[str, Decimal]
    time_zone: str
    time_zone_changes: tuple[ZoneChange, ...]


def terms_at(subscription: Subscription, at: datetime) -> TermsAt:
    """Return the terms that hold at `at`: before the start the first, after the end the last."""
    phase = in_force(subscription, at=at)
    day = max(today_of(subscription, at=at), subscription.starts_on)
    changes: dict[str, list[tuple[date, Decimal]]] = {}
    for row in subscription.quantities.all():
        changes.setdefault(row.price_key, []).append((row.starts_on, row.quantity))
    quantities = {name: quantity_on(day, dated) for name, dated in changes.items()}
    zones = zones_of(subscription)
    return TermsAt(subscription, phase, quantities, zones.on(day), zones.changes)


class SubscriptionSerializer(serializers.Serializer[Subscription]):
    """A subscription with the terms that hold now: before the start the first, at last the last."""

    key = serializers.CharField(source="subscription.key")
    customer = serializers.CharField(source="subscription.customer.key")
    payer = serializers.CharField(
        source="subscription.payer.key",
        default=None,
        allow_null=True,
        help_text="null: the customer.",
    )
    plan = serializers.CharField(source="phase.plan_version.plan.key")
    version = serializers.IntegerField(source="phase.plan_version.number")
    starts_on = serializers.DateField(source="subscription.starts_on")
    ends_on = serializers.DateField(
        source="subscription.ends_on", allow_null=True, help_text="The first day without service."
    )
    alignment = Choice(PeriodAlignment, source="phase.alignment")
    anchor_on = serializers.DateField(source="phase.anchor_on", allow_null=True)
    time_zone = serializers.CharField(help_text="Where its days begin now.")
    time_zone_changes = ZoneChangeSerializer(
        many=True, help_text="The boundaries from which another one held, or will hold."
    )
    quantities = serializers.DictField(child=QuantityString())
    phases = PhaseSerializer(source="subscription.phases", many=True)
    created_at = serializers.DateTimeField(source="subscription.created_at")

    def to_representation(self, instance: Subscription) -> dict[str, Any]:
        terms: Any = terms_at(instance, self.context["at"])
        return super().to_representation(terms)


class UnusedQuantitySerializer(serializers.Serializer[Any]):
    """A quantity that nothing is charged by yet."""

    code = serializers.ChoiceField(choices=["unused_quantity"])
    detail = serializers.CharField()


class NewlySubscribedSerializer(SubscriptionSerializer):
    """A new subscription, and what may be a slip in what was sent."""

    warnings = serializers.SerializerMethodField()

    @extend_schema_field(UnusedQuantitySerializer(many=True))
    def get_warnings(self, terms: TermsAt) -> list[dict[str, str]]:
        version = terms.phase.plan_version
        priced = set(version.prices.values_list("key", flat=True))
        return [
            {
                "code": "unused_quantity",
                "detail": f"{version} has no price “{name}”; its quantity counts once one has.",
            }
            for name in terms.quantities
            if name not in priced
        ]


class OverrideSerializer(OverrideTermsSerializer):
    """Own terms for one price of the plan, for periods that begin while they are in force."""

    price = KeyString(help_text="The key of the price.")
    starts_on = CalendarDate(help_text="Periods that begin on this day or later have them.")
    ends_on = CalendarDate(
        allow_null=True, default=None, help_text="Periods that begin on this day or later don't."
    )
    reason = Text(max_length=5000, lines=True)


class AgreedSerializer(serializers.ModelSerializer[PriceOverride]):
    """Own terms as they were agreed."""

    id = serializers.UUIDField(source="uuid")
    price = serializers.CharField(source="price_key")
    terms = serializers.SerializerMethodField(help_text="What differs from the plan's price.")

    class Meta:
        model = PriceOverride
        fields = (
            "id", "price", "starts_on", "ends_on", "terms", "reason", "agreed_by", "agreed_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OverrideTermsSerializer)
    def get_terms(self, override: PriceOverride) -> Any:
        return override.terms


class EndingSerializer(StrictSerializer):
    ends_on = CalendarDate(help_text="Periods that begin on this day or later have the plan's.")


class NewCouponSerializer(StrictSerializer):
    """A coupon for a subscription, from a day on."""

    coupon = KeyOf(Coupon, help_text="The key of the coupon.")
    starts_on = CalendarDate(
        help_text="It reduces invoices of periods that end, or are billed in advance, on this day "
        "or later. From the first day of service: the first invoice too."
    )


class AppliedCouponSerializer(serializers.ModelSerializer[AppliedCoupon]):
    """A coupon that a subscription has."""

    id = serializers.UUIDField(source="uuid")
    coupon = serializers.CharField(source="coupon.key")

    class Meta:
        model = AppliedCoupon
        fields = ("id", "coupon", "starts_on", "ends_on", "applied_by", "applied_at")
        read_only_fields = fields


class CouponEndingSerializer(StrictSerializer):
    ends_on = CalendarDate(
        help_text="Invoices of this day or later are not reduced. Its first day: none is."
    )


class SubscriptionFilters(Filters):
    customer = filters.CharFilter("customer__key", label="The customer's key.")
    plan = filters.CharFilter(method="under_plan", label="The key of a plan it is or was under.")
    active_on = filters.DateFilter(
        method="with_service", input_formats=["%Y-%m-%d"], label="A day with service: 2026-11-01."
    )

    class Meta:
        model = Subscription
        fields = ("key",)

    def under_plan(self, found: QuerySet[Subscription], _: str, key: str) -> QuerySet[Subscription]:
        under = SubscriptionPhase.objects.filter(
            subscription=OuterRef("pk"), plan_version__plan__key=key
        )
        return found.filter(Exists(under))

    def with_service(
        self, found: SubscriptionQuerySet, _: str, day: date
    ) -> QuerySet[Subscription]:
        return found.active(on=day)


class SubscriptionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Subscription]
):
    """Subscriptions: customers' agreements to versions of plans."""

    scope = "customers"
    queryset = Subscription.objects.with_terms().order_by("pk")
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilters
    lookup_field = "key"

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "at": timezone.now()}

    @extend_schema(
        request=NewSubscriptionSerializer,
        responses={201: NewlySubscribedSerializer},
        examples=[OpenApiExample("Acme on Scale", SUBSCRIPTION, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Subscribe a customer to a published version of a plan."""
        terms = self.read_body(NewSubscriptionSerializer)
        payer = terms["payer"] or terms["customer"]
        version = services.offered_version(
            plan=terms.pop("plan"), number=terms.pop("version"), currency=payer.currency
        )
        alignment = Alignment(terms.pop("alignment"))
        subscription = services.subscribe(
            **terms, version=version, alignment=alignment, actor=self.actor
        )
        fresh = Subscription.objects.with_terms().get(pk=subscription.pk)
        answer = NewlySubscribedSerializer(fresh, context=self.get_serializer_context())
        return Response(answer.data, status=201)

    @extend_schema(responses=AgreedSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def overrides(self, request: Request, key: str) -> Response:
        """List the subscription's own terms for prices of its plan, past and coming ones too."""
        return Response(AgreedSerializer(self.get_object().overrides.all(), many=True).data)

    @extend_schema(request=OverrideSerializer, responses={201: AgreedSerializer})
    @overrides.mapping.post
    def agree(self, request: Request, key: str) -> Response:
        """Give a subscription its own terms for a price of its plan.

        They hold for every period that begins while they are in force and is not billed yet.
        """
        subscription = self.get_object()
        body = self.read_body(OverrideSerializer)
        override = services.agree_price(
            subscription_id=subscription.pk,
            price_key=body.pop("price"),
            terms=OverrideSerializer().terms(body),
            **body,
            at=timezone.now(),
            actor=self.actor,
        )
        return Response(AgreedSerializer(override).data, status=201)

    @extend_schema(request=EndingSerializer, responses=AgreedSerializer)
    @action(detail=True, methods=["post"], url_path="overrides/(?P<override>[0-9a-fA-F-]{36})/end")
    def end_override(self, request: Request, key: str, override: str) -> Response:
        """Let own terms end; periods that begin on that day or later have the plan's."""
        found = get_object_or_404(self.get_object().overrides, uuid=_uuid(override))
        ends_on = self.read_body(EndingSerializer)["ends_on"]
        ended = services.end_override(override_id=found.pk, ends_on=ends_on, actor=self.actor)
        return Response(AgreedSerializer(ended).data)

    @extend_schema(responses=AppliedCouponSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def coupons(self, request: Request, key: str) -> Response:
        """List the coupons that the subscription was given, used up and coming ones too."""
        applied = self.get_object().applied_coupons.all()
        return Response(AppliedCouponSerializer(applied, many=True).data)

    @extend_schema(request=NewCouponSerializer, responses={201: AppliedCouponSerializer})
    @coupons.mapping.post
    def apply_coupon(self, request: Request, key: str) -> Response:
        """Give a coupon to a subscription.

        A draft that is there already takes it when it is recalculated.
        """
        subscription = self.get_object()
        body = self.read_body(NewCouponSerializer)
        applied = services.apply_coupon(
            subscription_id=subscription.pk, **body, at=timezone.now(), actor=self.actor
        )
        return Response(AppliedCouponSerializer(applied).data, status=201)

    @extend_schema(request=CouponEndingSerializer, responses=AppliedCouponSerializer)
    @action(detail=True, methods=["post"], url_path="coupons/(?P<applied>[0-9a-fA-F-]{36})/end")
    def end_coupon(self, request: Request, key: str, applied: str) -> Response:
        """Let a coupon end; invoices of that day or later are not reduced."""
        found = get_object_or_404(self.get_object().applied_coupons, uuid=_uuid(applied))
        ends_on = self.read_body(CouponEndingSerializer)["ends_on"]
        ended = services.end_coupon(applied_id=found.pk, ends_on=ends_on, actor=self.actor)
        return Response(AppliedCouponSerializer(ended).data)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


routes = [
    ("customers", CustomerViewSet, "customer"),
    ("subscriptions", SubscriptionViewSet, "subscription"),
]
