"""Mails to customers: the list of all, those that did not go first in mind, and each with its story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter

from billing import tasks
from billing.admin import words
from billing.admin.payment_forms import ReasonForm
from billing.admin.sending import ADVICE, CREDIT_NOTES, INVOICES, SEND, Sent
from billing.admin.steps import Document, Refused, each
from billing.models import Delivery, DeliveryStatus, Unsent
from billing.querysets import DeliveryQuerySet
from billing.services.sending import answer_failures
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import display, short
from config.base.audit import Actor


class ToLookAtFilter(admin.SimpleListFilter):
    title = "to look at"
    parameter_name = "look"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("yes", "Did not go, and nobody has answered"),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        assert isinstance(queryset, DeliveryQuerySet)
        return queryset.to_look_at() if self.value() == "yes" else queryset


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    list_display = ("document_page", "buyer", "to", "state", "reason", "asked", "settled")
    list_display_links = ("to",)
    list_filter = (
        ToLookAtFilter,
        "status",
        "why",
        ("asked_at", RangeDateTimeFilter),
        ("customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("customer", "invoice__customer", "note")
    search_fields = (
        "address",
        "invoice__number",
        "note__number",
        "customer__key",
        "customer__name",
        "message_id",
    )
    search_help_text = "Search by address, invoice, credit note, customer or Message-ID"
    ordering = ("-pk",)
    show_full_result_count = False
    actions = ("send_again", "answer_many")
    empty_hint = "Nothing has been sent yet. Let an issuer send invoices by e-mail, or send one from its page."
    shown: ClassVar = (
        "document_page",
        "buyer",
        "to",
        "subject",
        "state",
        "reason",
        "said",
        "advice",
        "answer",
        "asked",
        "settled",
        "tries",
        "message_id",
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        empty = {
            name for name in ("subject", "said", "answer", "message_id") if not getattr(obj, name)
        }
        if not self.advice(obj):
            empty.add("advice")
        return ((None, {"fields": [name for name in self.shown if name not in empty]}),)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SEND)

    def has_answer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.answer_delivery")

    @admin.action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Send the documents of what did not go, each to its customer's addresses as they are now."""
        assert isinstance(queryset, DeliveryQuerySet)
        rows = queryset.to_look_at().select_related("invoice__customer", "note__invoice__customer")
        invoices = list({row.invoice_id: row.invoice for row in rows if row.invoice}.values())
        notes = list({row.note_id: row.note for row in rows if row.note}.values())
        if not (invoices or notes):
            said = "Choose mails that did not go, and that nobody has answered."
            self.message_user(request, said, messages.WARNING)
            return
        made, refused = self._send_again(request, INVOICES, invoices)
        made_too, refused_too = self._send_again(request, CREDIT_NOTES, notes)
        made, refused = [*made, *made_too], [*refused, *refused_too]
        if made:
            tasks.nudge_mails()
            said = f"{words.counted(len(made), 'mail')} on the way."
            self.message_user(request, said, messages.SUCCESS)
        for one in refused[:20]:
            self.message_user(request, str(one), messages.WARNING)

    def _send_again(
        self, request: HttpRequest, sent: Sent[Document], documents: Sequence[Document]
    ) -> tuple[list[Delivery], list[Refused]]:
        now, actor = timezone.now(), Actor.user(request.user)
        return each(
            documents, lambda some: sent.send([one.pk for one in some], at=now, actor=actor)
        )

    @admin.action(description="Answer…", permissions=["answer"])
    def answer_many(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse | None:
        """Ask what was done about mails that did not go; then they no longer wait."""
        rows = list(queryset.order_by("pk"))
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        form.fields["reason"].label = "What was done about it?"
        if form.is_valid():
            try:
                count = answer_failures(
                    delivery_ids=[row.pk for row in rows],
                    answer=form.cleaned_data["reason"],
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                self.tell(request, refusal)
            else:
                said = f"Answered {words.counted(count, 'mail')}."
                self.message_user(request, said, messages.SUCCESS)
            return HttpResponseRedirect(self.url("changelist"))
        hidden = [("action", "answer_many"), *(("_selected_action", str(row.pk)) for row in rows)]
        return self.confirm(
            request,
            rows[0],
            title=f"Answer {words.counted(len(rows), 'mail')} that did not go?",
            sentences=["They no longer wait for anybody. Nothing is sent."],
            button="Answer",
            template="admin/metering/form.html",
            form=form,
            hidden=hidden,
            back=self.url("changelist"),
        )

    @display(description="For")
    def document_page(self, row: Delivery) -> SafeString | str:
        document = row.invoice or row.note
        if document is None:
            return row.get_kind_display()
        url = words.page(document._meta.label_lower.replace(".", "_"), document.pk)
        return format_html('<a href="{}" class="text-link">{}</a>', url, words.name_of(document))

    @display(description="Customer", ordering="customer__name")
    def buyer(self, row: Delivery) -> SafeString:
        url = words.page("customers_customer", row.customer_id)
        name = short(str(row.customer))
        return format_html('<a href="{}" class="text-link">{}</a>', url, name)

    @display(description="To", ordering="address")
    def to(self, row: Delivery) -> str:
        return row.address or "nobody"

    @display(
        description="State",
        ordering="status",
        label={
            DeliveryStatus.WAITING.label: "info",
            DeliveryStatus.SENT.label: "success",
            DeliveryStatus.FAILED.label: "danger",
            DeliveryStatus.UNSENT.label: "",
        },
    )
    def state(self, row: Delivery) -> str:
        return row.get_status_display()

    @display(description="Why", ordering="why")
    def reason(self, row: Delivery) -> str:
        return row.get_why_display().capitalize() if row.why else "—"

    @display(description="What to do")
    def advice(self, row: Delivery) -> str:
        return "" if row.answer or not row.why else ADVICE[Unsent(row.why)]

    @display(description="Asked for", ordering="asked_at")
    def asked(self, row: Delivery) -> str:
        how = "as it was issued" if row.at_issue else f"by {row.asked_by}"
        return f"{words.moment(row.asked_at)}, {how}"

    @display(description="Settled", ordering="settled_at")
    def settled(self, row: Delivery) -> str:
        return words.moment(row.settled_at) or "—"

    @display(description="With the mail server")
    def tries(self, row: Delivery) -> str:
        if row.begun_at is None:
            return "not yet" if row.status == DeliveryStatus.WAITING else "no"
        again = ", after an attempt that was interrupted" if row.interruptions else ""
        return f"since {words.moment(row.begun_at)}{again}"
