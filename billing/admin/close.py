"""Closing what is due: a look at it first, then a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from billing import tasks
from billing.admin import words
from billing.admin.clocks import told_clocks
from billing.admin.periods import RETRY, parked_row
from billing.admin.unresolved import unresolved
from billing.models import BillingRun
from billing.services import runs
from billing.services.closing import to_close
from billing.services.outlook import outlook
from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import action, text_input
from config.base.audit import Actor
from config.base.errors import Invalid
from customers.models import Customer

START = "billing.add_billingrun"
BACKDATE = "billing.backdate_billingrun"


class CloseForm(forms.Form):
    """As of when, and whose periods to close; both may be left empty."""

    as_of = forms.DateTimeField(
        required=False,
        label="As of, in UTC",
        help_text="Act as the clock read this. Empty: now.",
    )
    customer = forms.ModelChoiceField(
        Customer.objects.all(),
        required=False,
        label="Only this customer",
        help_text="Empty: everybody.",
    )

    class Media:
        css = {"screen": ("admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css")}
        js = (
            "admin/js/jquery.init.js",
            "unfold/js/select2.init.js",
        )

    def __init__(self, data: Any, *, now: datetime, may_backdate: bool) -> None:
        super().__init__(data)
        self.now, self.may_backdate = now, may_backdate
        picker = text_input(max=f"{now:%Y-%m-%dT%H:%M}")
        picker.input_type = "datetime-local"
        self.fields["as_of"].widget = picker
        field = BillingRun._meta.get_field("customer")
        chooser = AutocompleteSelect(
            field, admin.site, attrs={"class": "unfold-admin-autocomplete"}
        )
        chooser.choices = self.fields["customer"].widget.choices
        self.fields["customer"].widget = chooser

    def clean_as_of(self) -> datetime | None:
        as_of: datetime | None = self.cleaned_data["as_of"]
        if as_of is not None and as_of > self.now:
            raise forms.ValidationError("That moment has not come yet.")
        if as_of is not None and not self.may_backdate:
            raise forms.ValidationError("Only a Finance lead closes as of an earlier moment.")
        return as_of


class ClosePages(AuditedAdmin[BillingRun]):
    """The page that closes what is due, in the list of runs."""

    actions_list = ("close",)

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(START)

    @action(
        description="Close periods…",
        url_path="close",
        permissions=["close"],
        icon="event_available",
    )
    def close(self, request: HttpRequest) -> HttpResponse:
        """Show what is due; start a run when told to."""
        now = timezone.now()
        may_backdate = request.user.has_perm(BACKDATE)
        data = request.POST if request.method == "POST" else request.GET
        form = CloseForm(data, now=now, may_backdate=may_backdate)
        if form.is_valid() and request.method == "POST":
            try:
                run = runs.start_run(
                    as_of=form.cleaned_data["as_of"] or now,
                    now=now,
                    actor=Actor.user(request.user),
                    customer=form.cleaned_data["customer"],
                )
            except Invalid as wrong:
                self.tell(request, wrong)
                return HttpResponseRedirect(self.url("changelist"))
            nudge_part(run)
            return HttpResponseRedirect(self.url("change", run.pk))
        context = {
            **self.page_context(request, "Close periods", None),
            "media": self.media + form.media,
            "form": form,
            "may_backdate": may_backdate,
            "clocks": told_clocks(),
            "may_retry": request.user.has_perm(RETRY),
            "preview": _preview(form, now=now) if form.is_valid() else None,
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/close.html", context)


def nudge_part(run: BillingRun) -> None:
    """Tell the workers; without any, close the first part here and leave the rest to the page."""
    if not settings.CELERY_TASK_ALWAYS_EAGER:
        tasks.nudge_run(run.pk)
    elif chunk := next(runs.chunks(run), None):
        tasks.close_chunk(run.pk, chunk)
    else:
        tasks.advance_run(run.pk)


def _preview(form: CloseForm, *, now: datetime) -> dict[str, Any]:
    """Say what a run would find and what it can't close, before anybody starts it."""
    customer: Customer | None = form.cleaned_data["customer"]
    as_of: datetime = form.cleaned_data["as_of"] or now
    found = outlook(as_of=as_of, customer_id=customer.pk if customer else None)
    closing = to_close(as_of=as_of, customer_id=customer.pk if customer else None)
    oldest = found.oldest
    return {
        "as_of": words.moment(as_of),
        "is_backdated": form.cleaned_data["as_of"] is not None,
        "as_of_value": form.data.get("as_of", ""),
        "customer_value": customer.pk if customer else "",
        "whose": customer.name if customer else "everybody",
        "subscriptions": words.counted(found.subscriptions, "subscription"),
        "is_anything": bool(found.subscriptions or found.to_issue),
        "rows": [
            ("Periods that have ended", words.number(found.ended)),
            ("First fees in advance to draft", words.number(found.openings)),
            ("Subscriptions not billed before", words.number(found.not_begun)),
            ("Drafts whose time has come, to be issued", words.number(found.to_issue)),
        ],
        "oldest": f"{oldest.subscription.key}, {words.span(oldest.start_date, oldest.end_date)}"
        if oldest
        else "",
        "oldest_url": words.page("billing_billingperiod", oldest.pk) if oldest else "",
        "parked": [parked_row(period) for period in found.parked.order_by("-pk")[:20]],
        "parked_count": found.parked.count(),
        "unresolved": unresolved(Customer.objects.filter(subscriptions__in=closing.order_by())),
    }
