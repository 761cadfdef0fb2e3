"""What is done with a subscription, on pages that show the next invoice before anything changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from billing.admin import words
from billing.admin.move_start import MovePages
from billing.models import InvoiceLine
from billing.presentation.lines import is_shown, line_view
from billing.presentation.reader import Reader
from billing.services import life
from billing.services.life import Next, When
from billing.unused import UnusedFees
from catalog.admin.examples import every
from catalog.models import PlanVersion, VersionStatus
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import action, date_input, number_input, select, switch
from config.base.audit import Actor
from customers.admin import choices
from customers.admin.subscriptions import SubscriptionAdmin
from customers.models import Subscription, SubscriptionPhase
from customers.services import first_period
from customers.terms import in_force, prices_include_tax, today_of, zones_of

STEPS = {
    "change_plan": "Change plan…",
    "change_quantity": "Change quantity…",
    "change_time_zone": "Change time zone…",
    "pause": "Pause…",
    "resume": "Resume…",
    "cancel": "Cancel…",
    "reactivate": "Reactivate…",
}
PATHS = {"change-plan", "quantity", "time-zone", "pause", "resume", "cancel", "reactivate"}

Step = Callable[[dict[str, Any], datetime], date]
"""What a page does with what was filled in, at a moment; returns the day it takes effect."""


class LifeForm(forms.Form):
    """What is asked about a subscription before it changes; by itself nothing."""

    def __init__(self, *args: Any, subscription: Subscription, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subscription = subscription


class CancelForm(LifeForm):
    when = forms.ChoiceField(
        choices=When.choices, widget=select(), initial=When.AT_PERIOD_END, label="When"
    )


class VersionChoice(forms.ModelChoiceField[PlanVersion]):
    def label_from_instance(self, version: Any) -> str:
        return f"{version} · {every(version)}"


ON_A_DAY = "on_a_day"


class ChangeForm(LifeForm):
    version = VersionChoice(PlanVersion.objects.none(), widget=select(), label="New plan")
    when = forms.ChoiceField(
        choices=[
            ("", "At once for a dearer plan, else at the end of the period"),
            *When.choices,
            (ON_A_DAY, "From the day below"),
        ],
        required=False,
        widget=select(),
        label="When",
    )
    day = forms.DateField(
        required=False,
        widget=date_input(),
        label="From",
        help_text="The first day under the new plan: still to come, or over.",
    )
    bill_now = forms.BooleanField(
        required=False,
        label="Bill the change at once",
        help_text="On an invoice of its own; else its fees and credits go on the next one.",
        widget=switch(),
    )
    lose_own_terms = forms.BooleanField(
        required=False,
        label="Let own terms go that the new plan has no place for",
        widget=switch(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        buyer = self.subscription.payer or self.subscription.customer
        field = self.fields["version"]
        assert isinstance(field, forms.ModelChoiceField)
        published = PlanVersion.objects.filter(
            status=VersionStatus.PUBLISHED,
            currency=buyer.currency,
            prices_include_tax=prices_include_tax(self.subscription),
        )
        field.queryset = published.select_related("plan")

    def clean(self) -> dict[str, Any]:
        """Read when the plan changes; refuse a day that is missing, or that would be ignored."""
        said: dict[str, Any] = super().clean() or self.cleaned_data
        when, day = said.get("when"), said.get("day")
        if when == ON_A_DAY and not day and "day" not in self.errors:
            self.add_error("day", "Say the first day under the new plan.")
        if day and when != ON_A_DAY:
            self.add_error("when", "Choose “From the day below”, or leave the day empty.")
        if not self.errors:
            said["when"] = day or (When(when) if when else None)
        return said


class QuantityForm(LifeForm):
    price = forms.ChoiceField(widget=select(), label="Of what")
    quantity = forms.DecimalField(
        min_value=0, max_digits=20, decimal_places=10, widget=number_input(), label="How many"
    )
    starts_on = forms.DateField(
        widget=date_input(), label="From", help_text="More are charged from this day, fewer from the "
        "next period on.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = timezone.now()
        phase = in_force(self.subscription, at=now)
        today = today_of(self.subscription, at=now)
        self.fields["starts_on"].initial = max(today, self.subscription.starts_on)
        field = self.fields["price"]
        assert isinstance(field, forms.ChoiceField)
        prices = phase.plan_version.prices.filter(metric=None)
        field.choices = list(prices.values_list("key", "name"))


class ZoneForm(LifeForm):
    time_zone = forms.ChoiceField(
        choices=choices.time_zones, widget=select(), label="Its days begin in"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        today = today_of(self.subscription, at=timezone.now())
        self.fields["time_zone"].initial = zones_of(self.subscription).on(today)


class LifePages(AuditedAdmin[Subscription]):
    """Pages that change a subscription's terms; each shows first what would follow."""

    def has_life_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("customers.change_subscription")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Leave what changes its terms to the panel that says which of it fits."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if one.path not in PATHS]

    @action(
        description=STEPS["change_plan"],
        url_path="change-plan",
        permissions=["life"],
        icon="swap_horiz",
    )
    def change_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose the plan and when, and see the next invoice."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.change_plan(
                subscription_id=int(object_id),
                version=said["version"],
                when=said["when"],
                bill_now=said["bill_now"],
                lose_own_terms=said["lose_own_terms"],
                at=at,
                actor=Actor.user(request.user),
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=ChangeForm,
            title="Another plan for {subscription}",
            sentences=[
                "At once: the running period gets two parts, each under its own plan, and is billed "
                "once at its end. The unused fee is credited, the new one charged for the days left. "
                "Where the new plan’s periods last longer or shorter, the running period ends with the "
                "change. From a day that is over, it is as if the plan had changed then.",
            ],
            button="Change the plan",
            done="The plan changes on {day}.",
        )

    @action(
        description=STEPS["change_quantity"],
        url_path="quantity",
        permissions=["life"],
        icon="group_add",
    )
    def change_quantity(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how many there are of what, from when, and show the next invoice."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.change_quantity(
                subscription_id=int(object_id),
                price_key=said["price"],
                quantity=said["quantity"],
                starts_on=said["starts_on"],
                at=at,
                actor=Actor.user(request.user),
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=QuantityForm,
            title="How many does {subscription} have?",
            sentences=["Such as seats, or anything else that is counted and not measured."],
            button="Change it",
            done="The quantity holds from {day}.",
        )

    @action(
        description=STEPS["change_time_zone"],
        url_path="time-zone",
        permissions=["life"],
        icon="schedule",
    )
    def change_time_zone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask where days begin, and say from which boundary on, and how long its first period is."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.change_time_zone(
                subscription_id=int(object_id),
                time_zone=said["time_zone"],
                at=at,
                actor=Actor.user(request.user),
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=ZoneForm,
            title="Another time zone for {subscription}",
            sentences=[
                "A new time zone holds from the next boundary on. The period that runs ends as it would "
                "have; the one after it begins there, without a gap, and ends at midnight in the new "
                "zone. Fees and allowances are by days, so they stay the same.",
            ],
            button="Change the time zone",
            done="The time zone holds from {day}.",
            tell=_zone_told,
        )

    @action(description=STEPS["cancel"], url_path="cancel", permissions=["life"], icon="event_busy")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask when service ends, and show the last invoice."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.cancel(
                subscription_id=int(object_id),
                when=When(said["when"]),
                at=at,
                actor=Actor.user(request.user),
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=CancelForm,
            title="Cancel {subscription}?",
            sentences=[
                "At once: today is the last day, and what was paid in advance for the days after is "
                "credited on the last invoice, where the plan says so. Until service ends, it can be "
                "taken back.",
            ],
            button="Cancel it",
            done="Service ends: {day} is the first day without it.",
            danger=True,
        )

    @action(description=STEPS["pause"], url_path="pause", permissions=["life"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask when service rests, and show the next invoice."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.pause(
                subscription_id=int(object_id),
                when=When(said["when"]),
                at=at,
                actor=Actor.user(request.user),
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=CancelForm,
            title="Pause {subscription}?",
            sentences=[
                "Until it is resumed no fee is charged and usage is not billed. What was paid in "
                "advance for days of the pause is credited on the next invoice.",
            ],
            button="Pause it",
            done="Service rests from {day}.",
        )

    @action(description=STEPS["resume"], url_path="resume", permissions=["life"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let service go on."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.resume(
                subscription_id=int(object_id), at=at, actor=Actor.user(request.user)
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=LifeForm,
            title="Resume {subscription}?",
            sentences=[
                "Service goes on from today; a pause that is still to come doesn’t begin. The fee for "
                "the days that are left of the running period is charged when it ends.",
            ],
            button="Resume it",
            done="Service goes on from {day}.",
        )

    @action(
        description=STEPS["reactivate"], url_path="reactivate", permissions=["life"], icon="undo"
    )
    def reactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take a cancellation back."""

        def step(said: dict[str, Any], at: datetime) -> date:
            return life.reactivate(
                subscription_id=int(object_id), at=at, actor=Actor.user(request.user)
            )

        return self.walk(
            request,
            object_id,
            step,
            form_class=LifeForm,
            title="Let {subscription} go on?",
            sentences=[
                "Before {day}, as if it had never been cancelled; once it has ended, from today, under "
                "its last plan, with today as the anchor of its periods.",
            ],
            button="Let it go on",
            done="Service goes on from {day}.",
        )

    def walk(
        self,
        request: HttpRequest,
        object_id: str,
        step: Step,
        *,
        form_class: type[LifeForm],
        title: str,
        sentences: list[str],
        button: str,
        done: str,
        danger: bool = False,
        tell: Callable[[date, Next], list[str]] = lambda day, found: [],
    ) -> HttpResponse:
        """Ask, show what would follow, and do it once that was seen and is still so.

        In `title` and `sentences` stands {subscription}, in `done` {day}. `tell` says more of what
        would follow than the next invoice does.
        """
        subscription = self.visible_row(request, object_id)
        if subscription is None:
            return self.missing(request, object_id)
        asked = request.POST if request.method == "POST" else None
        form = form_class(asked, subscription=subscription)
        shown: dict[str, Any] = {}
        if form.is_valid():
            at = timezone.now()
            try:
                day, found = life.preview(
                    lambda: step(form.cleaned_data, at), subscription_id=subscription.pk, at=at
                )
                shown = {**_shown(form, day, found), "told": tell(day, found)}
                if request.POST.get("seen") == shown["seen"]:
                    day = step(form.cleaned_data, at)
                    said = done.format(day=words.day(day))
                    self.message_user(request, said, messages.SUCCESS)
                    return HttpResponseRedirect(self.url("change", subscription.pk))
            except REFUSED as refusal:
                shown = {}
                for path, message in complaints(refusal):
                    name = (
                        {"quantities": "quantity"}.get(str(path[0]), str(path[0])) if path else ""
                    )
                    form.add_error(name if name in form.fields else None, message)
        names = {"subscription": subscription.key, "day": words.day(subscription.ends_on)}
        return self.confirm(
            request,
            subscription,
            title=title.format(**names),
            sentences=[*(one.format(**names) for one in sentences), *form.non_field_errors()],
            button=button if shown else "See what happens",
            danger=danger and bool(shown),
            template="admin/billing/life.html",
            form=form,
            shown=shown,
        )


def _shown(form: forms.Form, day: date, found: Next) -> dict[str, Any]:
    """Return what a look at the next invoice shows, and a text that changes where it does."""
    said: dict[str, Any] = {
        "day": words.day(day),
        "lost": found.lost_terms,
        "dropped": [_planned(one) for one in found.dropped],
        "next": {"lines": [], "total": ""},
    }
    if found.running:
        composed = found.running.composed
        net, total = composed.totals.net, composed.totals.total
        terms: dict[str, Any] = {"include_tax": composed.include_tax, "today": day}
        said["next"] = _bill(composed.lines, composed.currency, net, total, **terms)
        said["next"]["beside"] = words.beside(found.running.beside, composed.currency)
    if one := found.change:
        terms = {"include_tax": one.prices_include_tax, "today": day}
        said["change"] = _bill(one.lines.all(), one.currency, one.net_total, one.total, **terms)
        said["change"]["beside"] = words.beside(found.change_beside, one.currency)
    asked = "; ".join(f"{name}={value}" for name, value in form.cleaned_data.items())
    bills = [said["next"], said.get("change", {})]
    totals = [text for bill in bills for text in (bill.get("total", ""), *bill.get("beside", ()))]
    return {**said, "seen": "; ".join([asked, said["day"], *totals, *said["dropped"]])}


def _zone_told(day: date, found: Next) -> list[str]:
    """Say when the first period in a new zone begins and ends, and how much longer it is."""
    zones, first = zones_of(found.subscription), first_period(found.subscription, day)
    named = zones.on(day)
    told = f"From {words.moment(first.starts_at)} on, its days begin in {named}."
    ends = f"The period from {words.day(first.start)} ends at midnight there, {words.moment(first.ends_at)}"
    if not first.longer:
        return [told, f"{ends}, as long as it would have been."]
    longer = "longer" if first.longer > timedelta() else "shorter"
    hours = words.number(Decimal(abs(first.longer) // timedelta(minutes=1)) / 60)
    return [told, f"{ends}: {hours} h {longer} than it would have been."]


def _planned(phase: SubscriptionPhase) -> str:
    """Say what was to begin with a phase."""
    what = "a pause" if phase.is_paused else str(phase.plan_version)
    return f"{what} from {words.day(phase.starts_on)}"


def _bill(
    lines: Iterable[InvoiceLine],
    currency: str,
    net: Decimal,
    total: Decimal,
    *,
    include_tax: bool,
    today: date,
) -> dict[str, Any]:
    """Return what an invoice shows of its lines and totals."""
    reader = Reader(words.LOCALE, currency)
    return {
        "lines": [line_view(line, reader, today=today) for line in lines if is_shown(line)],
        "heading": "With tax" if include_tax else "Net",
        "totals": list(
            _totals(words.money(net, currency), words.money(total, currency), include_tax)
        ),
        "total": words.money(total, currency),
    }


def _totals(net: str, total: str, include_tax: bool) -> Iterator[tuple[str, str]]:
    """Yield what the lines add up to, and then what that is without tax, or with it."""
    if include_tax:
        yield "Total, tax included", total
        yield "of which net", net
    else:
        yield "Net total", net
        yield "With tax", total


def life_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Offer what fits the state: to pause what is in service, to resume what is paused, …"""
    if not request.user.has_perm("customers.change_subscription"):
        return None
    last = list(subscription.phases.all())[-1]
    today = today_of(subscription, at=timezone.now())
    if subscription.ends_on and subscription.ends_on <= today:
        names = ["reactivate"]
    else:
        pause = "resume" if last.is_paused else "pause"
        names = ["change_plan", "change_quantity", "change_time_zone", pause]
        names.append("reactivate" if subscription.ends_on else "cancel")
    steps = [
        {
            "name": STEPS[name],
            "url": reverse(f"admin:customers_subscription_{name}", args=(subscription.pk,)),
        }
        for name in names
    ]
    return Panel("Change it", "admin/billing/life_panel.html", {"steps": steps})


def waiting_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Show what is still to credit of fees that were paid for days without service (R32a)."""
    if not request.user.has_perm("billing.view_invoice"):
        return None
    found = UnusedFees([subscription]).of(subscription, day=date.max, replaces=None)
    if not found:
        return None
    waiting = [
        {
            "amount": words.money(one.left, one.line.invoice.currency),
            "fee": one.line.description,
            "since": words.day(one.since),
            "invoice": words.name_of(one.line.invoice),
            "url": words.page("billing_invoice", one.line.invoice_id),
        }
        for one in found
    ]
    return Panel("Still to credit", "admin/billing/waiting_panel.html", {"waiting": waiting})


admin.site.unregister(Subscription)


@admin.register(Subscription)
class BilledSubscriptionAdmin(LifePages, MovePages, SubscriptionAdmin):
    """A subscription's page, with what billing does when its terms change."""

    actions_detail = (
        "change_plan",
        "change_quantity",
        "change_time_zone",
        "pause",
        "resume",
        "cancel",
        "reactivate",
        *SubscriptionAdmin.actions_detail,
    )
