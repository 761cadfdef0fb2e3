"""Start from an example: ten real shapes of prices, read and worked out before one is imported."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from catalog import money, services
from catalog.admin.examples import LOCALE, in_currency, price_words
from catalog.linter import warnings
from catalog.models import Plan, PlanVersion
from catalog.money import CURRENCIES
from catalog.presets import KEYS, Preset, preset, presets, worked_month
from catalog.wording import amount, number
from config.base.admin.audited import AuditedAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import action, select
from config.base.audit import Actor

USUAL_CURRENCY = "EUR"
NEEDED = {
    "catalog.add_plan": "plans",
    "catalog.add_planversion": "plan versions",
    "catalog.add_valuemetric": "value metrics",
}


class CurrencyForm(forms.Form):
    currency = forms.ChoiceField(
        choices=[(code, f"{code} — {name}") for code, name in sorted(CURRENCIES.items())],
        widget=select(),
        label="Amounts are in",
        help_text="The numbers stay as they are: nothing is converted.",
    )


class PresetPages(AuditedAdmin[Plan]):
    """What the admin of plans offers of examples."""

    actions_list = ("examples",)

    def get_urls(self) -> list[URLPattern]:
        one = self.admin_site.admin_view(self.example)
        return [
            path("example/<str:key>/", one, name="catalog_plan_example"),
            *super().get_urls(),
        ]

    def has_examples_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("catalog.add_plan")

    @action(
        description="Start from an example",
        url_path="examples",
        permissions=["examples"],
        icon="auto_stories",
    )
    def examples(self, request: HttpRequest) -> HttpResponse:
        """Show the examples in a sentence each, with their rules."""
        context = {
            **self.page_context(request, "Start from an example", None),
            "examples": [_card(one) for one in presets()],
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/catalog/presets.html", context)

    def example(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show what an example charges and a month of it worked out; import it when confirmed."""
        if not self.has_examples_permission(request):
            raise PermissionDenied
        if key not in KEYS:
            self.message_user(request, f"There is no example {key}.", messages.WARNING)
            return HttpResponseRedirect(_all_url())
        chosen = preset(key)
        given = request.POST if request.method == "POST" else request.GET
        form = CurrencyForm(given if "currency" in given else {"currency": _usual_currency()})
        if request.method == "POST" and form.is_valid() and not _lacking(request, chosen):
            return self._import(request, chosen, form.cleaned_data["currency"])
        currency = form.cleaned_data["currency"] if form.is_valid() else _usual_currency()
        context = {
            **self.page_context(request, f"{chosen.name}: an example", None),
            **_shown(chosen, currency),
            "form": form,
            "missing": _lacking(request, chosen),
            "taken": services.taken_keys(chosen),
            "plan_url": _plan_url(chosen),
            "back": _all_url(),
        }
        return TemplateResponse(request, "admin/catalog/preset.html", context)

    def _import(self, request: HttpRequest, chosen: Preset, currency: str) -> HttpResponse:
        try:
            version = services.import_preset(
                key=chosen.key, currency=currency, actor=Actor.user(request.user)
            )
        except REFUSED as refusal:
            self.tell(request, refusal)
            return HttpResponseRedirect(_url(chosen))
        said = f"{version} is a draft in {currency}. Change what differs for you, then publish it."
        self.message_user(request, said, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:catalog_planversion_change", args=(version.pk,)))


def _card(one: Preset) -> dict[str, Any]:
    drafts = one.new_prices(one.new_metrics())
    words = [price_words(draft, USUAL_CURRENCY) for draft in drafts]
    return {
        "name": one.name,
        "about": one.about,
        "url": _url(one),
        "prices": [(price.name, price.rule) for price in words],
    }


def _shown(chosen: Preset, currency: str) -> dict[str, Any]:
    """Return what a person reads of an example before it is imported."""
    metrics = chosen.new_metrics()
    drafts = chosen.new_prices(metrics)
    exponent = money.exponent(currency)
    month = worked_month(chosen, currency=currency, locale=LOCALE)
    return {
        "preset": chosen,
        "currency": currency,
        "metrics": [
            {
                "name": metric.name,
                "key": metric.key,
                "how": metric.get_aggregation_display(),
                "property": metric.value_property,
                "event_type": metric.event_type,
            }
            for metric in metrics
        ],
        "prices": [price_words(draft, currency) for draft in drafts],
        "warnings": [warning.message for warning in warnings(chosen.new_version(currency), drafts)],
        "month": [
            {
                "name": line.name,
                "amount": amount(Decimal(line.explanation["amount"]), exponent, LOCALE),
                "rows": [_row(step, exponent) for step in line.explanation["steps"]],
                "minimum": _shortfall(line.explanation, exponent),
            }
            for line in month.lines
        ],
        "total": in_currency(money.round_half_up(month.total, exponent), currency),
    }


def _row(step: dict[str, Any], exponent: int) -> dict[str, str]:
    return {
        "label": step["label"],
        "quantity": number(Decimal(step["quantity"]), LOCALE),
        "amount": amount(Decimal(step["amount"]), exponent, LOCALE),
    }


def _shortfall(explanation: Mapping[str, Any], exponent: int) -> str:
    """Write what a minimum adds; nothing where it adds nothing."""
    missing = Decimal(explanation["shortfall"])
    return amount(missing, exponent, LOCALE) if missing else ""


def _usual_currency() -> str:
    """Return the currency of the newest version, in which the next is likely to be."""
    newest = PlanVersion.objects.order_by("-pk").values_list("currency", flat=True).first()
    return newest or USUAL_CURRENCY


def _lacking(request: HttpRequest, chosen: Preset) -> list[str]:
    """Name what the person may not add of what the example is made of."""
    return [
        what
        for permission, what in NEEDED.items()
        if not request.user.has_perm(permission)
        and (chosen.metrics or permission != "catalog.add_valuemetric")
    ]


def _url(one: Preset) -> str:
    return reverse("admin:catalog_plan_example", args=(one.key,))


def _plan_url(chosen: Preset) -> str:
    """Return where the plan of its key is; nothing where there is none."""
    plan = Plan.objects.filter(key=chosen.key).first()
    return reverse("admin:catalog_plan_change", args=(plan.pk,)) if plan else ""


def _all_url() -> str:
    return reverse("admin:catalog_plan_examples")
