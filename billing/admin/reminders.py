"""Reminders: who would get one now, at which level, and who not and why; what was sent; who is left out."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter

from billing import tasks
from billing.admin import words
from billing.admin.payment_forms import ReasonForm
from billing.admin.sending import files_note, mail_row
from billing.models import Invoice, Reminder, ReminderStop
from billing.overdue import Asked, Letter, letters
from billing.services.reminders import remind, resume_reminders, sendable, stop_reminders
from billing.services.sending import addresses_of
from catalog.money import EXACT
from config.base.admin.audited import Panel, ReadOnlyAdmin
from config.base.admin.theme import action, display, short
from config.base.audit import Actor
from customers.models import Customer, Issuer

SEND = "billing.send_reminder"
STOP = "billing.add_reminderstop"
KINDS = {1: "First, friendly", 2: "Second, firm", 3: "Last"}
SHOWN = 200


def rows_panel(request: HttpRequest, reminder: Reminder) -> Panel:
    """Show which invoices a reminder was about, and its mails."""
    rows = reminder.rows.select_related("item__invoice").order_by("pk")
    return Panel(
        "What it asks for",
        "admin/billing/reminder_panel.html",
        {
            "rows": [
                {
                    "invoice": words.name_of(row.item.invoice),
                    "url": words.page("billing_invoice", row.item_id),
                    "level": KINDS[row.level],
                    "asked": words.money(row.asked, reminder.currency),
                    "disputed": words.money(row.disputed, reminder.currency)
                    if row.disputed
                    else "—",
                }
                for row in rows
            ],
            "not_set_off": words.money(EXACT.minus(reminder.not_set_off), reminder.currency)
            if reminder.not_set_off
            else "",
            "to_pay": words.money(reminder.to_pay, reminder.currency)
            if reminder.to_pay is not None
            else "",
            "mails": [mail_row(one) for one in reminder.deliveries.order_by("pk")],
        },
    )


@admin.register(Reminder)
class ReminderAdmin(ReadOnlyAdmin[Reminder]):
    panels: ClassVar = [rows_panel]
    list_display = ("made_on", "buyer", "kind", "invoices", "made_by")
    list_display_links = ("made_on",)
    list_filter = (
        "level",
        ("made_on", RangeDateFilter),
        ("customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("customer",)
    search_fields = ("customer__key", "customer__name", "rows__item__invoice__number")
    search_help_text = "Search by customer or invoice"
    show_full_result_count = False
    empty_hint = "No reminder was sent yet. “Reminders” shows whom the next run reminds."
    fields = ("buyer", "kind", "made_on", "made_by")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reminder]:
        return super().get_queryset(request).annotate(count=Count("rows"))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("next/", wrap(self.next), name="billing_reminder_next"),
            *super().get_urls(),
        ]

    def next(self, request: HttpRequest) -> HttpResponse:
        """Show whom a run reminds now, and what it leaves out and why; POST reminds those who are chosen."""
        if not request.user.has_perm("billing.view_reminder"):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST":
            return self._remind(request)
        found = letters(at=now)
        ready = [one for one in found if sendable(one)]
        context = {
            **self.page_context(request, "Reminders", None),
            "letters": [_letter_row(one) for one in ready[:SHOWN]],
            "left_out": max(0, len(ready) - SHOWN),
            "others": [
                _other_row(one, row)
                for one in found
                for row in one.rows
                if not (row.is_due and sendable(one))
            ][:SHOWN],
            "nobody": not Issuer.objects.filter(sends_reminders=True).exists(),
            "issuers_url": reverse("admin:customers_issuer_changelist"),
            "history_url": self.url("changelist"),
            "may_send": request.user.has_perm(SEND),
            "files_note": files_note(),
        }
        return TemplateResponse(request, "admin/billing/reminders.html", context)

    def _remind(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(SEND):
            raise PermissionDenied
        chosen = [int(pk) for pk in request.POST.getlist("customer") if words.is_id(pk)]
        then = reverse("admin:billing_reminder_next")
        if not chosen:
            self.message_user(request, "Choose whom to remind first.", messages.WARNING)
            return HttpResponseRedirect(then)
        made = remind(at=timezone.now(), actor=Actor.user(request.user), customer_ids=chosen)
        if made:
            tasks.nudge_mails()
            said = f"{words.counted(len(made), 'reminder')} on the way."
            self.message_user(request, said, messages.SUCCESS)
        else:
            self.message_user(request, "They were reminded meanwhile.", messages.WARNING)
        return HttpResponseRedirect(then)

    @display(description="Customer", ordering="customer__name")
    def buyer(self, row: Reminder) -> SafeString:
        url = words.page("customers_customer", row.customer_id)
        name = short(str(row.customer))
        return format_html('<a href="{}" class="text-link">{}</a>', url, name)

    @display(description="Level", ordering="level")
    def kind(self, row: Reminder) -> str:
        return KINDS[row.level]

    @display(description="Invoices")
    def invoices(self, row: Reminder) -> str:
        return words.number(getattr(row, "count", 0))


def _letter_row(letter: Letter) -> dict[str, Any]:
    return {
        "pk": letter.customer.pk,
        "url": words.page("customers_customer", letter.customer.pk),
        "customer": letter.customer.name,
        "level": KINDS[letter.level or 1],
        "to_pay": words.money(letter.to_pay, letter.currency),
        "not_set_off": words.money(EXACT.minus(letter.not_set_off), letter.currency)
        if letter.not_set_off
        else "",
        "to": addresses_of(letter.customer),
        "invoices": [_said(row, letter.currency) for row in letter.asking],
    }


def _said(row: Asked, currency: str) -> dict[str, str]:
    return {
        "name": words.name_of(row.item.invoice),
        "url": words.page("billing_invoice", row.item.pk),
        "asked": words.money(row.asked, currency),
        "days": words.counted(row.days, "day"),
        "disputed": words.money(row.disputed, currency) if row.disputed else "",
    }


def _other_row(letter: Letter, row: Asked) -> dict[str, str]:
    return {
        **_said(row, letter.currency),
        "customer": letter.customer.name,
        "customer_url": words.page("customers_customer", letter.customer.pk),
        "why": _why(letter, row),
    }


def _why(letter: Letter, row: Asked) -> str:
    """Say why an overdue invoice is not reminded of now."""
    if row.stopped:
        return f"Left out: {row.stopped}"
    if not row.asked:
        return "All of it is in dispute."
    if row.coming is None:
        return "The last reminder was sent."
    if row.coming.on > letter.today:
        return f"{KINDS[row.coming.level]} reminder on {words.day(row.coming.on)}."
    if not letter.to_pay:
        paid = words.money(letter.not_set_off, letter.currency)
        return f"Nothing remains to be paid: {paid} lies on the account, not yet set off."
    if not letter.customer.invoices_by_email:
        return "The customer gets no mail."
    return "The customer has no address."


@admin.register(ReminderStop)
class ReminderStopAdmin(ReadOnlyAdmin[ReminderStop]):
    list_display = ("whose", "reason", "made", "state")
    list_select_related = ("customer", "invoice")
    search_fields = ("customer__name", "customer__key", "invoice__number", "reason")
    search_help_text = "Search by customer, invoice or reason"
    empty_hint = "Nobody is left out. Leave a customer or an invoice out of reminders on its page."
    fields = ("whose", "reason", "made", "state")
    actions_detail = ("end",)

    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_reminderstop")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to end what holds."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        holds = ReminderStop.objects.filter(pk=object_id, ended_at=None).exists()
        return offered if holds else []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        customer, invoice = wrap(self.of_customer), wrap(self.of_invoice)
        return [
            path("customer/<int:customer_id>/", customer, name="billing_reminderstop_customer"),
            path("invoice/<int:invoice_id>/", invoice, name="billing_reminderstop_invoice"),
            *super().get_urls(),
        ]

    def of_customer(self, request: HttpRequest, customer_id: int) -> HttpResponse:
        found = Customer.objects.filter(pk=customer_id).first()
        return self._stop(request, found, customer_id, "customers_customer")

    def of_invoice(self, request: HttpRequest, invoice_id: int) -> HttpResponse:
        found = Invoice.objects.filter(pk=invoice_id, status="issued").first()
        return self._stop(request, found, invoice_id, "billing_invoice")

    def _stop(
        self, request: HttpRequest, of: Customer | Invoice | None, pk: int, model: str
    ) -> HttpResponse:
        """Ask why it is left out, and leave it out."""
        if not request.user.has_perm(STOP):
            raise PermissionDenied
        if of is None:
            return self.missing(request, str(pk))
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: stop_reminders(
                    of=of,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{of} is left out of reminders.",
                then=words.page(model, pk),
            )
            if answer is not None:
                return answer
        context = {
            **self.page_context(request, f"Leave {of} out of reminders?", None),
            "sentences": [
                "Until you end it, nothing is asked by mail. What is owed stays the same."
            ],
            "form": form,
            "button": "Leave out",
            "back": words.page(model, pk),
        }
        return TemplateResponse(request, "admin/metering/form.html", context)

    @action(description="Remind again…", url_path="end", permissions=["end"], icon="notifications")
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        of = row.customer or row.invoice
        assert of is not None
        if request.method == "POST":
            return self.attempt(
                request,
                lambda: resume_reminders(of=of, at=timezone.now(), actor=Actor.user(request.user)),
                done=f"{of} is reminded again.",
                then=self.url("changelist"),
            )
        return self.confirm(
            request,
            row,
            title=f"Remind {of} again?",
            sentences=["The next run reminds, if a level has come."],
            button="Remind again",
        )

    @display(description="Whose")
    def whose(self, row: ReminderStop) -> SafeString:
        model = "customers_customer" if row.customer_id else "billing_invoice"
        url = words.page(model, row.customer_id or row.invoice_id)
        name = str(row.customer or row.invoice)
        return format_html('<a href="{}" class="text-link">{}</a>', url, name)

    @display(description="Since", ordering="made_at")
    def made(self, row: ReminderStop) -> str:
        return f"{words.moment(row.made_at)} by {row.made_by}"

    @display(description="State", label={"Left out": "warning", "Ended": ""})
    def state(self, row: ReminderStop) -> str:
        return "Ended" if row.ended_at else "Left out"


def reminders_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """Show a customer's last reminders, and whether it is left out of them."""
    if not request.user.has_perm("billing.view_reminder"):
        return None
    stop = customer.reminder_stops.filter(ended_at=None).first()
    return Panel(
        "Reminders",
        "admin/billing/reminders_panel.html",
        {
            "stop": stop and stop.reason,
            "stop_page": words.page("billing_reminderstop", stop.pk) if stop else "",
            "stop_url": reverse("admin:billing_reminderstop_customer", args=(customer.pk,))
            if not stop and request.user.has_perm(STOP)
            else "",
            "rows": [
                {
                    "url": words.page("billing_reminder", one.pk),
                    "on": words.day(one.made_on),
                    "level": KINDS[one.level],
                }
                for one in customer.reminders.order_by("-pk")[:5]
            ],
        },
    )


def dunning_of(invoice: Invoice, request: HttpRequest) -> dict[str, Any]:
    """Return what an invoice's page says of disputes and reminders; three queries."""
    item = invoice.open_item
    dispute = item.disputes.filter(closed_on=None).first()
    stop = invoice.reminder_stops.filter(ended_at=None).first()
    may, pk = request.user.has_perm, invoice.pk
    return {
        "dispute": {
            "url": words.page("billing_dispute", dispute.pk),
            "amount": words.money(dispute.amount, invoice.currency),
            "on": words.day(dispute.opened_on),
            "by": dispute.opened_by,
            "reason": dispute.reason,
        }
        if dispute
        else None,
        "dispute_url": reverse("admin:billing_dispute_of", args=(pk,))
        if item.open and not dispute and may("billing.add_dispute")
        else "",
        "reminders": [
            {
                "url": words.page("billing_reminder", row.reminder_id),
                "level": KINDS[row.level],
                "on": words.day(row.reminder.made_on),
                "asked": words.money(row.asked, invoice.currency),
            }
            for row in item.reminder_rows.select_related("reminder").order_by("-pk")
        ],
        "stop": stop and stop.reason,
        "stop_page": words.page("billing_reminderstop", stop.pk) if stop else "",
        "stop_url": reverse("admin:billing_reminderstop_invoice", args=(pk,))
        if item.open and not stop and may(STOP)
        else "",
    }
