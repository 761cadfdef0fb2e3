"""Value metrics: what is charged for and how it is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from catalog import services
from catalog.admin import lines
from catalog.admin.worksheet import WorksheetPages, worksheet_panel
from catalog.models import (
    LEVELS,
    Aggregation,
    MetricStatus,
    TimeUnit,
    ValueIs,
    ValueMetric,
    VersionStatus,
)
from catalog.money import plain
from catalog.wording import filters_in_words
from catalog.worksheet import due_for_review
from config.base.admin.audited import AuditedAdmin, PanelMaker
from config.base.admin.theme import display, number_input, text_input, textarea
from config.base.audit import Actor

METRIC_PANELS: list[PanelMaker] = [worksheet_panel]

READABLE = {
    "filters": "filters_read",
    "series": "series_read",
    "dimensions": "dimensions_read",
    "unit_divisor": "divisor_read",
}
"""Fields whose stored form is not for reading, and what is shown where they can't be edited."""


class MetricForm(forms.ModelForm[ValueMetric]):
    filters = forms.CharField(
        required=False,
        widget=textarea(rows=3, spellcheck="false", placeholder="model in m-large, m-small"),
        label="Only events where",
        help_text="One condition per line; an event counts if it meets all of them. Write the "
        "property, then eq, in, not_in, exists, gt or lt, then the value: <em>model in m-large, "
        "m-small</em> · <em>status eq ok</em> · <em>region exists</em>. Empty: every event counts.",
    )
    series = forms.CharField(
        required=False,
        widget=text_input(placeholder="database_id"),
        label="Measured separately for each",
        help_text="Properties, separated by commas. Ten databases that each report their size are "
        "measured one by one, then added up.",
    )
    dimensions = forms.CharField(
        required=False,
        widget=text_input(placeholder="model, region"),
        label="Break down by",
        help_text="Properties, separated by commas, by which usage can be shown: model, region.",
    )

    class Meta:
        widgets = {"unit_divisor": number_input(), "unit_cost": number_input()}
        labels = {
            "name": "Name on the invoice",
            "unit": "One is called",
            "unit_plural": "Several are called",
            "kind": "What it shows",
            "event_type": "Type of event",
            "aggregation": "How events become a quantity",
            "value_property": "Property with the value",
            "value_is": "What the value means",
            "time_unit": "Per which time",
            "carry_over": "Carry the last level over into the next period",
            "unit_divisor": "Divide by",
            "rounding_mode": "Round",
            "rounding_scale": "Decimals kept",
            "unit_cost": "What one costs you",
            "internal_name": "Your own name for it",
            "cost_trend": "Where that is going",
            "review_on": "Look at it again on",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, write in (
            ("filters", lines.write_filters),
            ("series", lines.write_words),
            ("dimensions", lines.write_words),
        ):
            value = self.initial.get(name)
            if isinstance(value, list):
                self.initial[name] = write(value)
        for name in ("unit_divisor", "unit_cost"):
            if self.initial.get(name) not in (None, ""):
                self.initial[name] = plain(self.initial[name])

    def clean(self) -> dict[str, Any] | None:
        """Fill in what follows from the aggregation where it was left empty."""
        cleaned = super().clean()
        entered = self.cleaned_data
        if entered.get("aggregation") in LEVELS and "value_is" in self.fields:
            entered["value_is"] = entered.get("value_is") or ValueIs.LEVEL
        if entered.get("aggregation") == Aggregation.TIME_WEIGHTED and "time_unit" in self.fields:
            entered["time_unit"] = entered.get("time_unit") or TimeUnit.PERIOD
        return cleaned

    def clean_filters(self) -> list[dict[str, Any]]:
        try:
            return lines.parse_filters(self.cleaned_data["filters"])
        except lines.UnreadableLine as wrong:
            raise forms.ValidationError(str(wrong)) from None

    def clean_series(self) -> list[str]:
        return lines.parse_words(self.cleaned_data["series"])

    def clean_dimensions(self) -> list[str]:
        return lines.parse_words(self.cleaned_data["dimensions"])


class ReviewFilter(SimpleListFilter):
    title = "review"
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("due", "Due"), ("later", "Later"), ("none", "No date")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ValueMetric]
    ) -> QuerySet[ValueMetric]:
        today = timezone.localdate()
        match self.value():
            case "due":
                return queryset.filter(pk__in=[metric.pk for metric in due_for_review(on=today)])
            case "later":
                return queryset.filter(review_on__gt=today)
            case "none":
                return queryset.filter(review_on=None)
        return queryset


@admin.register(ValueMetric)
class ValueMetricAdmin(WorksheetPages, AuditedAdmin[ValueMetric]):
    form = MetricForm
    list_display = ("name", "key", "measured", "state", "review", "prices_count")
    list_filter = ("status", ReviewFilter, "kind", "aggregation")
    search_fields = ("name", "internal_name", "key", "event_type")
    search_help_text = "Search by name, key or type of event"
    empty_hint = (
        "A metric says what you charge for, in your customers’ words: API calls, gigabytes stored, "
        "tickets solved. Add the first one, then price it in a plan."
    )
    change_form_before_template = "admin/catalog/metric_frozen.html"
    radio_fields = {"kind": admin.VERTICAL}
    fieldsets = (
        (
            "In your customers’ words",
            {"fields": ("name", ("unit", "unit_plural"), "key", "kind")},
        ),
        (
            "Which events count",
            {"fields": ("event_type", "filters")},
        ),
        (
            "How they become a quantity",
            {
                "fields": ("aggregation", "value_property"),
                "description": "Count the events, add up a property of them, or follow a level "
                "such as gigabytes stored.",
            },
        ),
        (
            "For levels only (highest, last, level × time)",
            {"fields": ("value_is", "time_unit", "series", "carry_over"), "classes": ["collapse"]},
        ),
        (
            "Rounding, before the allowance is subtracted",
            {"fields": ("unit_divisor", "rounding_mode", "rounding_scale")},
        ),
        (
            "For you",
            {
                "fields": (
                    "dimensions",
                    "internal_name",
                    ("unit_cost", "cost_trend"),
                    "review_on",
                ),
                "description": "Nothing of this is ever shown to customers.",
            },
        ),
    )
    panels = METRIC_PANELS
    actions = ("compare",)
    actions_detail = ("answer", "decide")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ValueMetric]:
        published = Count("prices", filter=~Q(prices__version__status=VersionStatus.DRAFT))
        return super().get_queryset(request).annotate(published_prices=published)

    def create(self, row: ValueMetric, *, actor: Actor) -> None:
        services.create_metric(metric=row, actor=actor)

    def change(self, row: ValueMetric, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_metric(metric_id=row.pk, fields=fields, actor=actor)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show what can't be edited in words instead of JSON."""
        if obj is None or not self._is_frozen(request, obj):
            return self.fieldsets
        return [
            (title, {**options, "fields": _readable(options["fields"])})
            for title, options in self.fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        if not self._is_frozen(request, obj):
            return ("key",)
        return ("key", *ValueMetric.DEFINITION, *READABLE.values())

    def is_needed(self, row: ValueMetric) -> bool:
        return row.prices.exists()

    def _is_frozen(self, request: HttpRequest, metric: ValueMetric) -> bool:
        return bool(_published_prices(metric)) or not self.has_change_permission(request, metric)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with another metric's definition where the address asks for it."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        pk = initial.pop("like", "")
        model = ValueMetric.objects.filter(pk=pk).first() if str(pk).isdecimal() else None
        if model is None:
            return initial
        names = [name for name in self._field_names() if name != "key"]
        return {name: getattr(model, name) for name in names}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: ValueMetric | None = None,
    ) -> Any:
        if obj is not None and (prices := _published_prices(obj)):
            context["billed_by"] = ", ".join(dict.fromkeys(str(price.version) for price in prices))
            if self.has_add_permission(request):
                context["new_like_this"] = f"{self.url('add')}?like={obj.pk}"
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _field_names(self) -> list[str]:
        names: list[str] = []
        for _, options in self.fieldsets:
            for name in options["fields"]:
                names += [name] if isinstance(name, str) else list(name)
        return names

    @display(description="How it is measured")
    def measured(self, metric: ValueMetric) -> str:
        how = Aggregation(metric.aggregation).label
        what = f" {metric.value_property}" if metric.value_property else ""
        return f"{how}:{what} in {metric.event_type}" if what else f"{how} {metric.event_type}"

    @display(
        description="State",
        ordering="status",
        label={
            "Candidate": "info",
            "Deprioritised": "warning",
            "In use": "success",
            "Retired": "warning",
        },
    )
    def state(self, metric: ValueMetric) -> str:
        return metric.get_status_display()

    @display(description="Review", ordering="review_on", label={"Due": "warning"}, empty_value="—")
    def review(self, metric: ValueMetric) -> Any:
        """Say when its worksheet is looked at again; what is due is marked."""
        if metric.review_on is None or metric.status == MetricStatus.RETIRED:
            return None
        words = f"{metric.review_on:%-d %b %Y}"
        return ("Due", f"due {words}") if metric.review_on <= timezone.localdate() else words

    @display(description="Published prices", ordering="published_prices")
    def prices_count(self, metric: Any) -> int:
        count: int = metric.published_prices
        return count

    @display(description="Only events where")
    def filters_read(self, metric: ValueMetric) -> SafeString | str:
        said = [(sentence,) for sentence in filters_in_words(metric.filters)]
        return format_html_join("", "<div>{}</div>", said) if said else "every event counts"

    @display(description="Measured separately for each", empty_value="—")
    def series_read(self, metric: ValueMetric) -> str:
        return lines.write_words(metric.series)

    @display(description="Divide by")
    def divisor_read(self, metric: ValueMetric) -> str:
        return plain(metric.unit_divisor)

    @display(description="Break down by", empty_value="—")
    def dimensions_read(self, metric: ValueMetric) -> str:
        return lines.write_words(metric.dimensions)


def metric_link(metric: ValueMetric) -> SafeString:
    url = reverse("admin:catalog_valuemetric_change", args=(metric.pk,))
    return format_html('<a href="{}" class="text-link">{}</a>', url, metric.name)


def _readable(names: Iterable[Any]) -> list[Any]:
    return [READABLE.get(name, name) if isinstance(name, str) else name for name in names]


def _published_prices(metric: ValueMetric) -> list[Any]:
    """Return the metric's prices in published or retired versions, asked once per row."""
    if not hasattr(metric, "_published"):
        metric._published = list(  # type: ignore[attr-defined]
            metric.prices.exclude(version__status=VersionStatus.DRAFT)
            .select_related("version__plan")
            .order_by("version_id")
        )
    found: list[Any] = metric._published  # type: ignore[attr-defined]
    return found
