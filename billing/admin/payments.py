"""Payments: recorded, allocated by a proposal, taken back, reversed and refunded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter

from billing.accounts import candidates_of
from billing.admin import words
from billing.admin.payment_forms import PaymentForm, ReasonForm, RefundForm
from billing.admin.payment_use import candidate_rows, read_portions, use_panel
from billing.models import Payment
from billing.money import propose
from billing.services import payments, refunds
from catalog.money import exponent, round_half_up
from config.base.admin.audited import AuditedAdmin
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import (
    action,
    display,
    short,
)
from config.base.audit import Actor

_BALANCE = "What it does not pay is balance, which the customer's next invoice takes by itself."


class LeftFilter(admin.SimpleListFilter):
    title = "rest"
    parameter_name = "rest"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("yes", "Something is left"), ("no", "All is used"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment]:
        match self.value():
            case "yes":
                return queryset.filter(available__gt=0)
            case "no":
                return queryset.filter(available=0)
        return queryset


@admin.register(Payment)
class PaymentAdmin(AuditedAdmin[Payment]):
    form = PaymentForm
    panels: ClassVar = [use_panel]
    list_display = ("received_on", "payer", "said_amount", "reference", "left", "kind", "state")
    list_display_links = ("received_on",)
    list_filter = (
        LeftFilter,
        "kind",
        "currency",
        ("received_on", RangeDateFilter),
        ("customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("customer",)
    search_fields = ("reference", "customer__key", "customer__name", "bank_key")
    search_help_text = "Search by reference or customer"
    ordering = ("-received_on", "-pk")
    show_full_result_count = False
    autocomplete_fields = ("customer",)
    actions_detail = ("allocate", "refund", "reverse")
    empty_hint = "Record what a customer paid, or import your bank's statement."
    fieldsets = (
        (None, {"fields": ("customer", ("amount", "currency"), ("received_on", "method"))}),
        ("What they wrote", {"fields": ("reference",)}),
        (
            "For later invoices",
            {
                "fields": ("kind", "max_per_invoice"),
                "description": "An invoice takes from deposits by itself when it is issued, after "
                "any balance.",
            },
        ),
    )
    shown = (
        "payer",
        "said_amount",
        "received_on",
        "said_method",
        "reference",
        "kind",
        "limit",
        "left",
        "state",
        "reversed_because",
        "recorded",
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A payment is read; what happens to it are actions of their own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_allocate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.allocate_payment")

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.refund_payment")

    def has_reverse_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.reverse_payment")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return super().get_queryset(request).select_related("customer")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            asked, found = "in_other_currency", getattr(request, "_complaints", [])
            if asked in request.POST or any(asked in path for path, _ in found):
                return ((None, {"fields": (asked,)}), *super().get_fieldsets(request, obj))
            return super().get_fieldsets(request, obj)
        empty = {name for name in ("reference", "reversed_because") if not getattr(obj, name)}
        if obj.max_per_invoice is None:
            empty.add("limit")
        return ((None, {"fields": [name for name in self.shown if name not in empty]}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.shown if obj is not None else ()

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:  # only read, so the plain form will do
            kwargs |= {"form": forms.ModelForm, "fields": []}
        return super().get_form(request, obj, change=change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "received_on": timezone.localdate(),
            **super().get_changeform_initial_data(request),
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().add_view(
            request, form_url, {"title": "Record a payment", **(extra_context or {})}
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what can still be done with it."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        payment = Payment.objects.filter(pk=object_id).first()
        if payment is None or payment.reversed_on:
            return []
        without = set() if payment.available else {"allocate/", "refund/"}
        if payment.refunded:
            without.add("reverse/")
        return [one for one in offered if not one.path.endswith(tuple(without) or ("\n",))]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        release, unrefund = wrap(self.release), wrap(self.take_refund_back)
        return [
            path("<int:pk>/release/<int:allocation_id>/", release, name="billing_payment_release"),
            path(
                "<int:pk>/refund/<int:refund_id>/back/", unrefund, name="billing_payment_unrefund"
            ),
            *super().get_urls(),
        ]

    # Recording

    def save_model(self, request: HttpRequest, obj: Payment, form: Any, change: bool) -> None:
        obj.currency = obj.currency or obj.customer.currency
        made = payments.record_payment(
            payment=obj,
            in_other_currency=form.cleaned_data["in_other_currency"],
            at=timezone.now(),
            actor=Actor.user(request.user),
        )
        obj.pk = made.pk

    def response_add(
        self, request: HttpRequest, obj: Payment, post_url_continue: str | None = None
    ) -> HttpResponse:
        said = f"Recorded {words.money(obj.amount, obj.currency)} from {obj.customer}."
        self.message_user(request, said, messages.SUCCESS)
        if "_addanother" in request.POST:
            return HttpResponseRedirect(self.url("add"))
        if self.has_allocate_permission(request) and candidates_of(obj.customer_id, obj.currency):
            return HttpResponseRedirect(self.url("allocate", obj.pk))
        return HttpResponseRedirect(self.url("change", obj.pk))

    # What it pays

    @action(
        description="Allocate…", url_path="allocate", permissions=["allocate"], icon="call_split"
    )
    def allocate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what is open, with a proposal; what is entered is paid."""
        payment = self.visible_row(request, object_id)
        if payment is None:
            return self.missing(request, object_id)
        found = candidates_of(payment.customer_id, payment.currency)
        errors: list[str] = []
        entered = {one.invoice_id: request.POST.get(f"i{one.invoice_id}", "") for one in found}
        if request.method == "POST":
            portions, errors = read_portions(entered)
            if portions and not errors:
                try:
                    payments.allocate_payment(
                        payment_id=payment.pk,
                        portions=portions,
                        at=timezone.now(),
                        actor=Actor.user(request.user),
                    )
                except REFUSED as refusal:
                    errors = [message for _, message in complaints(refusal)]
                else:
                    paid = words.counted(len(portions), "invoice")
                    self.message_user(request, f"It pays {paid} now.", messages.SUCCESS)
                    return HttpResponseRedirect(self.url("change", payment.pk))
            errors = errors or ["Enter how much of it an invoice gets."]
        proposal = propose(payment.available, payment.reference, found)
        if request.method != "POST":
            entered = {
                pk: f"{round_half_up(part, exponent(payment.currency)):f}"
                for pk, part in proposal.portions.items()
            }
        context = {
            **self.page_context(request, "What does it pay?", payment),
            "payer": str(payment.customer),
            "amount": words.money(payment.available, payment.currency),
            "reference": payment.reference,
            "proposed": len(proposal.portions) and proposal.because,
            "rows": list(candidate_rows(found, entered, payment, today=timezone.localdate())),
            "errors": errors,
            "rest": _BALANCE,
            "back": self.url("change", payment.pk),
        }
        return TemplateResponse(request, "admin/billing/allocate.html", context)

    def release(self, request: HttpRequest, pk: int, allocation_id: int) -> HttpResponse:
        """Ask, then take an allocation back."""
        payment = self._permitted(request, pk, "allocate")
        found = payment and payment.allocations.filter(pk=allocation_id).select_related(
            "item__invoice"
        )
        allocation = found.first() if found else None
        if payment is None or allocation is None:
            return self.missing(request, str(pk))
        said = words.money(allocation.amount, payment.currency)
        invoice = allocation.item.invoice
        if request.method == "POST":
            return self.attempt(
                request,
                lambda: payments.release_allocation(
                    allocation_id=allocation.pk,
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{said} of {invoice} is open again.",
                then=self.url("change", pk),
            )
        return self.confirm(
            request,
            payment,
            title=f"Take {said} back from {invoice}?",
            sentences=["It is open again, and the money is this payment's to use."],
            button="Take it back",
        )

    # What undoes it

    @action(description="Refund…", url_path="refund", permissions=["refund"], icon="undo")
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        payment = self.visible_row(request, object_id)
        if payment is None:
            return self.missing(request, object_id)
        left = f"{round_half_up(payment.available, exponent(payment.currency)):f}"
        posted = request.POST if request.method == "POST" else None
        form = RefundForm(posted, initial={"amount": left})
        if form.is_valid():
            amount = form.cleaned_data["amount"]
            answer = self.carry_out(
                request,
                form,
                lambda: refunds.refund_payment(
                    payment_id=payment.pk,
                    **form.cleaned_data,
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{words.money(amount, payment.currency)} is paid back.",
                then=self.url("change", payment.pk),
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            payment,
            title=f"Refund what is left of {words.money(payment.amount, payment.currency)}?",
            sentences=["This records what your bank paid back; it moves no money itself."],
            button="Record the refund",
            template="admin/metering/form.html",
            form=form,
        )

    def take_refund_back(self, request: HttpRequest, pk: int, refund_id: int) -> HttpResponse:
        """Ask why, then declare that a refund was none."""
        payment = self._permitted(request, pk, "refund")
        refund = payment and payment.refunds.filter(pk=refund_id).first()
        if payment is None or refund is None:
            return self.missing(request, str(pk))
        return self._because(
            request,
            payment,
            lambda reason: refunds.reverse_refund(
                refund_id=refund.pk,
                reason=reason,
                at=timezone.now(),
                actor=Actor.user(request.user),
            ),
            title=f"Take the refund of {words.money(refund.amount, payment.currency)} back?",
            meaning="It is left of the payment again.",
            done="The refund is taken back.",
        )

    @action(description="Reverse…", url_path="reverse", permissions=["reverse"], icon="block")
    def reverse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        payment = self.visible_row(request, object_id)
        if payment is None:
            return self.missing(request, object_id)
        said = words.money(payment.amount, payment.currency)
        return self._because(
            request,
            payment,
            lambda reason: payments.reverse_payment(
                payment_id=payment.pk,
                reason=reason,
                at=timezone.now(),
                actor=Actor.user(request.user),
            ),
            title=f"Reverse {said} from {payment.customer}?",
            meaning="The money never came, or was returned. What it paid is open again. This can't "
            "be taken back; the payment can be recorded anew.",
            done=f"{said} is reversed.",
        )

    def _because(
        self,
        request: HttpRequest,
        payment: Payment,
        what: Any,
        *,
        title: str,
        meaning: str,
        done: str,
    ) -> HttpResponse:
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            then = self.url("change", payment.pk)
            answer = self.carry_out(request, form, lambda: what(reason), done=done, then=then)
            if answer is not None:
                return answer
        return self.confirm(
            request,
            payment,
            title=title,
            sentences=[meaning],
            button="Yes, do it",
            danger=True,
            template="admin/metering/form.html",
            form=form,
        )

    def _permitted(self, request: HttpRequest, pk: int, what: str) -> Payment | None:
        if not request.user.has_perm(f"billing.{what}_payment"):
            raise PermissionDenied
        return self.visible_row(request, str(pk))

    # What the list and the page say

    @display(description="Customer", ordering="customer__name")
    def payer(self, payment: Payment) -> SafeString:
        url = words.page("customers_customer", payment.customer_id)
        name = short(str(payment.customer))
        return format_html('<a href="{}" class="text-link">{}</a>', url, name)

    @display(description="Amount", ordering="amount")
    def said_amount(self, payment: Payment) -> str:
        return words.money(payment.amount, payment.currency)

    @display(description="Left", ordering="available")
    def left(self, payment: Payment) -> str:
        return words.money(payment.available, payment.currency) if payment.available else "—"

    @display(description="At most per invoice")
    def limit(self, payment: Payment) -> str:
        assert payment.max_per_invoice is not None
        return words.money(payment.max_per_invoice, payment.currency)

    @display(description="Method")
    def said_method(self, payment: Payment) -> str:
        return payment.get_method_display()

    @display(
        description="State",
        label={"Reversed": "danger", "To allocate": "warning", "Used": "success", "Held": "info"},
    )
    def state(self, payment: Payment) -> str:
        if payment.reversed_on:
            return "Reversed"
        if not payment.available:
            return "Used"
        return "Held" if payment.kind == "deposit" else "To allocate"

    @display(description="Recorded")
    def recorded(self, payment: Payment) -> str:
        return f"{payment.recorded_by}, {words.moment(payment.recorded_at)}"
