"""Metrics, plans and versions as Finance makes, reads, publishes and retires them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from catalog import services
from catalog.admin.drafting import fingerprint
from catalog.models import Plan, PlanVersion, Price, ValueMetric
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from tests import factories
from tests.staff import anna, dora, form_errors, leo, page, queries, said, sam

pytestmark = [pytest.mark.django_db, pytest.mark.once]

D = Decimal
METRIC = {
    "name": "API calls",
    "unit": "call",
    "unit_plural": "calls",
    "key": "calls",
    "kind": "consumption",
    "event_type": "api.call",
    "aggregation": "sum",
    "value_property": "calls",
    "unit_divisor": "1",
    "rounding_mode": "half_up",
    "rounding_scale": "0",
}
TERMS = {"currency": "EUR", "interval": "month", "interval_count": "1", "trial_days": "0"}


def action(version: PlanVersion, name: str) -> str:
    return page("catalog_planversion", "change", version.pk).replace("change", name)


def prices_form(*prices: dict[str, Any]) -> dict[str, Any]:
    """Write prices as the browser posts them; "tiers" is a list of (up_to, unit, flat)."""
    data: dict[str, Any] = {"prices-TOTAL_FORMS": len(prices), "prices-INITIAL_FORMS": 0}
    for i, price in enumerate(prices):
        tiers = price.get("tiers", [])
        values = {
            "included_quantity": "0",
            "overage_policy": "bill",
            "proration": "days",
            "discount_percent": "0",
            **price,
        }
        values.pop("tiers", None)
        data |= {f"prices-{i}-{name}": value for name, value in values.items()}
        data[f"prices-{i}-tiers-TOTAL_FORMS"] = len(tiers)
        data[f"prices-{i}-tiers-INITIAL_FORMS"] = 0
        for j, tier in enumerate(tiers):
            for name, value in zip(("up_to", "unit_amount", "flat_amount"), tier, strict=True):
                data[f"prices-{i}-tiers-{j}-{name}"] = value
    return data


def flat(**fields: Any) -> dict[str, Any]:
    return {"key": "base", "name": "Base fee", "model": "flat", "unit_amount": "499", **fields}


def graduated(metric: ValueMetric, **fields: Any) -> dict[str, Any]:
    return {
        "key": "calls",
        "name": "API calls",
        "model": "graduated",
        "metric": metric.pk,
        "included_quantity": "100000",
        "tiers": [("50000", "0.002", "0"), ("", "0.0015", "0")],
        **fields,
    }


def price_errors(response: Any) -> list[dict[str, list[str]]]:
    """Return the errors of each price and, after it, of its tiers."""
    [prices] = response.context["inline_admin_formsets"]
    found = []
    for form in prices.formset.forms:
        found.append(dict(form.errors))
        found += [
            dict(tier.errors) for nested in form.nested_formsets for tier in nested.formset.forms
        ]
    return found


def as_shown(client: Client, version: PlanVersion) -> dict[str, Any]:
    """Return what the draft's page would post if saved untouched."""
    response = client.get(page("catalog_planversion", "change", version.pk))
    form = response.context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    [prices] = response.context["inline_admin_formsets"]
    shown = [prices.formset, *(n.formset for f in prices.formset.forms for n in f.nested_formsets)]
    for formset in shown:
        data |= {f"{formset.prefix}-TOTAL_FORMS": len(formset.forms)}
        data |= {f"{formset.prefix}-INITIAL_FORMS": 0}
        for one in formset.forms:
            data |= {one.add_prefix(name): one[name].value() for name in one.fields}
    return {
        name: "" if value is None else value for name, value in data.items() if value is not False
    }


# Metrics


def test_a_metric_is_made_with_filters_in_lines() -> None:
    client = dora()
    response = client.post(
        page("catalog_valuemetric", "add"),
        {
            **METRIC,
            "filters": "model in m-large, m-small\nstatus eq ok",
            "dimensions": "model, region",
        },
    )
    assert response.status_code == 302
    metric = ValueMetric.objects.get()
    assert metric.filters == [
        {"property": "model", "operator": "in", "values": ["m-large", "m-small"]},
        {"property": "status", "operator": "eq", "values": ["ok"]},
    ]
    assert metric.dimensions == ["model", "region"]
    assert AuditEntry.objects.get().actor_name == "dora"
    shown = client.get(page("catalog_valuemetric", "change", metric.pk))
    assert "model in m-large, m-small\nstatus eq ok" in shown.content.decode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filters": "model is x"}, "filters"),
        ({"key": "a key"}, "key"),
        ({"unit_divisor": "0"}, "__all__"),
        ({"aggregation": "count"}, "__all__"),
        ({"unit_divisor": "1.23456789012345678"}, "unit_divisor"),
    ],
)
def test_a_faulty_metric_is_shown_again(change: dict[str, str], field: str) -> None:
    response = dora().post(page("catalog_valuemetric", "add"), {**METRIC, **change})
    assert response.status_code == 200
    assert field in form_errors(response)


def test_a_level_left_without_its_meaning_is_a_level_per_period() -> None:
    dora().post(page("catalog_valuemetric", "add"), {**METRIC, "aggregation": "time_weighted"})
    metric = ValueMetric.objects.get()
    assert (metric.value_is, metric.time_unit) == ("level", "period")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"series": "db"}, "series"), ({"filters": "calls gt 1e5"}, "filters")],
)
def test_what_the_service_refuses_is_told_at_its_field(change: dict[str, str], field: str) -> None:
    response = dora().post(page("catalog_valuemetric", "add"), {**METRIC, **change})
    assert response.status_code == 200
    assert field in form_errors(response)


def test_a_taken_key_is_told_at_the_key() -> None:
    factories.metric("calls")
    response = dora().post(page("catalog_valuemetric", "add"), METRIC)
    assert "key" in form_errors(response)


def test_a_key_taken_just_now_is_told_at_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.metric("calls")
    monkeypatch.setattr(ValueMetric, "validate_unique", lambda *args, **kwargs: None)
    monkeypatch.setattr(ValueMetric, "validate_constraints", lambda *args, **kwargs: None)
    response = dora().post(page("catalog_valuemetric", "add"), METRIC)
    assert response.status_code == 200
    assert form_errors(response) == {"key": ["The key “calls” is taken by another value metric."]}


def test_a_billed_metric_shows_its_definition_and_why_it_is_frozen() -> None:
    metric = factories.metric(
        "calls", filters=[{"property": "a", "operator": "exists", "values": []}]
    )
    factories.published(factories.graduated(metric, "rest @ 1"))
    client = dora()
    response = client.get(page("catalog_valuemetric", "change", metric.pk))
    assert "so how it is measured can’t change" in said(response)
    assert "a is there at all" in said(response)
    assert set(ValueMetric.DEFINITION).isdisjoint(response.context["adminform"].form.fields)

    client.post(
        page("catalog_valuemetric", "change", metric.pk),
        {**METRIC, "name": "Calls", "event_type": "other"},
    )
    metric.refresh_from_db()
    assert (metric.name, metric.event_type) == ("Calls", "api.call")


def test_a_new_metric_can_begin_like_another() -> None:
    metric = factories.metric("calls", dimensions=["model"])
    form = (
        dora()
        .get(page("catalog_valuemetric", "add"), {"like": metric.pk})
        .context["adminform"]
        .form
    )
    assert form["event_type"].value() == "api.call"
    assert form["dimensions"].value() == "model"
    assert not form["key"].value()


def test_anna_reads_metrics_and_makes_none() -> None:
    metric = factories.metric()
    client = anna()
    assert client.get(page("catalog_valuemetric", "change", metric.pk)).status_code == 200
    assert client.post(page("catalog_valuemetric", "add"), METRIC).status_code == 403


# Plans


def test_a_plan_leads_to_its_first_version() -> None:
    client = anna()
    response = client.post(
        page("catalog_plan", "add"),
        {"name": "Scale", "key": "scale", "description": ""},
        follow=True,
    )
    plan = Plan.objects.get()
    assert "Add the first version" in said(response)
    assert f"{page('catalog_planversion', 'add')}?plan={plan.pk}" in response.content.decode()


def test_a_plan_lists_its_versions_and_who_is_on_them() -> None:
    version = factories.published()
    factories.subscription(version=version)
    factories.draft(plan=version.plan)
    client = anna()
    words = said(client.get(page("catalog_plan", "change", version.plan_id)))
    assert "Version 2 Draft EUR monthly — 0 Version 1 On sale EUR monthly" in words
    row = said(client.get(page("catalog_plan", "changelist")))
    assert "EUR v1 1 1" in row


def test_a_plan_with_versions_is_not_deleted() -> None:
    version = factories.draft()
    assert leo().post(page("catalog_plan", "delete", version.plan_id)).status_code == 403
    empty = factories.plan()
    client = Client()
    client.force_login(_leo())
    client.post(page("catalog_plan", "delete", empty.pk), {"post": "yes"})
    assert not Plan.objects.filter(pk=empty.pk).exists()
    assert AuditEntry.objects.filter(action="deleted", actor_name="leo").count() == 1


def _leo() -> Any:
    from django.contrib.auth.models import User  # noqa: PLC0415

    return User.objects.get(username="leo")


# Drafts


def test_a_version_is_drafted_with_its_prices_and_tiers() -> None:
    plan, metric = factories.plan("scale"), factories.metric("calls")
    client = anna()
    response = client.post(
        page("catalog_planversion", "add"),
        {
            "plan": plan.pk,
            **TERMS,
            **prices_form(
                flat(),
                graduated(metric),
                {"key": "seats", "name": "Seats", "model": "per_unit", "unit_amount": "12"},
                {
                    "key": "mails",
                    "name": "Mails",
                    "model": "package",
                    "metric": metric.pk,
                    "unit_amount": "5",
                    "package_size": "1000",
                },
                {**graduated(metric), "key": "volume", "model": "volume", "maximum": "100"},
            ),
        },
    )
    assert response.status_code == 302
    version = PlanVersion.objects.get()
    assert (version.number, version.status) == (1, "draft")
    assert [(p.key, p.timing, p.position) for p in version.prices.all()] == [
        ("base", "advance", 0),
        ("calls", "arrears", 1),
        ("seats", "advance", 2),
        ("mails", "arrears", 3),
        ("volume", "arrears", 4),
    ]
    tiers = version.prices.get(key="calls").tiers.all()
    assert [(t.up_to, t.unit_amount) for t in tiers] == [
        (D(50000), D("0.002")),
        (None, D("0.0015")),
    ]
    entry = AuditEntry.objects.get(subject_type="catalog.planversion")
    assert (entry.actor_name, entry.action) == ("anna", "created")
    history = client.get(page("catalog_planversion", "history", version.pk))
    assert "Price base › unit amount — 499" in said(history)


def test_every_fault_is_told_at_its_field() -> None:
    plan, metric = factories.plan(), factories.metric()
    response = anna().post(
        page("catalog_planversion", "add"),
        {
            "plan": plan.pk,
            **TERMS,
            **prices_form(
                flat(minimum="10", maximum="5"),
                graduated(metric, tiers=[("50", "1", "0"), ("40", "2", "0"), ("", "3", "0")]),
                flat(unit_amount=""),
                {"key": "mails", "name": "Mails", "model": "package", "unit_amount": "5"},
                graduated(metric, key="open", tiers=[("50", "1", "0")]),
                graduated(metric, key="none", tiers=[]),
            ),
        },
    )
    assert response.status_code == 200
    base, calls, first, second, third, again, mails, open_, only, none = price_errors(response)
    assert "minimum" in base
    assert (calls, first, third) == ({}, {}, {})
    assert second == {"up_to": ["A tier must end above the one before it."]}
    assert set(again) == {"unit_amount", "key"}
    assert set(mails) == {"package_size", "metric"}
    assert (open_, set(only)) == ({}, {"up_to"})
    assert set(none) == {"model"}
    assert not PlanVersion.objects.exists()


def test_a_number_with_thousands_separators_is_explained() -> None:
    plan = factories.plan()
    response = anna().post(
        page("catalog_planversion", "add"),
        {"plan": plan.pk, **TERMS, **prices_form(flat(unit_amount="1,499"))},
    )
    [errors] = price_errors(response)
    assert "without thousands separators" in errors["unit_amount"][0]


def test_a_deleted_price_takes_its_faulty_tiers_along() -> None:
    plan, metric = factories.plan(), factories.metric()
    gone = {**graduated(metric, tiers=[("x", "", "")]), "DELETE": "on"}
    response = anna().post(
        page("catalog_planversion", "add"),
        {"plan": plan.pk, **TERMS, **prices_form(gone, flat())},
    )
    assert response.status_code == 302
    assert [price.key for price in Price.objects.all()] == ["base"]


def test_a_draft_saved_untouched_stays_as_it_is() -> None:
    metric = factories.metric()
    version = factories.draft(
        factories.flat(), factories.graduated(metric, "50000 @ 0.002, rest @ 0.0015")
    )
    before = services.described(version)
    client = anna()
    response = client.post(
        page("catalog_planversion", "change", version.pk), as_shown(client, version)
    )
    assert response.status_code == 302
    version.refresh_from_db()
    assert services.described(version) == before


def test_a_draft_is_changed_and_the_trail_says_what() -> None:
    version = factories.draft()
    client = anna()
    data = as_shown(client, version)
    client.post(
        page("catalog_planversion", "change", version.pk),
        {**data, "trial_days": "14", "prices-0-unit_amount": "599"},
    )
    entry = AuditEntry.objects.filter(action="changed").get()
    assert entry.changes["trial_days"] == [0, 14]
    words = said(client.get(page("catalog_planversion", "history", version.pk)))
    assert "Price base › unit amount 499 599" in words


def test_the_second_of_two_editors_is_told_before_overwriting() -> None:
    version = factories.draft()
    client = anna()
    stale = as_shown(client, version)
    services.replace_draft(
        version_id=version.pk,
        terms={"trial_days": 7},
        prices=[factories.flat(amount="1")],
        actor=SYSTEM,
    )
    address = page("catalog_planversion", "change", version.pk)

    response = client.post(address, stale)
    assert "Somebody else saved this draft" in said(response)
    version.refresh_from_db()
    assert version.trial_days == 7

    fresh = {**stale, "seen": response.context["adminform"].form["seen"].value()}
    assert client.post(address, fresh).status_code == 302
    version.refresh_from_db()
    assert version.trial_days == 0


def test_sam_reads_a_draft_in_words_and_changes_nothing() -> None:
    version = factories.draft()
    client = sam()
    response = client.get(page("catalog_planversion", "change", version.pk))
    assert "A flat fee of 499.00." in said(response)
    assert client.post(page("catalog_planversion", "change", version.pk), {}).status_code == 403
    for name in ("publish", "copy", "discard", "retire"):
        assert client.post(action(version, name)).status_code == 403
        assert f"/{name}/" not in response.content.decode()


def test_a_draft_is_discarded_after_a_question() -> None:
    version = factories.draft()
    client = anna()
    assert "Discard the draft" in said(client.get(action(version, "discard")))
    client.post(action(version, "discard"))
    assert not PlanVersion.objects.exists()
    assert AuditEntry.objects.filter(action="discarded", actor_name="anna").count() == 1


def test_a_published_version_is_copied_to_a_new_draft() -> None:
    version = factories.published(factories.flat())
    response = anna().post(action(version, "copy"), follow=True)
    copy = PlanVersion.objects.get(number=2)
    assert copy.status == "draft"
    assert copy.prices.get().unit_amount == 499
    assert "with the prices of" in said(response)


# Publishing


def test_publishing_is_read_in_plain_words_first() -> None:
    metric = factories.metric("calls", name="API calls")
    old = factories.published(factories.flat())
    factories.subscription(version=old)
    version = factories.draft(
        factories.flat(),
        factories.graduated(
            metric, "50000 @ 0.002, rest @ 0.0015", included_quantity=D(100_000), key="calls"
        ),
        plan=old.plan,
        trial_days=14,
    )
    words = said(leo().get(action(version, "publish")))
    for sentence in (
        "New subscriptions in EUR get it instead of version 1.",
        "1 subscription stays on an earlier version and keeps its prices until you move it.",
        "How these metrics are measured is frozen: API calls.",
        "Bills monthly in EUR. Begins with 14 days of trial",
        "100,000 calls included, then 2.00 per 1,000 for the first 50,000, 1.50 per 1,000 above.",
        "100,000 calls all that is included 0.00",
        "150,000 calls the last of tier 1 100.00",
        "150,001 calls one more; 100.0015 before rounding 100.00",
        "Publish version 2",
    ):
        assert sentence in words, sentence


def publish(client: Client, version: PlanVersion) -> Any:
    shown = client.get(action(version, "publish"))
    return client.post(action(version, "publish"), {"seen": shown.context["seen"]}, follow=True)


def test_leo_publishes_and_the_version_becomes_readable_only() -> None:
    version = factories.draft()
    client = leo()
    response = publish(client, version)
    version.refresh_from_db()
    assert (version.status, version.published_by, version.is_current) == ("published", "leo", True)
    assert "is published: new subscriptions in EUR get it." in said(response)
    assert "by leo" in said(response)
    assert response.context["inline_admin_formsets"] == []
    assert client.post(page("catalog_planversion", "change", version.pk), TERMS).status_code == 403


def test_anna_may_draft_but_not_publish() -> None:
    version = factories.draft()
    client = anna()
    response = client.get(page("catalog_planversion", "change", version.pk))
    assert "/publish/" not in response.content.decode()
    assert client.get(action(version, "publish")).status_code == 403
    assert client.post(action(version, "publish")).status_code == 403
    version.refresh_from_db()
    assert version.status == "draft"


def test_the_second_of_two_publishers_is_told() -> None:
    version = factories.draft()
    client = leo()
    seen = client.get(action(version, "publish")).context["seen"]
    services.publish_version(version_id=version.pk, at=factories.AT, actor=SYSTEM)

    response = client.post(action(version, "publish"), {"seen": seen}, follow=True)
    assert "is published and never changes" in said(response)
    assert "already: it never changes" in said(client.get(action(version, "publish"), follow=True))
    version.refresh_from_db()
    assert version.published_by == "plainbill"


def test_a_draft_changed_after_it_was_read_is_not_published() -> None:
    version = factories.draft()
    client = leo()
    seen = client.get(action(version, "publish")).context["seen"]
    services.replace_draft(
        version_id=version.pk, terms={}, prices=[factories.flat(amount="1")], actor=SYSTEM
    )
    response = client.post(action(version, "publish"), {"seen": seen}, follow=True)
    assert "was changed after you opened the page" in said(response)
    version.refresh_from_db()
    assert version.status == "draft"


def test_a_draft_without_prices_is_not_published() -> None:
    plan = factories.plan()
    version = services.draft_version(
        plan_id=plan.pk, version=PlanVersion(currency="EUR"), prices=[], actor=SYSTEM
    )
    client = leo()
    assert "Add at least one price" in said(client.get(action(version, "publish"), follow=True))
    confirmed = {"seen": fingerprint(version)}
    words = said(client.post(action(version, "publish"), confirmed, follow=True))
    assert "Add at least one price" in words


def test_a_version_is_retired_once() -> None:
    version = factories.published()
    client = leo()
    assert "Customers who are on it keep it" in said(client.get(action(version, "retire")))
    client.post(action(version, "retire"))
    version.refresh_from_db()
    assert version.status == "retired"
    assert "is retired" in said(client.post(action(version, "retire"), follow=True))
    assert AuditEntry.objects.filter(action="retired").count() == 1


def test_a_draft_takes_as_many_queries_with_many_prices() -> None:
    metric = factories.metric()
    small = factories.draft(
        *(factories.graduated(metric, "1 @ 1, rest @ 1", key=f"k{i}") for i in range(2))
    )
    large = factories.draft(
        *(factories.graduated(metric, "1 @ 1, rest @ 1", key=f"k{i}") for i in range(9))
    )
    client = leo()

    def asked(version: PlanVersion) -> tuple[int, int]:
        form = page("catalog_planversion", "change", version.pk)
        return queries(lambda: client.get(form)), queries(
            lambda: client.get(action(version, "publish"))
        )

    asked(small)  # content types and the like are cached
    assert asked(large) == asked(small)
