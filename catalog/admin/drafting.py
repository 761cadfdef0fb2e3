"""The form of a draft: its terms, its prices and their tiers, replaced as a whole when saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms.models import construct_instance
from django.http import HttpRequest

from catalog import services
from catalog.admin import lines
from catalog.drafts import METERED, PriceDraft, version_errors
from catalog.models import (
    MetricStatus,
    PlanVersion,
    Price,
    PriceTier,
    Timing,
    ValueMetric,
)
from catalog.money import CURRENCIES, plain
from config.base.admin.theme import (
    InlineFormSet,
    StackedInline,
    TabularInline,
    number_input,
    search_select,
    select,
    text_input,
    textarea,
)

NOT_A_NUMBER = "Write a number without thousands separators, with a point: 1234.50"


_USUAL = ("EUR", "USD", "GBP", "CHF", "JPY")


def currency_choices(*, blank: str = "Choose a currency") -> list[tuple[str, str]]:
    """Offer all currencies, those asked for most first: whoever types “eur” means no WIR Euro."""
    codes = [*_USUAL, *(code for code in CURRENCIES if code not in _USUAL)]
    return [("", blank), *((code, f"{code} — {CURRENCIES[code]}") for code in codes)]


def fingerprint(version: PlanVersion) -> str:
    """Return what tells whether a draft changed since somebody looked at it."""
    text = json.dumps(services.described(version), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class VersionForm(forms.ModelForm[PlanVersion]):
    """The terms of a draft; refuses to overwrite unseen what somebody else saved meanwhile."""

    currency = forms.ChoiceField(
        choices=currency_choices, widget=search_select(), help_text="What its prices are in."
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput, label="")

    class Meta:
        widgets = {"minimum_commitment": number_input()}
        labels = {
            "interval": "Bills every",
            "interval_count": "How many of them",
            "trial_days": "Trial days",
            "minimum_commitment": "Minimum commitment",
            "refund_unused": "Credit what is unused",
            "tax_category": "Taxed at",
            "prices_include_tax": "Prices include tax",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = fingerprint(self.instance) if self.instance.pk else ""
        self.initial["seen"] = self.now
        commitment = self.initial.get("minimum_commitment")
        if commitment is not None:
            self.initial["minimum_commitment"] = plain(commitment)
        if "tax_category" in self.fields:
            self.fields["tax_category"].required = False  # the standard rate if nothing is said
        if "minimum_commitment" in self.fields:
            self.fields["minimum_commitment"].error_messages["invalid"] = NOT_A_NUMBER

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.instance.pk and self.cleaned_data.get("seen") != self.now:
            # Shown again with the new fingerprint: saving once more replaces what they did.
            self.data = {**self.data.dict(), self.add_prefix("seen"): self.now}  # type: ignore[attr-defined]
            raise ValidationError(
                "Somebody else saved this draft while you were editing it. Its history says who and "
                "what. Nothing of yours is saved yet: save again to replace their changes."
            )
        return cleaned


class _PartForm(forms.ModelForm[Any]):
    """A form whose fields alone are checked here; `version_errors` checks the price as a whole."""

    def _post_clean(self) -> None:
        asked = {"version", "price", "metric"}  # a metric comes from among those that were loaded
        exclude = self._get_validation_exclusions() | asked  # type: ignore[attr-defined]
        opts = self._meta
        self.instance = construct_instance(self, self.instance, opts.fields, opts.exclude)
        try:
            self.instance.clean_fields(exclude=exclude)
        except ValidationError as wrong:
            self._update_errors(wrong)  # type: ignore[attr-defined]


class MetricField(forms.ModelChoiceField[ValueMetric]):
    """Chooses among metrics that were asked for once for all prices of a form."""

    loaded: Mapping[str, ValueMetric] = {}

    def to_python(self, value: Any) -> ValueMetric | None:
        if value in self.empty_values:
            return None
        if str(value) not in self.loaded:
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return self.loaded[str(value)]


class PriceForm(_PartForm):
    metric = MetricField(
        ValueMetric.objects.exclude(status=MetricStatus.RETIRED),
        required=False,
        widget=select(),
        label="What is measured",
        empty_label="Nothing: a fee or seats",
    )
    timing = forms.ChoiceField(
        choices=[("", "As usual: fees in advance, usage in arrears"), *Timing.choices],
        required=False,
        widget=select(),
        label="When it is billed",
    )
    filters = forms.CharField(
        required=False,
        widget=textarea(rows=2, spellcheck="false", placeholder="region in eu-central, eu-west"),
        label="Only usage where",
        help_text="One condition a line, on dimensions of the metric. Of several prices on one "
        "metric the first that usage meets takes it.",
    )
    rows = forms.CharField(
        required=False,
        widget=textarea(rows=4, spellcheck="false", placeholder="region=eu, size=large: 0.40"),
        label="Prices per value",
        help_text="One a line; the first that matches wins. All others pay the amount above.",
    )

    class Meta:
        widgets = {
            "name": text_input(placeholder="Platform base fee"),
            "key": text_input(placeholder="base", spellcheck="false"),
            "unit": text_input(placeholder="seat"),
            "unit_plural": text_input(placeholder="seats"),
            "unit_amount": number_input(),
            "package_size": number_input(),
            "percent_rate": number_input(placeholder="2.9"),
            "fixed_amount": number_input(),
            "free_events": number_input(),
            "per_event_minimum": number_input(),
            "per_event_maximum": number_input(),
            "included_quantity": number_input(),
            "minimum": number_input(),
            "maximum": number_input(),
            "discount_percent": number_input(),
        }
        labels = {
            "name": "Name on the invoice",
            "model": "How it is charged",
            "unit": "One is called",
            "unit_plural": "Several are called",
            "unit_amount": "Amount",
            "package_size": "Units in a package",
            "percent_rate": "Rate in %",
            "fixed_amount": "Plus for each event",
            "free_events": "Free events",
            "per_event_minimum": "At least per event",
            "per_event_maximum": "At most per event",
            "included_quantity": "Included",
            "overage_policy": "Above the included",
            "minimum": "At least",
            "maximum": "At most",
            "discount_percent": "Discount in %",
            "proration": "Part of a period",
            "interval": "Charged every",
            "interval_count": "How many of them",
            "tax_category": "Taxed at",
        }
        help_texts = {
            "model": "",
            "unit_amount": "",
            "overage_policy": "",
            "percent_rate": "Of every amount that the metric adds up.",
            "fixed_amount": "",
            "free_events": "The first in a period.",
            "per_event_minimum": "The fixed fee included.",
            "per_event_maximum": "The fixed fee included.",
            "included_quantity": "Units that cost nothing extra. 0: none.",
            "minimum": "Per period, used or not.",
            "maximum": "Per period, however much is used.",
            "discount_percent": "Off the amount, after “at most”.",
            "proration": "What a part of a period costs.",
            "interval": "Empty: as often as the plan bills.",
            "interval_count": "",
            "tax_category": "Empty: as the plan version says.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _explain_numbers(self.fields)
        for name in ("fixed_amount", "free_events", "interval_count"):
            self.fields[name].required = False

    def clean_fixed_amount(self) -> Decimal:
        return self.cleaned_data["fixed_amount"] or Decimal(0)

    def clean_free_events(self) -> int:
        return self.cleaned_data["free_events"] or 0

    def clean_interval_count(self) -> int:
        return self.cleaned_data["interval_count"] or 1

    def clean_filters(self) -> list[dict[str, Any]]:
        try:
            return lines.parse_filters(self.cleaned_data["filters"])
        except lines.UnreadableLine as wrong:
            raise ValidationError(str(wrong)) from None

    def clean_rows(self) -> list[dict[str, Any]]:
        """Read the rows; the dimensions are those that they name."""
        try:
            rows = lines.parse_rows(self.cleaned_data["rows"])
        except lines.UnreadableLine as wrong:
            raise ValidationError(str(wrong)) from None
        self.instance.dimensions = lines.dimensions_of(rows)
        return rows

    def clean_timing(self) -> str:
        """Bill usage in arrears and fees in advance unless told otherwise."""
        if self.cleaned_data["timing"]:
            return str(self.cleaned_data["timing"])
        is_usage = self.cleaned_data.get("metric") or self.cleaned_data.get("model") in METERED
        return str(Timing.ARREARS if is_usage else Timing.ADVANCE)


class TierForm(_PartForm):
    class Meta:
        widgets = {
            "up_to": number_input(placeholder="and above", **{"aria-label": "Up to"}),
            "unit_amount": number_input(**{"aria-label": "Price of a unit"}),
            "flat_amount": number_input(**{"aria-label": "Plus once"}),
        }
        labels = {
            "up_to": "Up to",
            "unit_amount": "Price of a unit",
            "flat_amount": "Plus once",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _explain_numbers(self.fields)


class ReplacingFormSet(InlineFormSet):  # type: ignore[type-arg]
    """Shows what is stored as if just typed; what comes back replaces all of it."""

    new_objects: list[Model] = []
    changed_objects: list[Any] = []
    deleted_objects: list[Model] = []

    def __init__(
        self, *args: Any, initial: Sequence[Mapping[str, Any]] = (), **kwargs: Any
    ) -> None:
        kwargs["queryset"] = self.model.objects.none()  # type: ignore[union-attr]
        super().__init__(*args, initial=list(initial), **kwargs)
        self.extra = len(initial)

    def clean(self) -> None:
        """Leave uniqueness to `version_errors`."""

    @property
    def kept_forms(self) -> list[Any]:
        """The forms that were filled in and not deleted, in order."""
        return [
            form
            for form in self.forms
            if form.has_changed() and not form.data.get(form.add_prefix("DELETE"))
        ]


class TierFormSet(ReplacingFormSet):
    pass


class PriceFormSet(ReplacingFormSet):
    def clean(self) -> None:
        """Check the prices with their tiers as the services will, and point at the fields."""
        forms: list[Any] = list(self.forms)
        for form in forms:
            if form not in self.kept_forms:
                form.nested_formsets = []  # nobody minds the tiers of a deleted price
        sound = [form for form in self.kept_forms if self._is_sound(form)]
        for fault in version_errors([_draft(form) for form in sound]):
            _, index, *path = fault.path
            assert isinstance(index, int)
            point(sound[index], path, fault.message)

    def price_drafts(self) -> list[PriceDraft]:
        return [_draft(form) for form in self.kept_forms]

    @staticmethod
    def _is_sound(form: Any) -> bool:
        tiers = [tier for formset in _tier_formsets(form) for tier in formset.kept_forms]
        return bool(form.is_valid()) and all(tier.is_valid() for tier in tiers)


class EditedWithItsVersion:
    """Whoever may edit a draft may edit all of it."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class TierInline(EditedWithItsVersion, TabularInline[PriceTier, Price]):
    model = PriceTier
    form = TierForm
    formset = TierFormSet
    fields = ("up_to", "unit_amount", "flat_amount")
    extra = 0
    max_num = 100
    verbose_name = "tier"
    verbose_name_plural = "Tiers, lowest first; the last one has no end"


class PriceInline(EditedWithItsVersion, StackedInline[Price, PlanVersion]):
    model = Price
    form = PriceForm
    formset = PriceFormSet
    fk_name = "version"
    inlines = [TierInline]
    extra = 0
    max_num = 200
    verbose_name = "price"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "key"),
                    "model",
                    ("metric", "filters"),
                    ("unit", "unit_plural"),
                    ("unit_amount", "package_size"),
                    "rows",
                    ("percent_rate", "fixed_amount", "free_events"),
                    ("per_event_minimum", "per_event_maximum"),
                    ("included_quantity", "overage_policy"),
                )
            },
        ),
        (
            "Limits, discount and timing",
            {
                "fields": (
                    ("minimum", "maximum", "discount_percent"),
                    ("timing", "proration"),
                    ("interval", "interval_count"),
                    "tax_category",
                ),
                "classes": ["collapse"],
            },
        ),
    )

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Ask for the metrics once, not once per price, and anew in each request."""
        formset: Any = super().get_formset(request, obj, **kwargs)
        field = formset.form.base_fields["metric"] = deepcopy(formset.form.base_fields["metric"])
        field.loaded = {str(metric.pk): metric for metric in field.queryset}
        field.choices = [
            ("", field.empty_label),
            *((metric.pk, str(metric)) for metric in field.loaded.values()),
        ]
        return formset


def price_initial(price: Price) -> dict[str, Any]:
    """Return a stored price as the form shows it, numbers without trailing zeros."""
    names = [*PriceForm.Meta.labels, "key", "timing"]
    shown = {name: _shown(getattr(price, name)) for name in names}
    return {
        **shown,
        "metric": price.metric_id,
        "filters": lines.write_filters(price.filters),
        "rows": lines.write_rows(price.rows),
    }


def tier_initial(tier: PriceTier) -> dict[str, Any]:
    return {name: _shown(getattr(tier, name)) for name in TierForm.Meta.labels}


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value


def _explain_numbers(fields: Mapping[str, forms.Field]) -> None:
    for field in fields.values():
        if isinstance(field, forms.DecimalField):
            field.error_messages["invalid"] = NOT_A_NUMBER


def _draft(form: Any) -> PriceDraft:
    """Return a form's price and tiers, unsaved."""
    tiers = [tier.instance for formset in _tier_formsets(form) for tier in formset.kept_forms]
    return PriceDraft(form.instance, tiers)


def _tier_formsets(form: Any) -> Iterator[TierFormSet]:
    for nested in getattr(form, "nested_formsets", []):
        yield nested.formset


def point(form: Any, path: Sequence[str | int], message: str) -> None:
    """Put a fault at the field it is about; at the price's model where it has none."""
    match path:
        case ["tiers", int(index), str(name)]:
            tiers = [tier for formset in _tier_formsets(form) for tier in formset.kept_forms]
            tiers[index].add_error(name if name in tiers[index].fields else None, message)
        case [str(name), *_] if name in form.fields:
            form.add_error(name, message)
        case _:
            form.add_error("model", message)
