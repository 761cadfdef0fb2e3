"""Customers, their contacts, and panels that the apps above add."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from config.base.admin.audited import AuditedAdmin, Panel, PanelMaker
from config.base.admin.theme import TabularInline, display, text_input
from config.base.audit import Actor
from customers import services
from customers.admin.party import PartyForm
from customers.models import Contact, Customer, Subscription


def subscriptions_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """List what a customer is subscribed to, with the way to a new subscription."""
    if not request.user.has_perm("customers.view_subscription"):
        return None
    today = timezone.localdate()
    rows = Subscription.objects.filter(customer=customer).with_terms().order_by("-pk")
    return Panel(
        "Subscriptions",
        "admin/customers/subscriptions_panel.html",
        {
            "subscriptions": [_subscription_row(subscription, today) for subscription in rows],
            "add_url": f"{reverse('admin:customers_subscription_add')}?customer={customer.pk}"
            if request.user.has_perm("customers.add_subscription")
            else None,
        },
    )


CUSTOMER_PANELS: list[PanelMaker] = [subscriptions_panel]
"""Boxes on a customer's page; higher apps append theirs in AppConfig.ready."""


class CustomerForm(PartyForm):
    legal_name = forms.CharField(
        required=False,
        max_length=200,
        widget=text_input(),
        label="Registered name",
        help_text="As it stands on the invoice. Empty: the same as the name.",
    )

    class Meta:
        labels = {
            "tax_status": "Tax",
            "payment_terms_days": "Days to pay",
            "issuer": "Who sells to them",
        }

    def clean_legal_name(self) -> str:
        return str(self.cleaned_data["legal_name"] or self.cleaned_data.get("name", ""))


class ContactInline(TabularInline[Contact, Customer]):
    model = Contact
    fields = ("name", "email", "receives_invoices")
    extra = 0
    verbose_name_plural = "Contacts: who may read their usage and invoices"


@admin.register(Customer)
class CustomerAdmin(AuditedAdmin[Customer]):
    form = CustomerForm
    list_display = ("name", "key", "currency", "country", "segment", "subscription_count")
    list_filter = ("currency", "segment", "country", "tax_status")
    search_fields = ("key", "name", "legal_name", "email", "vat_id", "contacts__email")
    search_help_text = "Search by name, key, e-mail or VAT ID"
    autocomplete_fields = ("issuer",)
    show_full_result_count = False
    inlines = [ContactInline]
    panels = CUSTOMER_PANELS
    empty_hint = (
        "Add the first customer, then subscribe it to a published plan. "
        "Customers can also come in through the API."
    )
    fieldsets = (
        ("Who", {"fields": ("name", "legal_name", "key", "segment")}),
        (
            "Where invoices go",
            {
                "fields": (
                    "email",
                    "attention",
                    "line1",
                    "line2",
                    ("postal_code", "city"),
                    ("region", "country"),
                )
            },
        ),
        (
            "Terms and tax",
            {
                "fields": (
                    "currency",
                    ("payment_terms_days", "purchase_order"),
                    "manual_approval",
                    ("tax_status", "vat_id"),
                    "time_zone",
                    "locale",
                    "issuer",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return super().get_queryset(request).annotate(subscribed=Count("subscriptions"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("key",)

    def is_needed(self, row: Customer) -> bool:
        return row.subscriptions.exists() or row.paid_subscriptions.exists()

    def create(self, row: Customer, *, actor: Actor) -> None:
        services.create_customer(customer=row, actor=actor)

    def change(self, row: Customer, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_customer(customer_id=row.pk, fields=fields, actor=actor)

    def response_add(
        self, request: HttpRequest, obj: Customer, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the customer's page, where it is subscribed."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"{obj} is there. Now subscribe it to a plan.", messages.SUCCESS)
        return HttpResponseRedirect(self.url("change", obj.pk))

    @display(description="Subscriptions", ordering="subscribed")
    def subscription_count(self, customer: Any) -> str:
        return str(customer.subscribed or "—")


def _subscription_row(subscription: Subscription, today: date) -> dict[str, Any]:
    phases = list(subscription.phases.all())
    running = [phase for phase in phases if phase.starts_on <= today] or phases
    return {
        "key": subscription.key,
        "url": reverse("admin:customers_subscription_change", args=(subscription.pk,)),
        "plan": str(running[-1].plan_version) if running else "—",
        "starts_on": subscription.starts_on,
        "ends_on": subscription.ends_on,
        "state": state_of(subscription, today),
    }


def state_of(subscription: Subscription, today: date) -> str:
    """Say whether a subscription is in service: "Active", "Starts later", "Ended"."""
    if subscription.starts_on > today:
        return "Starts later"
    if subscription.ends_on is not None and subscription.ends_on <= today:
        return "Ended"
    return "Active"
