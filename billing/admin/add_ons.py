"""Sold add-ons: sold here or from a subscription's page, read, and withdrawn until they are issued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.add_ons import status_of
from billing.admin import words
from billing.models import BillWhen, SaleStatus, SoldAddOn
from billing.querysets import SoldAddOnQuerySet
from billing.services.add_ons import sale_in_words, sell_add_on, withdraw_add_on
from catalog.add_ons import add_on_in_words
from catalog.models import AddOn, AddOnStatus
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.theme import (
    action,
    date_input,
    display,
    number_input,
    select,
    short,
    textarea,
)
from config.base.audit import Actor
from config.base.errors import KeyTaken
from config.base.fields import validate_text
from customers.models import Subscription

SHOWN = 20
_TAGS = {"waiting": "pb-open", "drafted": "pb-open", "billed": "pb-good"}


class AddOnChoice(forms.ModelChoiceField[AddOn]):
    def label_from_instance(self, add_on: Any) -> str:
        return f"{add_on.name} · {add_on_in_words(add_on)}"


class SaleForm(forms.ModelForm[SoldAddOn]):
    """What is sold to whom, and when it is billed."""

    key = forms.CharField(widget=forms.HiddenInput())
    add_on = AddOnChoice(
        AddOn.objects.filter(status=AddOnStatus.ACTIVE).order_by("name"),
        widget=select(),
        label="Add-on",
    )
    unit_amount = forms.DecimalField(
        required=False, max_digits=19, decimal_places=4, widget=number_input(),
        label="Amount for one",
        help_text="Before tax, or with it where the subscription’s prices include it. Empty: what the "
        "add-on costs.",
    )  # fmt: skip
    service_start = forms.DateField(
        required=False, widget=date_input(), label="First day",
        help_text="Of the service. Empty: today.",
    )  # fmt: skip
    last_day = forms.DateField(
        required=False, widget=date_input(), label="Last day",
        help_text="Empty: the first day.",
    )  # fmt: skip

    class Meta:
        widgets = {"quantity": number_input(), "bill": select()}
        labels = {"quantity": "How many", "bill": "Billed", "note": "Note on the invoice"}
        help_texts = {
            "bill": "The next invoice is the one drawn next, whatever it is for; a draft that is "
            "there already stays as it is."
        }

    def clean(self) -> dict[str, Any]:
        entered = super().clean() or self.cleaned_data
        if entered.get("last_day") and not entered.get("service_start"):
            self.add_error("service_start", "Say when it begins, too.")
        return entered

    def validate_unique(self) -> None:
        """Leave a key that is taken to the service: an error at a hidden field is seen by nobody."""


class WithdrawForm(forms.Form):
    reason = forms.CharField(
        max_length=2000, label="Why", widget=textarea(rows=3), validators=[validate_text],
        help_text="It stays in the audit trail.",
    )  # fmt: skip


class StatusFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return SaleStatus.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[SoldAddOn]) -> Any:
        assert isinstance(queryset, SoldAddOnQuerySet)
        return queryset.in_status(self.value() or "") if self.value() else queryset


@admin.register(SoldAddOn)
class SoldAddOnAdmin(AuditedAdmin[SoldAddOn]):
    form = SaleForm
    list_display = ("name", "customer", "sale", "days", "state", "sold_at", "sold_by")
    list_filter = (StatusFilter,)
    list_select_related = ("subscription__customer", "add_on", "invoice")
    search_fields = ("name", "key", "subscription__key", "subscription__customer__name")
    search_help_text = "Search by name, key, subscription or customer"
    ordering = ("-pk",)
    autocomplete_fields = ("subscription",)
    actions_detail = ("withdraw",)
    complaint_fields = {"service_end": "last_day", "key": ""}  # the key is hidden
    empty_hint = (
        "Sell an add-on to a subscription, and its next invoice charges it. "
        "Make the add-on in the catalog first."
    )
    readonly_fields = (
        "subscription_page", "customer", "sale", "days", "earned", "billed", "state",
        "invoice_page",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("subscription", "add_on", ("quantity", "unit_amount"), "key")}),
        ("When", {"fields": (("service_start", "last_day"), "bill")}),
        ("On the invoice", {"fields": ("note",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SoldAddOn]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:  # only read, so the plain form will do
            kwargs |= {"form": forms.ModelForm, "fields": []}
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        shown = (
            "name", "customer", "subscription_page", "sale", "days", "note", "billed", "state",
            "invoice_page", "withdrawn_because", "earned", "key", "sold_by", "sold_at",
        )  # fmt: skip
        left_out = {"note", "withdrawn_because"} - {
            name for name in ("note", "withdrawn_because") if getattr(obj, name)
        }
        return ((None, {"fields": [name for name in shown if name not in left_out]}),)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().add_view(
            request, form_url, {"title": "Sell an add-on", **(extra_context or {})}
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Name the sale, so that sent twice it is made once."""
        initial = super().get_changeform_initial_data(request)
        return {"quantity": Decimal(1), **initial, "key": f"sale-{uuid4()}"}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A sale is read; what takes it back is an action of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_soldaddon")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to withdraw what is not issued yet."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        mine = SoldAddOn.objects.filter(pk=object_id)
        is_open = mine.in_status("waiting").exists() or mine.in_status("drafted").exists()
        return offered if is_open else []

    def save_model(self, request: HttpRequest, obj: SoldAddOn, form: Any, change: bool) -> None:
        entered = form.cleaned_data
        try:
            sold = self._sell(request, entered)
        except KeyTaken:
            raise KeyTaken("It is sold already: this form was sent before.") from None
        obj.pk = sold.pk

    def _sell(self, request: HttpRequest, entered: dict[str, Any]) -> SoldAddOn:
        last_day: date | None = entered["last_day"]
        return sell_add_on(
            subscription_id=entered["subscription"].pk,
            add_on=entered["add_on"],
            key=entered["key"],
            quantity=entered["quantity"],
            unit_amount=entered["unit_amount"],
            service_start=entered["service_start"],
            service_end=last_day and last_day + timedelta(days=1),
            note=entered["note"],
            bill=BillWhen(entered["bill"]),
            at=timezone.now(),
            actor=Actor.user(request.user),
        )

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        return {}  # the service recorded all of it

    def response_add(
        self, request: HttpRequest, obj: SoldAddOn, post_url_continue: str | None = None
    ) -> HttpResponse:
        sold = SoldAddOn.objects.select_related("invoice", "subscription").get(pk=obj.pk)
        where = "its next invoice charges it" if sold.invoice is None else "its draft is there"
        said = f"Sold “{sold}”, {sale_in_words(sold)}: {where}."
        self.message_user(request, said, messages.SUCCESS)
        if "_addanother" in request.POST:
            return HttpResponseRedirect(self.url("add"))
        return HttpResponseRedirect(self.url("change", sold.pk))

    @action(description="Withdraw…", url_path="withdraw", permissions=["withdraw"], icon="undo")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask why, then take the sale back."""
        sold = self.visible_row(request, object_id)
        if sold is None:
            return self.missing(request, object_id)
        form = WithdrawForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: withdraw_add_on(
                    sold_id=sold.pk,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"“{sold}” is withdrawn: nobody is charged it.",
                then=self.url("change", sold.pk),
            )
            if answer is not None:
                return answer
        meaning = "No invoice will charge it. This can’t be taken back; it can be sold again."
        drafted = "Its draft is recalculated without it, or discarded if it charges nothing else."
        return self.confirm(
            request,
            sold,
            title=f"Withdraw “{sold}”, {sale_in_words(sold)}?",
            sentences=[meaning, drafted] if sold.invoice else [meaning],
            button="Withdraw it",
            danger=True,
            template="admin/metering/form.html",
            form=form,
        )

    @display(description="Customer", ordering="subscription__customer__name")
    def customer(self, sold: SoldAddOn) -> SafeString:
        customer = sold.subscription.customer
        url = words.page("customers_customer", customer.pk)
        return format_html('<a href="{}" class="text-link">{}</a>', url, short(str(customer)))

    @display(description="Subscription")
    def subscription_page(self, sold: SoldAddOn) -> SafeString:
        url = words.page("customers_subscription", sold.subscription_id)
        return format_html('<a href="{}" class="text-link">{}</a>', url, sold.subscription.key)

    @display(description="Sold")
    def sale(self, sold: SoldAddOn) -> str:
        return sale_in_words(sold)

    @display(description="Service", ordering="service_start")
    def days(self, sold: SoldAddOn) -> str:
        return words.span(sold.service_start, sold.service_end)

    @display(description="Earned")
    def earned(self, sold: SoldAddOn) -> str:
        return sold.get_recognition_display()

    @display(description="Billed")
    def billed(self, sold: SoldAddOn) -> str:
        return sold.get_bill_display()

    @display(
        description="State",
        label={"Waits for its invoice": "warning", "On a draft": "info", "Billed": "success"},
    )
    def state(self, sold: SoldAddOn) -> str:
        return str(status_of(sold).label)

    @display(description="Invoice")
    def invoice_page(self, sold: SoldAddOn) -> str:
        if sold.invoice is None:
            return "none" if sold.withdrawn_at else "none yet"
        url, name = words.page("billing_invoice", sold.invoice.pk), words.name_of(sold.invoice)
        return format_html('<a href="{}" class="text-link">{}</a>', url, name)


def sold_add_ons_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Show what the subscription was sold once, and how to sell it more."""
    may_sell = request.user.has_perm("billing.add_soldaddon")
    if not may_sell and not request.user.has_perm("billing.view_soldaddon"):
        return None
    rows = subscription.sold_add_ons.select_related("invoice").order_by("-pk")
    sold = list(rows[: SHOWN + 1])
    if not sold and not may_sell:
        return None
    listed = reverse("admin:billing_soldaddon_changelist")
    add = f"{reverse('admin:billing_soldaddon_add')}?subscription={subscription.pk}"
    context = {
        "sold": [
            {
                "name": one.name,
                "url": words.page("billing_soldaddon", one.pk),
                "sale": sale_in_words(one),
                "days": words.span(one.service_start, one.service_end),
                "state": status_of(one).label,
                "tag": _TAGS.get(status_of(one), ""),
                "invoice": words.name_of(one.invoice) if one.invoice else "",
                "invoice_url": words.page("billing_invoice", one.invoice.pk) if one.invoice else "",
                "by": one.sold_by,
            }
            for one in sold[:SHOWN]
        ],
        "all_url": f"{listed}?q={subscription.key}" if len(sold) > SHOWN else "",
        "sell_url": add if may_sell else "",
    }
    return Panel("Add-ons", "admin/billing/sold_add_ons_panel.html", context)
