"""What can be chosen where a code is stored: currencies, time zones, countries, languages."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from babel import Locale
from babel.localedata import locale_identifiers
from django import forms

from catalog.money import CURRENCIES
from config.base.admin.theme import search_select
from customers.parties import COUNTRIES
from customers.periods import TIME_ZONES

Choices = list[tuple[str, str]]


def currencies() -> Choices:
    return [("", "Choose a currency"), *((code, f"{code} — {n}") for code, n in CURRENCIES.items())]


def time_zones() -> Choices:
    return [(name, name.replace("_", " ")) for name in TIME_ZONES]


def countries() -> Choices:
    return [("", "Choose a country"), *sorted(COUNTRIES.items(), key=_by_name)]


@lru_cache(maxsize=1)
def locales() -> Choices:
    """Return languages alone and in a country, named in English: de, de-DE."""
    found = []
    for identifier in locale_identifiers():
        locale = Locale.parse(identifier)
        if len(locale.language) == 2 and not locale.script and not locale.variant:
            code = "-".join(part for part in (locale.language, locale.territory) if part)
            found.append((code, f"{locale.get_display_name('en')} — {code}"))
    return sorted(found, key=_by_name)


class CodeField(forms.ChoiceField):
    """A searchable select over `choices`, which also accepts a code that is stored already."""

    def __init__(self, *, choices: Callable[[], Choices], **kwargs: Any) -> None:
        super().__init__(choices=choices, widget=search_select(), **kwargs)


def keep_stored(field: forms.Field, stored: Any) -> None:
    """Offer a stored code that is not among the choices, so that saving does not change it."""
    assert isinstance(field, forms.ChoiceField)
    choices: Choices = list(field.choices)  # type: ignore[arg-type]
    if stored and stored not in dict(choices):
        field.choices = [(stored, stored), *choices]


def _by_name(choice: tuple[str, str]) -> str:
    return choice[1]
