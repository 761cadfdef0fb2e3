"""Subscriptions: agreed once, then read; their phases and next periods."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import islice
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from catalog.admin.examples import every
from catalog.money import plain
from config.base.admin.audited import AuditedAdmin, Panel, PanelMaker
from config.base.admin.theme import display, short
from config.base.audit import Actor
from customers import services
from customers.admin.couponing import CouponPages
from customers.admin.customers import next_boundary, state_of
from customers.admin.overriding import OverridePages, overrides_panel
from customers.admin.subscribing import SubscribeForm, counted_prices, offered_versions
from customers.models import PeriodAlignment, Subscription, SubscriptionPhase
from customers.periods import Alignment, DateOutOfRange
from customers.terms import periods, zones_of

NEXT_PERIODS = 6


def facts_panel(request: HttpRequest, subscription: Subscription) -> Panel:
    """Say whose it is, on what, and what happens next."""
    today = timezone.localdate()
    customer = reverse("admin:customers_customer_change", args=(subscription.customer_id,))
    payer = subscription.payer
    facts = [
        ("Customer", subscription.customer.name, customer),
        ("Plan", plan_of(subscription, today), ""),
        ("State", state_of(subscription, today), ""),
        ("Next", next_boundary(subscription, today), ""),
        ("First day", f"{subscription.starts_on:%-d %b %Y}", ""),
        ("Last day", _written(_day_before(subscription.ends_on)), ""),
        (
            "Paid by",
            payer.name if payer else "",
            reverse("admin:customers_customer_change", args=(payer.pk,)) if payer else "",
        ),
        ("Sold by", subscription.issuer.name if subscription.issuer else "", ""),
    ]
    return Panel("At a glance", "admin/customers/linked_facts_panel.html", {"facts": facts})


def plan_of(subscription: Subscription, today: date) -> str:
    """Name the plan version of today, or of the first day; load `with_terms`."""
    phases = list(subscription.phases.all())
    running = [phase for phase in phases if phase.starts_on <= today] or phases[:1]
    return str(running[-1].plan_version) if running else "—"


def phases_panel(request: HttpRequest, subscription: Subscription) -> Panel:
    """Tell the subscription's story: each phase, and what was counted from when."""
    return Panel(
        "Terms over time",
        "admin/customers/phases_panel.html",
        {
            "phases": [
                {
                    "plan": str(phase.plan_version),
                    "url": reverse(
                        "admin:catalog_planversion_change", args=(phase.plan_version_id,)
                    ),
                    "every": every(phase.plan_version),
                    "currency": phase.plan_version.currency,
                    "starts_on": phase.starts_on,
                    "last_day": _day_before(phase.ends_on),
                    "on_calendar": phase.alignment == PeriodAlignment.CALENDAR,
                    "anchor_on": phase.anchor_on,
                    "time_zone": zones_of(subscription).on(phase.starts_on),
                    "is_paused": phase.is_paused,
                }
                for phase in subscription.phases.all()
            ],
            "zones": zones_of(subscription).changes,
            "quantities": [
                {
                    "key": quantity.price_key,
                    "quantity": plain(quantity.quantity),
                    "starts_on": quantity.starts_on,
                }
                for quantity in subscription.quantities.all()
            ],
        },
    )


def periods_panel(request: HttpRequest, subscription: Subscription) -> Panel:
    """List the running period and the next ones, with dates and days."""
    today = timezone.localdate()
    rows, cut_short = [], False
    try:
        for phase, period in islice(periods(subscription, since=today), NEXT_PERIODS):
            rows.append(
                {
                    "start": period.start,
                    "last_day": period.end - timedelta(days=1),
                    "days": period.days,
                    "of": period.fraction.of,
                    "is_part": not period.fraction.is_whole,
                    "is_trial": period.trial,
                    "is_running": today in period,
                    "plan": str(phase.plan_version),
                }
            )
    except DateOutOfRange:
        cut_short = True
    return Panel(
        "Next periods",
        "admin/customers/periods_panel.html",
        {"periods": rows, "cut_short": cut_short},
    )


SUBSCRIPTION_PANELS: list[PanelMaker] = [
    facts_panel,
    phases_panel,
    overrides_panel,
    periods_panel,
]
"""Boxes on a subscription's page; higher apps append theirs in AppConfig.ready."""


class StateFilter(SimpleListFilter):
    """Filter by whether there is service today."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("later", "Starts later"), ("ended", "Ended")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Subscription]
    ) -> QuerySet[Subscription]:
        today = timezone.localdate()
        match self.value():
            case "active":
                return queryset.filter(pk__in=Subscription.objects.active(on=today).values("pk"))
            case "later":
                return queryset.filter(starts_on__gt=today)
            case "ended":
                return queryset.filter(ends_on__lte=today)
            case _:
                return queryset


@admin.register(Subscription)
class SubscriptionAdmin(OverridePages, CouponPages, AuditedAdmin[Subscription]):
    form = SubscribeForm
    list_display = ("key", "customer_page", "plan", "starts_on", "last_day", "state")
    list_filter = (StateFilter, "phases__plan_version__plan")
    list_select_related = ("customer",)
    search_fields = ("key", "customer__name", "customer__key")
    search_help_text = "Search by key or customer"
    ordering = ("-pk",)
    show_full_result_count = False
    autocomplete_fields = ("customer", "payer", "issuer")
    panels = SUBSCRIPTION_PANELS
    actions_detail: tuple[str, ...] = ("own_price", "end_own_price", "apply_coupon", "end_coupon")
    complaint_fields = {"plan": "plan_version"}
    empty_hint = (
        "A subscription puts a customer on a published plan, from a day on. "
        "Add a customer and publish a plan first."
    )

    class Media:
        js = ("admin/plainbill-subscribe.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        phases = SubscriptionPhase.objects.select_related("plan_version__plan")
        return (
            super()
            .get_queryset(request)
            .select_related("customer", "issuer", "payer")
            .prefetch_related(
                Prefetch("phases", queryset=phases),
                "quantities",
                "overrides",
                "applied_coupons__coupon",
            )
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A subscription is read; what changes it has an action of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:  # only read, so the plain form will do
            kwargs |= {"form": forms.ModelForm, "fields": []}
            return super().get_form(request, obj, change=change, **kwargs)
        kwargs["fields"] = ["key", "customer", "starts_on", "issuer", "payer"]
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return ()  # the boxes say all of it
        counted = [name for one in counted_prices(offered_versions()).values() for name in one]
        sets: list[Any] = [
            ("Who subscribes to what", {"fields": ("customer", "plan_version", "key")}),
        ]
        if counted:
            sets.append(("How many", {"fields": counted, "classes": ["plainbill-quantities"]}))
        sets += [
            ("From when", {"fields": ("starts_on", "alignment")}),
            (
                "Rarely needed",
                {
                    "fields": ("anchor_on", "time_zone", "payer", "issuer"),
                    "classes": ["collapse"],
                },
            ),
        ]
        return sets

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"starts_on": timezone.localdate(), **initial}

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        entered = form.cleaned_data
        made = services.subscribe(
            key=entered["key"],
            customer=entered["customer"],
            version=entered["plan_version"],
            starts_on=entered["starts_on"],
            alignment=Alignment(entered["alignment"]),
            anchor_on=entered["anchor_on"],
            time_zone=entered["time_zone"] or None,
            quantities=form.quantities(),
            issuer=entered["issuer"],
            payer=entered["payer"],
            actor=Actor.user(request.user),
        )
        obj.pk = made.pk

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        return {}  # the service recorded all of it

    def response_add(
        self, request: HttpRequest, obj: Subscription, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        said = f"{obj.customer} is subscribed. Its next periods are below."
        self.message_user(request, said, messages.SUCCESS)
        return HttpResponseRedirect(self.url("change", obj.pk))

    @display(description="Customer", ordering="customer__name")
    def customer_page(self, subscription: Subscription) -> SafeString:
        url = reverse("admin:customers_customer_change", args=(subscription.customer_id,))
        return format_html(
            '<a href="{}" class="text-link">{}</a>', url, short(str(subscription.customer))
        )

    @display(description="Plan")
    def plan(self, subscription: Subscription) -> str:
        return plan_of(subscription, timezone.localdate())

    @display(
        description="State",
        label={"Active": "success", "Paused": "warning", "Starts later": "info", "Ended": ""},
    )
    def state(self, subscription: Subscription) -> str:
        return state_of(subscription, timezone.localdate())

    @display(description="Last day", ordering="ends_on", empty_value="open-ended")
    def last_day(self, subscription: Subscription) -> date | None:
        return _day_before(subscription.ends_on)


def _written(day: date | None) -> str:
    return "" if day is None else f"{day:%-d %b %Y}"


def _day_before(day: date | None) -> date | None:
    return None if day is None else day - timedelta(days=1)
