"""The admin's theme, typed: Unfold ships no types, so type checkers see Django's own classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.html import format_html
from unfold import widgets

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.forms import BaseInlineFormSet as InlineFormSet

    Method = TypeVar("Method", bound=Callable[..., Any])

    def action(
        *,
        description: str,
        permissions: Iterable[str] | None = None,
        url_path: str | None = None,
        icon: str | None = None,
        variant: Any = None,
    ) -> Callable[[Method], Method]: ...

    def display(
        *,
        description: str | None = None,
        ordering: Any = None,
        label: bool | dict[str, str] | None = None,
        boolean: bool | None = None,
        empty_value: str | None = None,
        header: bool | None = None,
    ) -> Callable[[Method], Method]: ...

else:
    from unfold.admin import ModelAdmin, StackedInline, TabularInline
    from unfold.decorators import action, display
    from unfold.forms import PaginationInlineFormSet as InlineFormSet

_SHORT = 60  # characters

__all__ = [
    "InlineFormSet",
    "ModelAdmin",
    "StackedInline",
    "TabularInline",
    "action",
    "checkboxes",
    "date_input",
    "display",
    "number_input",
    "search_select",
    "select",
    "short",
    "text_input",
    "textarea",
]


def short(name: str) -> str:
    """Cut a long name for a list; the whole of it shows where the pointer rests."""
    if len(name) <= _SHORT:
        return name
    return format_html('<span title="{}">{}…</span>', name, name[: _SHORT - 1].rstrip())


def text_input(**attrs: Any) -> Any:
    return widgets.UnfoldAdminTextInputWidget(attrs=attrs)


def number_input(**attrs: Any) -> Any:
    """Return a text input that brings up the number pad: wheels and arrows change no price."""
    return widgets.UnfoldAdminTextInputWidget(
        attrs={"inputmode": "decimal", "autocomplete": "off", **attrs}
    )


def textarea(**attrs: Any) -> Any:
    return widgets.UnfoldAdminTextareaWidget(attrs=attrs)


def select(**attrs: Any) -> Any:
    return widgets.UnfoldAdminSelectWidget(attrs=attrs)


def search_select(**attrs: Any) -> Any:
    """Return a select whose options can be searched by typing."""
    return widgets.UnfoldAdminSelect2Widget(attrs=attrs)


def checkboxes() -> Any:
    return widgets.UnfoldAdminCheckboxSelectMultipleWidget()


def switch() -> Any:
    return widgets.UnfoldBooleanSwitchWidget()


def date_input() -> Any:
    return widgets.UnfoldAdminSingleDateWidget()
