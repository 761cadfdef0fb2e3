"""Closing what is due: a look at it first, then a run."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from billing import tasks
from billing.admin import estimates, words
from billing.admin.clocks import told_clocks
from billing.admin.periods import RETRY, parked_row
from billing.admin.readiness_rows import checks
from billing.admin.unresolved import unresolved
from billing.models import BillingRun, RunStatus, UsageFinding
from billing.services import estimating, expectation, reviewing, runs
from billing.services.outlook import outlook
from billing.services.readiness import readiness
from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import action, select, text_input
from config.base.audit import Actor
from config.base.errors import Invalid
from customers.models import Customer
from customers.periods import month_after

START = "billing.add_billingrun"
BACKDATE = "billing.backdate_billingrun"
PARKED_SHOWN = 20
TOP = 10


class CloseForm(forms.Form):
    """Which month, as of when, and whose periods to close; all may be left empty."""

    month = forms.ChoiceField(
        required=False,
        widget=select(),
        label="Month",
        help_text="The periods that end in it, or before and are still open.",
    )
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
        self.now, self.may_backdate = now, may_backdate
        self.next = estimating.month_to_close(at=now)
        month = data.get("month") or f"{self.next:%Y-%m}"
        super().__init__({**data.dict(), "month": month})
        field = self.fields["month"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(f"{one:%Y-%m}", words.month_name(one)) for one in self._months()]
        picker = text_input(max=f"{now:%Y-%m-%dT%H:%M}")
        picker.input_type = "datetime-local"
        self.fields["as_of"].widget = picker
        chooser = AutocompleteSelect(
            BillingRun._meta.get_field("customer"),
            admin.site,
            attrs={"class": "unfold-admin-autocomplete"},
        )
        chooser.choices = self.fields["customer"].widget.choices
        self.fields["customer"].widget = chooser

    def _months(self) -> list[date]:
        """Offer the month that is next to be closed, this one, the two before and the one after."""
        this = self.now.date().replace(day=1)
        near = {month_after(this, n) for n in range(-2, 2)}
        return sorted({*near, self.next})

    def clean_month(self) -> date:
        return words.month_from(self.cleaned_data["month"]) or self.next

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
        may_see = request.user.has_perm(estimates.VIEW)
        context = {
            **self.page_context(request, "Close periods", None),
            "media": self.media + form.media,
            "form": form,
            "may_backdate": may_backdate,
            "clocks": told_clocks(),
            "may_retry": request.user.has_perm(RETRY),
            "preview": _preview(form, now=now) if form.is_valid() else None,
            **(_cockpit(form, now=now, with_amounts=may_see) if form.is_valid() else {}),
            "may_estimate": may_see and request.user.has_perm(estimates.START),
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
    oldest = found.oldest
    return {
        "as_of": words.moment(as_of),
        "is_backdated": form.cleaned_data["as_of"] is not None,
        "as_of_value": form.data.get("as_of", ""),
        "customer_value": customer.pk if customer else "",
        "whose": customer.name if customer else "everybody",
        "subscriptions": words.counted(found.subscriptions, "subscription"),
        "is_anything": bool(found.subscriptions or found.parked or found.to_issue),
        "rows": [
            ("Periods that have ended", words.number(found.ended)),
            ("First fees in advance to draft", words.number(found.openings)),
            ("Parked periods, to be tried again", words.number(found.parked)),
            ("Subscriptions not billed before", words.number(found.not_begun)),
            ("Drafts whose time has come, to be issued", words.number(found.to_issue)),
        ],
        "oldest": f"{oldest.subscription.key}, {words.span(oldest.start_date, oldest.end_date)}"
        if oldest
        else "",
        "oldest_url": words.page("billing_billingperiod", oldest.pk) if oldest else "",
    }


def _cockpit(form: CloseForm, *, now: datetime, with_amounts: bool) -> dict[str, Any]:
    """Say whether the month can be closed, and what its close is expected to come to."""
    customer: Customer | None = form.cleaned_data["customer"]
    month: date = form.cleaned_data["month"]
    found = readiness(
        month=month,
        as_of=form.cleaned_data["as_of"] or now,
        customer_id=customer.pk if customer else None,
    )
    estimate = found.estimate if with_amounts else None
    parked = list(found.parked.order_by("-pk")[: PARKED_SHOWN + 1])
    shown: dict[str, Any] = {
        "month": words.month_name(month),
        "month_value": f"{month:%Y-%m}",
        "checks": checks(found._replace(estimate=estimate), month=month),
        "unresolved": unresolved(found.quarantined),
        "parked": [parked_row(period) for period in parked[:PARKED_SHOWN]],
        "parked_left_out": len(parked) > PARKED_SHOWN,
        "running": BillingRun.objects.filter(status=RunStatus.RUNNING).order_by("-pk").first(),
        "estimate": None,
    }
    if with_amounts:
        drafts = reviewing.open_drafts()
        odd = reviewing.with_reason(drafts, "").count()
        shown["drafts"] = words.counted(drafts.count(), "draft")
        shown["odd"] = f"{words.number(odd)} {'needs' if odd == 1 else 'need'} eyes"
    if estimate:
        shown |= {
            "estimate": {
                "url": words.page("billing_closeestimate", estimate.pk),
                "as_of": words.moment(estimate.as_of),
                "is_complete": estimate.finished_at is not None,
            },
            "expected": estimates.expected(estimate, expectation.movers(estimate)[:TOP]),
            "metrics": estimates.metric_rows(estimate),
            "unusual": estimates.unusual_rows(estimate, *UsageFinding, most=TOP),
            "failing": estimates.failing_rows(estimate, most=TOP),
            "rule": estimates.RULE,
        }
    return shown
