"""Plan versions: drafted with all their prices, published after a look, retired."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from catalog import services
from catalog.admin.drafting import (
    PriceFormSet,
    PriceInline,
    VersionForm,
    fingerprint,
    price_initial,
    tier_initial,
)
from catalog.admin.examples import every, in_currency, price_words, priced_in_words
from catalog.admin.hooks import PUBLISH_NOTES, SUBSCRIBERS
from catalog.admin.plans import plan_link
from catalog.admin.trying import TryingPages, month_panel
from catalog.differences import Side, changes
from catalog.drafts import drafts_of, version_errors
from catalog.linter import warnings
from catalog.models import (
    MetricStatus,
    Plan,
    PlanVersion,
    Price,
    RateCategory,
    VersionStatus,
)
from catalog.money import CURRENCIES
from config.base.admin.audited import Panel
from config.base.admin.theme import action, display
from config.base.audit import Actor
from config.base.errors import Invalid, Refusal

ADD = "catalog.add_planversion"
CHANGE = "catalog.change_planversion"
DISCARD = "catalog.delete_planversion"
PUBLISH = "catalog.publish_planversion"


class DraftChanged(Refusal):
    """The draft is no longer what the person confirmed."""

    code = "draft_changed"


def prices_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """Say what a version charges, in words; a draft that can be edited shows its form instead."""
    if version.status == VersionStatus.DRAFT and request.user.has_perm(CHANGE):
        return None
    drafts = drafts_of(_prices(version))
    if version_errors(drafts):
        return None
    return Panel(
        "Prices",
        "admin/catalog/prices_panel.html",
        {
            "currency": version.currency,
            "tax": priced_in_words(version),
            "prices": [price_words(draft, version.currency) for draft in drafts],
        },
    )


def changes_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """Say what a version charges differently from the one that it replaces."""
    compared = _compared(version)
    if compared is None:
        return None
    title = f"What changes since version {compared['since']}"
    return Panel(title, "admin/catalog/changes_panel.html", compared)


@admin.register(PlanVersion)
class PlanVersionAdmin(TryingPages):
    form = VersionForm
    change_form_template = "admin/catalog/version_form.html"
    list_display = (
        "name",
        "state",
        "currency",
        "billed",
        "price_count",
        "subscribers",
        "published",
    )
    list_filter = ("status", "is_current", "currency", ("plan", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("plan",)
    search_fields = ("plan__name", "plan__key")
    search_help_text = "Search by plan"
    ordering = ("plan__name", "plan_id", "-number")
    empty_hint = (
        "A version holds a plan’s prices in one currency. Add a plan first, then its version."
    )
    autocomplete_fields = ("plan",)
    inlines = [PriceInline]
    panels = [prices_panel, month_panel, changes_panel]
    actions_detail = ("publish", "copy", "retire", "discard")
    terms = (
        "Terms",
        {
            "fields": (
                "currency",
                ("interval", "interval_count"),
                ("trial_days", "minimum_commitment"),
                "refund_unused",
                "tax_category",
                "prices_include_tax",
                "seen",
            )
        },
    )

    class Media:
        js = ("admin/plainbill-prices.js", "admin/plainbill-live.js")

    # Who sees what

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanVersion]:
        versions = super().get_queryset(request).annotate(prices_count=Count("prices"))
        if PlanVersion in SUBSCRIBERS:
            return versions.annotate(subscriber_count=SUBSCRIBERS[PlanVersion]())
        return versions

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.status == VersionStatus.DRAFT)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Drafts are discarded by an action of their own; nothing else goes."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("plan",)}), self.terms)
        if self.has_change_permission(request, obj):
            return ((None, {"fields": ("plan_page", "state")}), self.terms)
        shown = ["plan_page", "state", "paid_in", "billed", "trial", "commitment"]
        if obj.status != VersionStatus.DRAFT:
            shown.append("published")
        if obj.status == VersionStatus.RETIRED:
            shown.append("retired_at")
        return ((None, {"fields": shown}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("plan_page", "state")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        is_editable = obj is None or self.has_change_permission(request, obj)
        return self.inlines if is_editable else []

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        """Fill the formsets of prices and of each price's tiers with what is stored."""
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        kwargs.pop("queryset", None)
        if request.method == "POST" or obj is None or obj.pk is None:
            return kwargs
        stored = _prices(obj)
        if inline.model is Price:
            return {**kwargs, "initial": [price_initial(price) for price in stored]}
        number = prefix.split("-")[1]
        tiers = stored[int(number)].tiers.all() if number.isdecimal() else []
        return {**kwargs, "initial": [tier_initial(tier) for tier in tiers]}

    # Saving a draft

    def save_model(self, request: HttpRequest, obj: PlanVersion, form: Any, change: bool) -> None:
        """Wait for the prices: a version is saved with all of them."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        [prices] = formsets
        assert isinstance(prices, PriceFormSet)
        actor = Actor.user(request.user)
        if not change:
            services.draft_version(
                plan_id=form.instance.plan_id,
                version=form.instance,
                prices=prices.price_drafts(),
                actor=actor,
            )
            return
        services.replace_draft(
            version_id=form.instance.pk,
            terms={name: form.cleaned_data[name] for name in services.TERMS},
            prices=prices.price_drafts(),
            actor=actor,
        )

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        return {}  # the services recorded all of it

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin a plan's next version in the currency of its latest."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        plan = initial.get("plan", "")
        if str(plan).isdecimal():
            latest = PlanVersion.objects.filter(plan=plan).order_by("-number").first()
            if latest:
                initial.setdefault("currency", latest.currency)
        return initial

    def response_add(
        self, request: HttpRequest, obj: PlanVersion, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        said = f"{obj} is saved as a draft. Nobody gets it until it is published."
        self.message_user(request, said, messages.SUCCESS)
        self._warn(request, obj)
        return HttpResponseRedirect(self.url("change", obj.pk))

    def response_change(self, request: HttpRequest, obj: PlanVersion) -> HttpResponse:
        self.message_user(request, f"The draft {obj} is saved.", messages.SUCCESS)
        self._warn(request, obj)
        then = self.url("changelist") if "_save" in request.POST else self.url("change", obj.pk)
        return HttpResponseRedirect(then)

    def _warn(self, request: HttpRequest, version: PlanVersion) -> None:
        """Say what is hardly meant in the prices just saved; nothing of it is in the way."""
        saved = PlanVersion.objects.with_prices().get(pk=version.pk)
        for warning in warnings(saved, drafts_of(list(saved.prices.all()))):
            where = saved.prices.all()[int(warning.path[1])].name
            self.message_user(request, f"{where}: {warning.message}", messages.WARNING)

    # Actions

    def has_publish_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(PUBLISH)

    def has_copy_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(ADD)

    def has_discard_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(DISCARD)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what a version in this state allows."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        status = PlanVersion.objects.filter(pk=object_id).values_list("status", flat=True).first()
        wanted = (
            {
                VersionStatus.DRAFT: {"publish", "copy", "discard"},
                VersionStatus.PUBLISHED: {"copy", "retire"},
                VersionStatus.RETIRED: {"copy"},
            }.get(VersionStatus(status), set())
            if status
            else set()
        )
        return [one for one in offered if one.path in wanted]

    @action(
        description="Publish…",
        url_path="publish",
        permissions=["publish"],
        icon="rocket_launch",
    )
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show in plain words what publishing means; do it when confirmed."""
        version = self.visible_row(request, object_id)
        if version is None:
            return self.missing(request, object_id)
        here = self.url("change", version.pk)
        if request.method == "POST":
            return self.attempt(
                request,
                lambda: _publish_as_seen(
                    version, seen=request.POST.get("seen", ""), actor=Actor.user(request.user)
                ),
                done=f"{version} is published: new subscriptions in {version.currency} get it.",
                then=here,
            )
        try:
            _check_publishable(version)
        except (Refusal, Invalid) as refusal:
            self.tell(request, refusal)
            return HttpResponseRedirect(here)
        drafts = drafts_of(_prices(version))
        return self.confirm(
            request,
            version,
            title=f"Publish {version.plan} version {version.number}?",
            button=f"Publish version {version.number}",
            template="admin/catalog/publish.html",
            currency=version.currency,
            terms=_terms(version),
            prices=[price_words(draft, version.currency) for draft in drafts],
            consequences=_consequences(version),
            compared=_compared(version),
            warnings=[warning.message for warning in warnings(version, drafts)],
            seen=fingerprint(version),
        )

    @action(
        description="Copy to a new draft…",
        url_path="copy",
        permissions=["copy"],
        icon="content_copy",
    )
    def copy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.visible_row(request, object_id)
        if version is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                version,
                title=f"Copy {version} to a new draft?",
                sentences=[
                    f"The draft gets the terms and prices of {version}, for you to change.",
                    "Nothing changes for customers until you publish it.",
                ],
                button="Make the draft",
            )
        made: list[PlanVersion] = []
        actor = Actor.user(request.user)
        response = self.attempt(
            request,
            lambda: made.append(services.copy_version(version_id=version.pk, actor=actor)),
            done=f"Here is the new draft, with the prices of {version}.",
            then=self.url("change", version.pk),
        )
        return HttpResponseRedirect(self.url("change", made[0].pk)) if made else response

    @action(
        description="Retire…",
        url_path="retire",
        permissions=["publish"],
        icon="inventory_2",
    )
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.visible_row(request, object_id)
        if version is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            offered = (
                f"New subscriptions in {version.currency} get it today; after this, nobody new "
                "gets this plan until you publish another version."
                if version.is_current
                else "New subscriptions get a later version already."
            )
            return self.confirm(
                request,
                version,
                title=f"Retire {version}?",
                sentences=[
                    offered,
                    "Customers who are on it keep it, with its prices.",
                    "It can't be brought back; a copy of it can be published as a new version.",
                ],
                button=f"Retire version {version.number}",
                danger=True,
            )
        return self.attempt(
            request,
            lambda: services.retire_version(
                version_id=version.pk, at=timezone.now(), actor=Actor.user(request.user)
            ),
            done=f"{version} is retired.",
            then=self.url("change", version.pk),
        )

    @action(
        description="Discard draft…",
        url_path="discard",
        permissions=["discard"],
        icon="delete",
    )
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.visible_row(request, object_id)
        if version is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                version,
                title=f"Discard the draft {version}?",
                sentences=[
                    "Its terms and prices are deleted. The audit trail keeps what they were.",
                ],
                button="Discard the draft",
                danger=True,
            )
        name, plan_id = str(version), version.plan_id
        return self.attempt(
            request,
            lambda: services.discard_draft(version_id=version.pk, actor=Actor.user(request.user)),
            done=f"The draft {name} is discarded.",
            then=reverse("admin:catalog_plan_change", args=(plan_id,)),
        )

    # What the list and the page say

    @display(description="Version", ordering="plan__name")
    def name(self, version: PlanVersion) -> str:
        return str(version)

    @display(description="Plan")
    def plan_page(self, version: PlanVersion) -> SafeString:
        return plan_link(version.plan)

    @display(
        description="State",
        ordering="status",
        label={"On sale": "success", "Draft": "warning", "Published": "info", "Retired": ""},
    )
    def state(self, version: PlanVersion) -> str:
        return "On sale" if version.is_current else version.get_status_display()

    @display(description="Currency")
    def paid_in(self, version: PlanVersion) -> str:
        return f"{version.currency} — {CURRENCIES.get(version.currency, '')}"

    @display(description="Bills", ordering="interval")
    def billed(self, version: PlanVersion) -> str:
        return every(version)

    @display(description="Trial")
    def trial(self, version: PlanVersion) -> str:
        return f"{version.trial_days} days" if version.trial_days else "none"

    @display(description="Minimum commitment")
    def commitment(self, version: PlanVersion) -> str:
        if version.minimum_commitment is None:
            return "none"
        return in_currency(version.minimum_commitment, version.currency)

    @display(description="Prices", ordering="prices_count")
    def price_count(self, version: Any) -> int:
        count: int = version.prices_count
        return count

    @display(description="Subscriptions", ordering="subscriber_count")
    def subscribers(self, version: Any) -> Any:
        return getattr(version, "subscriber_count", "—")

    @display(description="Published", ordering="published_at", empty_value="—")
    def published(self, version: PlanVersion) -> str | None:
        if version.published_at is None:
            return None
        return f"{version.published_at:%d %b %Y, %H:%M} UTC by {version.published_by}"


def _prices(version: PlanVersion) -> list[Price]:
    """Return a version's prices with metrics and tiers, asked once per row."""
    if not hasattr(version, "_loaded_prices"):
        version._loaded_prices = list(  # type: ignore[attr-defined]
            version.prices.select_related("metric").prefetch_related("tiers")
        )
    prices: list[Price] = version._loaded_prices  # type: ignore[attr-defined]
    return prices


def _compared(version: PlanVersion) -> dict[str, Any] | None:
    """Return the differences from the version that this one replaces; None if it replaces none."""
    before = PlanVersion.objects.with_prices().replaced_by(version)
    if before is None:
        return None
    after = Side(version, drafts_of(_prices(version)))
    found = changes(Side.of(before), after)
    return {"since": before.number, "changes": [change.text for change in found]}


def _check_publishable(version: PlanVersion) -> None:
    """Refuse as `publish_version` would, before anybody reads a page for nothing."""
    if version.status != VersionStatus.DRAFT:
        raise services.VersionNotDraft(
            f"{version} is {version.get_status_display().lower()} already: it never changes again."
        )
    prices = _prices(version)
    if not prices:
        raise Refusal("Add at least one price before publishing.")
    if errors := version_errors(drafts_of(prices)):
        raise Invalid(errors)


def _publish_as_seen(version: PlanVersion, *, seen: str, actor: Actor) -> None:
    """Publish if the draft is still what was confirmed.

    :raises DraftChanged: if somebody saved it meanwhile.
    """
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=version.plan_id)
        version.refresh_from_db(fields=["status"])
        if version.status == VersionStatus.DRAFT and fingerprint(version) != seen:
            raise DraftChanged(
                f"{version} was changed after you opened the page: read it again, then publish."
            )
        services.publish_version(version_id=version.pk, at=timezone.now(), actor=actor)


def _terms(version: PlanVersion) -> list[str]:
    terms = [f"Bills {every(version)} in {version.currency}."]
    if version.trial_days:
        terms.append(f"Begins with {version.trial_days} days of trial: no fee, usage not billed.")
    if version.minimum_commitment is not None:
        amount = in_currency(version.minimum_commitment, version.currency)
        terms.append(f"At least {amount} is billed each time.")
    if not version.refund_unused:
        terms.append("Who cancels at once is credited nothing of what was paid in advance.")
    if version.tax_category != RateCategory.STANDARD:
        terms.append(f"Taxed at the {version.get_tax_category_display().lower()}.")
    if version.prices_include_tax:
        terms.append("Prices include tax: customers pay them as they are, whatever the rate.")
    else:
        terms.append("Prices are before tax, which comes on top.")
    return terms


def _consequences(version: PlanVersion) -> list[str]:
    """Say what else publishing changes."""
    said = ["Its prices can never be changed again: a price change is a new version."]
    current = (
        PlanVersion.objects.current(currency=version.currency).filter(plan=version.plan_id).first()
    )
    if current:
        said.append(
            f"New subscriptions in {version.currency} get it instead of version {current.number}."
        )
    else:
        said.append(f"It becomes the version that new subscriptions in {version.currency} get.")
    said += [sentence for note in PUBLISH_NOTES for sentence in note(version)]
    frozen = {
        price.metric.name: None
        for price in _prices(version)
        if price.metric and price.metric.status == MetricStatus.CANDIDATE
    }
    if frozen:
        said.append(f"How these metrics are measured is frozen: {', '.join(frozen)}.")
    return said
