"""Customers, their contacts, and panels that the apps above add."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from config.base.admin.audited import AuditedAdmin, Panel, PanelMaker
from config.base.admin.theme import TabularInline, display, short, text_input
from config.base.audit import Actor
from customers import services
from customers.admin.party import PartyForm
from customers.models import Contact, Customer, Subscription
from customers.periods import DateOutOfRange
from customers.services import signing_in
from customers.terms import periods, zones_of

SHOWN = 20
MINUTES = int(signing_in.LASTS.total_seconds() // 60)
SIGN_IN_LINK = "admin:customers_contact_sign_in_link"


def facts_panel(request: HttpRequest, customer: Customer) -> Panel:
    """Say who they are and on which terms they buy, for whoever has them on the phone."""
    terms = f"{customer.payment_terms_days} days to pay"
    return Panel(
        "At a glance",
        "admin/customers/facts_panel.html",
        {
            "facts": [
                ("Registered as", customer.legal_name),
                ("Key", customer.key),
                ("Pays in", f"{customer.currency}, {terms}"),
                (
                    "Tax",
                    ", ".join(filter(None, [customer.get_tax_status_display(), customer.vat_id])),
                ),
                ("Invoices go to", customer.email or "nobody: there is no e-mail address"),
                ("Address", _address(customer) or "none: invoices need one"),
                ("Order number", customer.purchase_order),
                ("Their reference", customer.buyer_reference),
                (
                    "Invoices",
                    customer.get_consolidation_display() if customer.consolidation else "",
                ),
                ("Billed", _clocks(customer)),
                ("Time zone, language", f"{customer.time_zone}, {customer.locale}"),
                ("Segment", customer.segment),
                ("Bought from", customer.issuer.name if customer.issuer else ""),
                ("Customer since", f"{_since(customer):%-d %b %Y}"),
            ],
            "manual_approval": bool(customer.manual_approval),
            "may_change": request.user.has_perm("customers.change_customer"),
        },
    )


def _clocks(customer: Customer) -> str:
    """Say when it is billed, where that is its own."""
    said = []
    if customer.usage_cutoff_hours is not None:
        said.append(f"closed {customer.usage_cutoff_hours} hours after a period")
    if customer.auto_issue_hours is not None:
        said.append(f"issued {customer.auto_issue_hours} hours after the close")
    return ", ".join(said)


def _since(customer: Customer) -> date:
    """Return the first day of service, or the day on which we entered them if that is earlier."""
    first = customer.subscriptions.aggregate(first=Min("starts_on"))["first"]
    entered = customer.created_at.date()
    return min(first, entered) if first else entered


def contacts_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """List the people who may sign in to the portal."""
    if not request.user.has_perm("customers.view_contact"):
        return None
    may_change = request.user.has_perm("customers.change_contact")
    return Panel(
        "Contacts",
        "admin/customers/contacts_panel.html",
        {
            "contacts": [
                {
                    "name": contact.name,
                    "email": contact.email,
                    "receives_invoices": contact.receives_invoices,
                    "link_url": reverse(SIGN_IN_LINK, args=(customer.pk, contact.pk))
                    if may_change
                    else "",
                }
                for contact in customer.contacts.all()[:SHOWN]
            ],
            "may_change": may_change,
        },
    )


def subscriptions_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """List what a customer is subscribed to, with the way to a new subscription."""
    if not request.user.has_perm("customers.view_subscription"):
        return None
    today = timezone.localdate()
    mine = Subscription.objects.filter(customer=customer)
    rows = list(mine.with_terms().order_by(F("ends_on").desc(nulls_first=True), "-pk")[: SHOWN + 1])
    listed = reverse("admin:customers_subscription_changelist")
    return Panel(
        "Subscriptions",
        "admin/customers/subscriptions_panel.html",
        {
            "subscriptions": [
                _subscription_row(subscription, today) for subscription in rows[:SHOWN]
            ],
            "all_url": f"{listed}?customer__id__exact={customer.pk}" if len(rows) > SHOWN else "",
            "add_url": f"{reverse('admin:customers_subscription_add')}?customer={customer.pk}"
            if request.user.has_perm("customers.add_subscription")
            else None,
        },
    )


CUSTOMER_PANELS: list[PanelMaker] = [facts_panel, contacts_panel, subscriptions_panel]
"""Boxes on a customer's page, in their order; higher apps append theirs in AppConfig.ready."""


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
            "consolidation": "Several subscriptions",
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
    list_display = ("short_name", "key", "currency", "country", "segment", "subscription_count")
    list_filter = ("currency", "segment", "country", "tax_status")
    search_fields = ("key", "name", "legal_name", "email", "vat_id", "contacts__email")
    search_help_text = "Search by name, key, e-mail or VAT ID"
    autocomplete_fields = ("issuer",)
    show_full_result_count = False
    inlines = [ContactInline]
    panels = CUSTOMER_PANELS
    panels_first = True
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
                    "payment_terms_days",
                    ("purchase_order", "buyer_reference"),
                    ("consolidation", "invoices_by_email"),
                    ("tax_status", "vat_id"),
                    "tax_reason",
                    "time_zone",
                    "locale",
                    "issuer",
                )
            },
        ),
        (
            "When they are billed, if other than usual",
            {"fields": (("usage_cutoff_hours", "auto_issue_hours"), "manual_approval")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        rows = super().get_queryset(request).select_related("issuer")
        mine = Subscription.objects.filter(customer=OuterRef("pk")).order_by()
        counted = mine.values("customer").annotate(count=Count("pk")).values("count")
        return rows.annotate(subscribed=Coalesce(Subquery(counted), 0))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("key",)

    def is_needed(self, row: Customer) -> bool:
        return row.subscriptions.exists() or row.paid_subscriptions.exists()

    def create(self, row: Customer, *, actor: Actor) -> None:
        services.create_customer(customer=row, actor=actor)

    def change(self, row: Customer, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_customer(customer_id=row.pk, fields=fields, actor=actor)

    def save_model(self, request: HttpRequest, obj: Customer, form: Any, change: bool) -> None:
        """Save it; name the subscriptions that keep days of their own once its time zone changed."""
        super().save_model(request, obj, form, change)
        if change and "time_zone" in form.changed_data and (elsewhere := _elsewhere(obj)):
            links = format_html_join(
                ", ",
                '<a href="{}" class="text-link">{}</a>',
                (
                    (reverse("admin:customers_subscription_change", args=(one.pk,)), one.key)
                    for one in elsewhere
                ),
            )
            told = (
                "Days of the customer begin in {}. Subscriptions keep their own until it is changed "
                "on their page, from their next boundary on: {}."
            )
            said = format_html(told, obj.time_zone, links)
            self.message_user(request, said, messages.WARNING)

    def response_add(
        self, request: HttpRequest, obj: Customer, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the customer's page, where it is subscribed."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"{obj} is there. Now subscribe it to a plan.", messages.SUCCESS)
        return HttpResponseRedirect(self.url("change", obj.pk))

    def get_urls(self) -> list[URLPattern]:
        link = path(
            "<int:customer_id>/contacts/<int:contact_id>/sign-in-link/",
            self.admin_site.admin_view(self.sign_in_link),
            name="customers_contact_sign_in_link",
        )
        return [link, *super().get_urls()]

    def sign_in_link(self, request: HttpRequest, customer_id: int, contact_id: int) -> HttpResponse:
        """Make a link with which a contact signs in to the portal, and show it once."""
        if not request.user.has_perm("customers.change_contact"):
            raise PermissionDenied
        customer = self.visible_row(request, str(customer_id))
        contact = Contact.objects.filter(customer=customer_id, pk=contact_id).first()
        if customer is None or contact is None:
            return self.missing(request, str(customer_id))
        if request.method != "POST":
            return self.confirm(
                request,
                customer,
                title=f"Make a portal sign-in link for {contact}?",
                sentences=[
                    f"Whoever opens it is {contact} at {customer}, and reads usage and invoices: "
                    "hand it over as you would a key.",
                    f"It works once, within {MINUTES} minutes, in any browser.",
                ],
                button="Make the link",
            )
        made = signing_in.make_sign_in_link(
            contact_id=contact.pk, at=timezone.now(), actor=Actor.user(request.user)
        )
        context = {
            **self.page_context(request, f"Sign-in link for {contact}", customer),
            "link": made,
            "minutes": MINUTES,
            "back": self.url("change", customer.pk),
        }
        response = TemplateResponse(request, "admin/customers/sign_in_link.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    @display(description="Name", ordering="name")
    def short_name(self, customer: Customer) -> str:
        return short(customer.name)

    @display(description="Subscriptions", ordering="subscribed")
    def subscription_count(self, customer: Any) -> str:
        return str(customer.subscribed or "—")


def _elsewhere(customer: Customer) -> list[Subscription]:
    """Return the subscriptions that go on, whose days begin in another zone than their customer's."""
    going_on = Subscription.objects.filter(customer=customer).not_over(on=timezone.localdate())
    rows = going_on.with_terms().order_by("pk")
    return [one for one in rows if zones_of(one).last != customer.time_zone]


def _subscription_row(subscription: Subscription, today: date) -> dict[str, Any]:
    phases = list(subscription.phases.all())
    running = [phase for phase in phases if phase.starts_on <= today] or phases
    return {
        "key": subscription.key,
        "url": reverse("admin:customers_subscription_change", args=(subscription.pk,)),
        "plan": str(running[-1].plan_version) if running else "—",
        "starts_on": subscription.starts_on,
        "state": state_of(subscription, today),
        "next": next_boundary(subscription, today),
    }


def state_of(subscription: Subscription, today: date) -> str:
    """Say whether a subscription is in service: "Active", "Paused", "Starts later", "Ended".

    Load `with_terms`.
    """
    if subscription.starts_on > today:
        return "Starts later"
    if subscription.ends_on is not None and subscription.ends_on <= today:
        return "Ended"
    begun = [phase for phase in subscription.phases.all() if phase.starts_on <= today]
    return "Paused" if begun and begun[-1].is_paused else "Active"


def next_boundary(subscription: Subscription, today: date) -> str:
    """Say what happens next: "starts 1 Dec 2026", "renews …", "trial ends …", "ends …"; or "".

    Load `with_terms`.
    """
    if subscription.starts_on > today:
        return f"starts {subscription.starts_on:%-d %b %Y}"
    try:
        found = next(periods(subscription, since=today), None)
    except DateOutOfRange:
        return ""
    if found is None:
        return f"ended {subscription.ends_on:%-d %b %Y}" if subscription.ends_on else ""
    _, period = found
    what = "trial ends" if period.trial else "renews"
    if period.end == subscription.ends_on:
        what = "ends"
    return f"{what} {period.end:%-d %b %Y}"


def _address(customer: Customer) -> str:
    town = f"{customer.postal_code} {customer.city}".strip()
    lines = (customer.line1, customer.line2, town, customer.region, customer.country)
    return ", ".join(filter(None, lines))
