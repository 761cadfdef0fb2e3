"""The form that subscribes a customer to a published version, with the quantities it counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms

from catalog.admin.examples import every
from catalog.models import PlanVersion, Price, PriceModel, VersionStatus
from config.base.admin.theme import date_input, number_input, search_select, select
from config.base.fields import validate_key
from customers.admin import choices
from customers.admin.choices import CodeField
from customers.models import PeriodAlignment, Subscription


class SubscribeForm(forms.ModelForm[Subscription]):
    plan_version = forms.ModelChoiceField(
        PlanVersion.objects.filter(status=VersionStatus.PUBLISHED),
        widget=search_select(),
        label="Plan",
        empty_label="Choose a plan",
        help_text="Published versions only; its currency is the one the customer pays in.",
    )
    alignment = forms.ChoiceField(
        choices=[
            (PeriodAlignment.ANNIVERSARY, "From the start date"),
            (PeriodAlignment.CALENDAR, "With the calendar"),
        ],
        widget=select(),
        label="Periods run",
        help_text="A month from the start date to the next such day, or from the 1st to the last.",
    )
    anchor_on = forms.DateField(
        required=False,
        widget=date_input(),
        label="Counted from",
        help_text="Only where periods don’t count from the start. Empty: from the first paid day.",
    )
    time_zone = CodeField(
        choices=lambda: [("", "The customer’s"), *choices.time_zones()],
        required=False,
        help_text="Where its days begin.",
    )

    class Meta:
        labels = {"starts_on": "Starts on", "issuer": "Who sells", "payer": "Who pays"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = offered_versions()
        self.counted = counted_prices(versions)
        field = self.fields["plan_version"]
        assert isinstance(field, forms.ModelChoiceField)
        field.choices = [
            ("", "Choose a plan"),
            *((version.pk, _label(version)) for version in versions),
        ]
        field.widget.attrs["data-quantities"] = json.dumps(
            {version_id: list(names) for version_id, names in self.counted.items()}
        )
        for version in versions:
            for name, price in self.counted[version.pk].items():
                self.fields[name] = _quantity_field(version, price)

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        validate_key(key)
        return key

    def quantities(self) -> dict[str, Decimal]:
        """Return what was entered for the chosen version, by price key; empty ones count 1."""
        counted = self.counted.get(self.cleaned_data["plan_version"].pk, {})
        return {
            price.key: self.cleaned_data[name]
            for name, price in counted.items()
            if self.cleaned_data.get(name) is not None
        }


def offered_versions() -> list[PlanVersion]:
    """Return the published versions with their prices, a plan's current one first."""
    published = PlanVersion.objects.filter(status=VersionStatus.PUBLISHED)
    return list(published.with_prices().order_by("plan__name", "-is_current", "-number"))


def counted_prices(versions: Iterable[PlanVersion]) -> dict[int, dict[str, Price]]:
    """Return, per version, its prices of so many each (seats), by the name of their field."""
    return {
        version.pk: {
            f"quantity_{price.pk}": price
            for price in version.prices.all()
            if price.metric_id is None and price.model == PriceModel.PER_UNIT
        }
        for version in versions
    }


def _quantity_field(version: PlanVersion, price: Price) -> forms.DecimalField:
    return forms.DecimalField(
        label=price.name,
        help_text=f"How many {f'{price.unit_plural} ' if price.unit else ''}on {version}. Empty: 1.",
        min_value=Decimal(0),
        max_digits=30,
        decimal_places=10,
        required=False,
        initial="1",
        widget=number_input(),
    )


def _label(version: PlanVersion) -> str:
    older = "" if version.is_current else " — an earlier version"
    return f"{version} — {version.currency}, {every(version)}{older}"
