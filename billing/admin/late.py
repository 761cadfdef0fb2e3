"""Late usage as a work list: what is held for a decision, and what became of the rest (R31)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from billing.admin import words
from billing.late_usage.beside import commitments_beside
from billing.models import OUTSTANDING, LateStatus, LateUsage
from billing.services import lateness
from catalog.money import EXACT, ZERO
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import action, display, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput

BILL = "billing.bill_lateusage"
WRITE_OFF = "billing.write_off_lateusage"
_NEVER = "It is neither billed nor credited. What comes later still is a difference to all of it."


class WriteOffForm(forms.Form):
    reason = PlainTextInput(
        max_length=2000, widget=textarea(rows=3), label="Why is it written off?",
        help_text="Stands in the audit trail.",
    )  # fmt: skip


@admin.register(LateUsage)
class LateUsageAdmin(ReadOnlyAdmin[LateUsage]):
    list_display = ("name", "customer", "period_page", "amount_said", "state", "why", "found_at")
    list_filter = (
        "status",
        "held_for",
        ("period__subscription__customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = (
        "price",
        "period__subscription__customer",
        "period__phase__plan_version",
        "snapshot__metric",
        "invoice",
    )
    search_fields = (
        "period__subscription__key",
        "period__subscription__customer__key",
        "period__subscription__customer__name",
    )
    search_help_text = "Search by subscription or customer"
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("bill_many", "write_off_many")
    actions_detail = ("bill", "write_off")
    empty_hint = "Usage that comes in or is corrected after its period was closed stands here while it waits."
    fields = (
        "name",
        "customer",
        "subscription_page",
        "period_page",
        "invoice_page",
        "state",
        "why",
        "amount_said",
        "quantities",
        "found_at",
        "decided",
        "reason",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[LateUsage]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List them with what an invoice takes back of a minimum commitment beside each."""
        response: Any = super().changelist_view(request, extra_context)
        if page := (getattr(response, "context_data", None) or {}).get("cl"):
            shown = list(page.result_list)
            _look_beside(sorted(shown, key=lambda row: row.pk))
            page.result_list = shown
        return response  # type: ignore[no-any-return]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LateUsage | None:
        row = super().get_object(request, object_id, from_field)
        if row:
            _look_beside([row])
        return row

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    # Deciding

    def has_bill_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(BILL)

    def has_write_off_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(WRITE_OFF)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer only what can still be decided."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        row = LateUsage.objects.filter(pk=object_id).first()
        if row is None or row.status not in OUTSTANDING:
            return []
        is_held = row.status == LateStatus.HELD
        return [one for one in offered if is_held or not one.path.endswith("bill/")]

    @action(description="Bill it…", url_path="bill", permissions=["bill"], icon="receipt_long")
    def bill(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            what = "credited" if _charged(row) < 0 else "billed"
            return self.confirm(
                request,
                row,
                title=f"Have {_money(row)} {what}?",
                sentences=[
                    f"{row}: {'a credit' if row.amount < 0 else 'a charge'} that was held, "
                    f"as {row.get_held_for_display().lower()}.",
                    *([f"{_parts(row)}."] if row.beside else []),
                    "It goes on the next invoice; where no further period closes, on one of its own.",
                ],
                button="Bill it",
            )
        return self.attempt(
            request,
            lambda: lateness.bill_late_usage(
                late_id=row.pk, at=timezone.now(), actor=Actor.user(request.user)
            ),
            done=f"{row}: {_money(row)} will be on the next invoice.",
            then=self.url("change", row.pk),
        )

    @action(
        description="Write off…", url_path="write-off", permissions=["write_off"], icon="money_off"
    )
    def write_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        form = WriteOffForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: lateness.write_off_late_usage(
                    late_id=row.pk,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{row}: {_money(row)} is written off.",
                then=self.url("change", row.pk),
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            row,
            title=f"Write off {_money(row)}?",
            sentences=[f"{row}.", _NEVER],
            button="Write it off",
            danger=True,
            template="admin/metering/form.html",
            form=form,
        )

    @admin.action(description="Bill on the next invoice", permissions=["bill"])
    def bill_many(self, request: HttpRequest, queryset: QuerySet[LateUsage]) -> None:
        done = sum(
            self._tried(request, lateness.bill_late_usage, late_id=pk)
            for pk in queryset.order_by("pk").values_list("pk", flat=True)
        )
        if done:
            said = f"{words.counted(done, 'amount')} will be on the next invoice."
            self.message_user(request, said, messages.SUCCESS)

    @admin.action(description="Write off…", permissions=["write_off"])
    def write_off_many(
        self, request: HttpRequest, queryset: QuerySet[LateUsage]
    ) -> HttpResponse | None:
        """Ask for the reason, then write off each that still can be, and say which can't."""
        rows = list(queryset.select_related(*self.list_select_related).order_by("pk"))
        form = WriteOffForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            done = sum(
                self._tried(request, lateness.write_off_late_usage, late_id=row.pk, reason=reason)
                for row in rows
            )
            if done:
                said = f"{words.counted(done, 'amount')} written off."
                self.message_user(request, said, messages.SUCCESS)
            return HttpResponseRedirect(self.url("changelist"))
        hidden = [
            ("action", "write_off_many"),
            *(("_selected_action", str(row.pk)) for row in rows),
        ]
        _look_beside(rows)
        total = words.totals((row.currency, _charged(row)) for row in rows)
        return self.confirm(
            request,
            rows[0],
            title=f"Write off {words.counted(len(rows), 'amount')}, {total} in all?",
            sentences=[_NEVER],
            button="Write off",
            danger=True,
            template="admin/metering/form.html",
            form=form,
            hidden=hidden,
            back=self.url("changelist"),
        )

    def _tried(self, request: HttpRequest, decide: Any, **what: Any) -> bool:
        """Decide on one; say why if it is refused."""
        try:
            decide(**what, at=timezone.now(), actor=Actor.user(request.user))
        except REFUSED as refusal:
            self.tell(request, refusal)
            return False
        return True

    # What the list and the page say

    @display(description="Price", ordering="price__name")
    def name(self, row: LateUsage) -> str:
        return row.price.name

    @display(description="Customer", ordering="period__subscription__customer__name")
    def customer(self, row: LateUsage) -> SafeString:
        customer = row.period.subscription.customer
        return _link("customers_customer", customer.pk, customer.name)

    @display(description="Subscription")
    def subscription_page(self, row: LateUsage) -> SafeString:
        subscription = row.period.subscription
        return _link("customers_subscription", subscription.pk, subscription.key)

    @display(description="Period", ordering="period__start_date")
    def period_page(self, row: LateUsage) -> SafeString:
        period = row.period
        said = words.span(period.start_date, period.end_date)
        return _link("billing_billingperiod", period.pk, said)

    @display(description="Closed by")
    def invoice_page(self, row: LateUsage) -> SafeString:
        return _link("billing_invoice", row.invoice_id, words.name_of(row.invoice))

    @display(description="Amount, net", ordering="amount")
    def amount_said(self, row: LateUsage) -> str:
        """Say what an invoice charges or credits for it, and of what that is made up."""
        return f"{_money(row)}: {_parts(row)}" if row.beside else _money(row)

    @display(description="Used")
    def quantities(self, row: LateUsage) -> str:
        return f"{words.number(row.quantity)} now, {words.number(row.billed_quantity)} billed or credited"

    @display(
        description="State",
        ordering="status",
        label={
            LateStatus.HELD.label: "warning",
            LateStatus.APPROVED.label: "info",
            LateStatus.BILLED.label: "success",
            LateStatus.WRITTEN_OFF.label: "",
        },
    )
    def state(self, row: LateUsage) -> str:
        return row.get_status_display()

    @display(description="Why held", ordering="held_for")
    def why(self, row: LateUsage) -> str:
        return row.get_held_for_display() or "—"

    @display(description="Decided")
    def decided(self, row: LateUsage) -> str:
        return f"{row.decided_by}, {words.moment(row.decided_at)}" if row.decided_at else "—"


def _look_beside(rows: Sequence[LateUsage]) -> None:
    """Note on each what its invoice moves of a minimum commitment beside it (R16)."""
    found = commitments_beside(rows)
    for row in rows:
        row.beside = found.get(row.pk, ZERO)


def _charged(row: LateUsage) -> Decimal:
    return EXACT.add(row.amount, row.beside)


def _parts(row: LateUsage) -> str:
    usage, beside = (words.money(amount, row.currency) for amount in (row.amount, row.beside))
    return f"{usage} of usage, {beside} of the minimum commitment"


def _money(row: LateUsage) -> str:
    return words.money(_charged(row), row.currency)


def _link(model: str, pk: int, said: str) -> SafeString:
    return format_html('<a href="{}" class="text-link">{}</a>', words.page(model, pk), said)
