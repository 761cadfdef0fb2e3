"""What the forms of issuers and customers share: the legal identity on an invoice."""

from __future__ import annotations

from typing import Any

from django import forms

from customers.admin import choices
from customers.admin.choices import CodeField, keep_stored


class PartyForm(forms.ModelForm[Any]):
    currency = CodeField(choices=choices.currencies)
    country = CodeField(choices=choices.countries, required=False)
    time_zone = CodeField(
        choices=choices.time_zones, initial="UTC", help_text="Where days begin and end."
    )
    locale = CodeField(
        choices=choices.locales,
        initial="en",
        label="Language",
        help_text="The language of documents, and how numbers and dates are written.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("currency", "country", "time_zone", "locale"):
            if name in self.fields:
                keep_stored(self.fields[name], self.initial.get(name))
