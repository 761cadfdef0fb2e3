"""A subscription's own terms for a price: agreed on a page of their own, shown with its story."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from catalog import money
from catalog.admin import lines
from catalog.admin.examples import LOCALE
from catalog.drafts import PriceDraft, drafts_of, price_value, units_of
from catalog.models import TIERED, PriceModel
from catalog.money import plain
from catalog.overrides import NUMBERS, applies, overridden
from catalog.wording import describe
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import action, date_input, number_input, select, textarea
from config.base.audit import Actor
from config.base.fields import PlainTextInput
from customers import services
from customers.models import PriceOverride, Subscription

LABELS = {
    "unit_amount": "Amount",
    "percent_rate": "Rate in %",
    "fixed_amount": "Plus for each event",
    "free_events": "Free events",
    "per_event_minimum": "At least per event",
    "per_event_maximum": "At most per event",
    "included_quantity": "Included",
    "minimum": "At least per period",
    "maximum": "At most per period",
    "discount_percent": "Discount in %",
}
_OF_MODELS = {
    PriceModel.FLAT: ("unit_amount", "minimum", "maximum", "discount_percent"),
    PriceModel.PERCENTAGE: (
        "percent_rate",
        "fixed_amount",
        "free_events",
        "per_event_minimum",
        "per_event_maximum",
        "minimum",
        "maximum",
        "discount_percent",
    ),
}
_OF_TIERED = ("included_quantity", "minimum", "maximum", "discount_percent")
_OF_OTHERS = ("unit_amount", *_OF_TIERED)
_NONE = "none"


class WhichForm(forms.Form):
    """Which price of the plan gets terms of its own."""

    price = forms.ChoiceField(widget=select(), label="Price")

    def __init__(self, *args: Any, prices: list[PriceDraft], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["price"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(draft.price.key, draft.price.name) for draft in prices]


class TermsForm(forms.Form):
    """What differs from the plan's price; an empty field stays as the plan has it."""

    def __init__(self, *args: Any, draft: PriceDraft, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        price = draft.price
        self.draft = draft
        for name in _fields_of(price.model):
            value = getattr(price, name)
            said = "none" if value is None else plain(Decimal(value))
            may_be_none = name in ("minimum", "maximum", "per_event_minimum", "per_event_maximum")
            self.fields[name] = forms.CharField(
                required=False,
                widget=number_input(placeholder=said),
                label=LABELS[name],
                help_text=f"The plan: {said}." + (" “none” lifts it." if may_be_none else ""),
            )
        if price.model in TIERED:
            ladder = lines.write_tiers([_tier(tier) for tier in draft.tiers])
            self._area("tiers", "Tiers", ladder)
        if price.model == PriceModel.MATRIX:
            self._area("rows", "Prices per value", lines.write_rows(price.rows))
        self.fields["starts_on"] = forms.DateField(
            widget=date_input(), label="From",
            help_text="Every period that begins on this day or later has them.",
        )  # fmt: skip
        self.fields["ends_on"] = forms.DateField(
            required=False, widget=date_input(), label="Until",
            help_text="Periods that begin on this day or later don’t. Empty: for good.",
        )  # fmt: skip
        self.fields["reason"] = PlainTextInput(
            max_length=5000, widget=textarea(rows=2), label="Why",
            help_text="For whoever asks later; customers don’t see it.",
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Read numbers and little languages; a fault stands at its field."""
        said: dict[str, Any] = super().clean() or {}
        self.terms: dict[str, Any] = {}
        for name in (*NUMBERS, "free_events"):
            if text := said.get(name, ""):
                self._read(name, lambda text=text, name=name: _number(text, name))
        if text := said.get("tiers", ""):
            self._read("tiers", lambda: lines.parse_tiers(text))
        if text := said.get("rows", ""):
            self._read("rows", lambda: lines.parse_rows(text))
        return said

    def _area(self, name: str, label: str, as_planned: str) -> None:
        self.fields[name] = forms.CharField(
            required=False,
            widget=textarea(rows=3, spellcheck="false", placeholder=as_planned),
            label=label,
            help_text="One a line, all of them. Empty: as the plan has it.",
        )

    def _read(self, name: str, read: Any) -> None:
        try:
            self.terms[name] = read()
        except ValueError as wrong:
            self.add_error(name, str(wrong))


class EndForm(forms.Form):
    ends_on = forms.DateField(
        widget=date_input(), label="Until",
        help_text="Periods that begin on this day or later have the plan’s price.",
    )  # fmt: skip


def overrides_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Show the subscription's own terms, in words, and how to agree or end them."""
    overrides = list(subscription.overrides.all())
    may_change = request.user.has_perm("customers.add_priceoverride")
    if not overrides and not may_change:
        return None
    prices = {draft.price.key: draft for draft in _prices(subscription)}
    here = "admin:customers_subscription"
    return Panel(
        "Own prices",
        "admin/customers/overrides_panel.html",
        {
            "overrides": [
                {
                    "price": prices[one.price_key].price.name
                    if one.price_key in prices
                    else one.price_key,
                    "rule": _rule(subscription, prices.get(one.price_key), one),
                    "starts_on": one.starts_on,
                    "ends_on": one.ends_on,
                    "reason": one.reason,
                    "by": one.agreed_by,
                    "end_url": f"{reverse(f'{here}_end_own_price', args=(subscription.pk,))}"
                    f"?override={one.uuid}"
                    if may_change and one.ends_on is None
                    else "",
                }
                for one in overrides
            ],
            "agree_url": reverse(f"{here}_own_price", args=(subscription.pk,))
            if may_change and prices
            else "",
        },
    )


class OverridePages(AuditedAdmin[Subscription]):
    """Agreeing and ending own terms, on pages of the subscription."""

    def has_override_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("customers.add_priceoverride")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to end an own price only while one is running."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        running = PriceOverride.objects.filter(subscription=object_id, ends_on=None)
        return [one for one in offered if one.path != "end-own-price" or running.exists()]

    @action(
        description="Agree an own price…",
        url_path="own-price",
        permissions=["override"],
        icon="price_change",
    )
    def own_price(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose a price, then say what differs, and see the rule in words before it is agreed."""
        subscription = self.visible_row(request, object_id)
        if subscription is None:
            return self.missing(request, object_id)
        prices = {draft.price.key: draft for draft in _prices(subscription)}
        chosen = prices.get(request.GET.get("price", ""))
        if chosen is None:
            return self._which(request, subscription, list(prices.values()))
        form = TermsForm(request.POST if request.method == "POST" else None, draft=chosen)
        then = self.url("change", subscription.pk)
        if form.is_valid():
            agreed = form.cleaned_data
            try:
                services.agree_price(
                    subscription_id=subscription.pk,
                    price_key=chosen.price.key,
                    terms=form.terms,
                    starts_on=agreed["starts_on"],
                    ends_on=agreed["ends_on"],
                    reason=agreed["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                for path, message in complaints(refusal):
                    name = str(path[0]) if path else ""
                    form.add_error(name if name in form.fields else None, message)
            else:
                rule = _described(overridden(chosen, form.terms), _currency(subscription))
                done = f"Agreed for {chosen.price.name}: {rule}"
                return self.attempt(request, lambda: None, done=done, then=then)
        return self.confirm(
            request,
            subscription,
            title=f"Own price for {chosen.price.name}",
            sentences=[
                f"The plan: {_described(chosen, _currency(subscription))}",
                "Fill in only what differs. It holds for every period that begins while it is in "
                "force and is not billed yet.",
                *form.non_field_errors(),
            ],
            button="Agree",
            template="admin/metering/form.html",
            form=form,
        )

    @action(
        description="End an own price…",
        url_path="end-own-price",
        permissions=["override"],
        icon="event_busy",
    )
    def end_own_price(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask from when the plan's price holds again."""
        subscription = self.visible_row(request, object_id)
        if subscription is None:
            return self.missing(request, object_id)
        uuid = request.GET.get("override", "")
        running = [one for one in subscription.overrides.all() if one.ends_on is None]
        found = [one for one in running if str(one.uuid) == uuid] or running[:1]
        then = self.url("change", subscription.pk)
        if not found:
            self.message_user(request, "No own price is running: there is nothing to end.")
            return self.attempt(request, lambda: None, done="", then=then)
        [override] = found
        form = EndForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: services.end_override(
                    override_id=override.pk,
                    ends_on=form.cleaned_data["ends_on"],
                    actor=Actor.user(request.user),
                ),
                done="The own price ends.",
                then=then,
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            subscription,
            title=f"End the own price for {override.price_key}?",
            sentences=["After it the plan’s price holds again."],
            button="End it",
            template="admin/metering/form.html",
            form=form,
        )

    def _which(
        self, request: HttpRequest, subscription: Subscription, prices: list[PriceDraft]
    ) -> HttpResponse:
        return self.confirm(
            request,
            subscription,
            title="Own price for which price?",
            button="Go on",
            template="admin/customers/which_price.html",
            form=WhichForm(prices=prices),
        )


def _prices(subscription: Subscription) -> list[PriceDraft]:
    """Return the prices of the version that holds today, or first."""
    today = timezone.localdate()
    phases = list(subscription.phases.all())
    begun = [phase for phase in phases if phase.starts_on <= today] or phases[:1]
    if not begun:
        return []
    prices = begun[-1].plan_version.prices.select_related("metric").prefetch_related("tiers")
    return drafts_of(list(prices))


def _currency(subscription: Subscription) -> str:
    return (subscription.payer or subscription.customer).currency


def _rule(subscription: Subscription, draft: PriceDraft | None, override: PriceOverride) -> str:
    if draft is None or not applies(draft, override.terms):
        return "Its plan no longer has a price that these terms fit: they do nothing."
    return _described(overridden(draft, override.terms), _currency(subscription))


def _described(draft: PriceDraft, currency: str) -> str:
    unit, units = units_of(draft.price)
    return describe(
        price_value(draft),
        unit=unit,
        unit_plural=units,
        exponent=money.exponent(currency),
        locale=LOCALE,
    )


def _fields_of(model: str) -> tuple[str, ...]:
    if model in TIERED:
        return _OF_TIERED
    return _OF_MODELS.get(PriceModel(model), _OF_OTHERS)


def _number(text: str, name: str) -> Any:
    if text == _NONE and name in ("minimum", "maximum", "per_event_minimum", "per_event_maximum"):
        return None
    if not lines.is_amount(text):
        raise ValueError("Write a number without thousands separators, with a point: 1234.50")
    return int(text) if name == "free_events" and text.isdecimal() else plain(Decimal(text))


def _tier(tier: Any) -> dict[str, Any]:
    return {
        "up_to": None if tier.up_to is None else plain(tier.up_to),
        "unit_amount": plain(tier.unit_amount),
        "flat_amount": plain(tier.flat_amount),
    }
