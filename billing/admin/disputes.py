"""Disputes: opened on an invoice's page, listed with what is open first in mind, closed with a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateFilter

from billing.admin import words
from billing.admin.payment_forms import ReasonForm
from billing.models import Dispute, OpenItem
from billing.services.disputing import close_dispute, open_dispute
from catalog.money import exponent, round_half_up
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import action, display, number_input, short
from config.base.audit import Actor
from config.base.fields import PlainDecimalInput


class DisputeForm(ReasonForm):
    amount = PlainDecimalInput(widget=number_input(), max_digits=19, decimal_places=4)

    field_order = ("amount", "reason")


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("open", "Open"), ("closed", "Closed"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Dispute]) -> QuerySet[Dispute]:
        if self.value() in ("open", "closed"):
            return queryset.filter(closed_on__isnull=self.value() == "open")
        return queryset


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin[Dispute]):
    list_display = ("invoice", "customer", "said_amount", "opened", "short_reason", "state")
    list_display_links = ("opened",)
    list_filter = (OpenFilter, ("opened_on", RangeDateFilter))
    list_filter_submit = True
    list_select_related = ("item__invoice__customer",)
    search_fields = ("item__invoice__number", "item__invoice__customer__name", "reason")
    search_help_text = "Search by invoice, customer or reason"
    show_full_result_count = False
    empty_hint = (
        "Open a dispute on an invoice’s page: nobody is reminded of that part until it is closed."
    )
    actions_detail = ("close",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ["invoice", "customer", "said_amount", "reason", "opened", "state"]
        return ((None, {"fields": [*shown, *(["closed"] if obj.closed_on else [])]}),)

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.close_dispute")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to close what is open."""
        is_open = Dispute.objects.filter(pk=object_id, closed_on=None).exists()
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if is_open else []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("of/<int:pk>/", wrap(self.of), name="billing_dispute_of"), *super().get_urls()]

    def of(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask how much of an invoice is disputed, and why."""
        if not request.user.has_perm("billing.add_dispute"):
            raise PermissionDenied
        item = OpenItem.objects.select_related("invoice").filter(pk=pk).first()
        if item is None:
            return self.missing(request, str(pk))
        invoice, back = item.invoice, words.page("billing_invoice", pk)
        places = exponent(invoice.currency)
        asked = {"amount": f"{round_half_up(item.open, places):f}"}
        form = DisputeForm(request.POST if request.method == "POST" else None, initial=asked)
        form.fields["amount"].label = f"How much, {invoice.currency}"
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: open_dispute(
                    invoice_id=pk,
                    amount=form.cleaned_data["amount"],
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"A dispute of {invoice} is open.",
                then=back,
            )
            if answer is not None:
                return answer
        context = {
            **self.page_context(request, f"Note a dispute of {invoice}?", None),
            "sentences": [
                f"{words.money(item.open, invoice.currency)} of it is open. Nobody is reminded of what is "
                "disputed until the dispute is closed."
            ],
            "form": form,
            "button": "Note it",
            "back": back,
        }
        return TemplateResponse(request, "admin/metering/form.html", context)

    @action(description="Close…", url_path="close", permissions=["close"], icon="task_alt")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        form.fields["reason"].label = "How did it end?"
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: close_dispute(
                    invoice_id=row.item_id,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done="The dispute is closed.",
                then=words.page("billing_invoice", row.item_id),
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            row,
            title=f"Close the dispute of {row.item.invoice}?",
            sentences=[
                "What is open is asked for again. If the customer is right, credit the invoice first."
            ],
            button="Close it",
            template="admin/metering/form.html",
            form=form,
        )

    @display(description="Invoice", ordering="item__invoice__number")
    def invoice(self, row: Dispute) -> SafeString:
        url = words.page("billing_invoice", row.item_id)
        return format_html('<a href="{}" class="text-link">{}</a>', url, str(row.item.invoice))

    @display(description="Customer")
    def customer(self, row: Dispute) -> str:
        return short(str(row.item.invoice.customer))

    @display(description="Amount", ordering="amount")
    def said_amount(self, row: Dispute) -> str:
        return words.money(row.amount, row.item.invoice.currency)

    @display(description="Reason")
    def short_reason(self, row: Dispute) -> str:
        return short(row.reason)

    @display(description="Opened", ordering="opened_on")
    def opened(self, row: Dispute) -> str:
        where = ", in the portal" if row.by_customer else ""
        return f"{words.day(row.opened_on)} by {row.opened_by}{where}"

    @display(description="Closed")
    def closed(self, row: Dispute) -> str:
        return f"{words.day(row.closed_on)} by {row.closed_by}: {row.closed_because}"

    @display(description="State", label={"Open": "warning", "Closed": ""})
    def state(self, row: Dispute) -> str:
        return "Closed" if row.closed_on else "Open"
