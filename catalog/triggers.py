"""The catalog's guards: keys stay, published versions and the metrics they use are frozen (R19)."""

from collections.abc import Callable

from catalog.models import AddOn, Coupon, PlanVersion, ValueMetric
from config.base.guards import Event, Guard, immutable


def _version_is_published(version_id: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM catalog_planversion v "
        f"WHERE v.id = {version_id} AND v.status <> 'draft')"
    )


def _price_is_published(price_id: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM catalog_price p JOIN catalog_planversion v ON v.id = p.version_id "
        f"WHERE p.id = {price_id} AND v.status <> 'draft')"
    )


def _only_in_a_draft(
    what: str, table: str, is_published: Callable[[str], str], parent: str
) -> list[Guard]:
    """Return the guards that leave the rows of a published version alone."""
    conditions: dict[Event, str] = {
        "INSERT": is_published(f"NEW.{parent}"),
        "UPDATE": f"{is_published(f'OLD.{parent}')} OR {is_published(f'NEW.{parent}')}",
        "DELETE": is_published(f"OLD.{parent}"),
    }
    return [
        Guard(f"{what}_{event.lower()}_only_in_a_draft", table, event, condition)
        for event, condition in conditions.items()
    ]


_METRIC_IS_PUBLISHED = (
    "EXISTS (SELECT 1 FROM catalog_price p JOIN catalog_planversion v ON v.id = p.version_id "
    "WHERE p.metric_id = OLD.id AND v.status <> 'draft')"
)
_A_TIERED_PRICE_IS_NOT_OPEN = (
    "EXISTS (SELECT 1 FROM catalog_price p WHERE p.version_id = NEW.id "
    "AND p.model IN ('graduated', 'volume') AND NOT EXISTS "
    "(SELECT 1 FROM catalog_pricetier t WHERE t.price_id = p.id AND t.up_to IS NULL))"
)

GUARDS = [
    Guard("metric_key_never_changes", "catalog_valuemetric", "UPDATE", immutable("key")),
    Guard(
        "metric_definition_frozen_once_published",
        "catalog_valuemetric",
        "UPDATE",
        f"({immutable(*ValueMetric.DEFINITION)}) AND {_METRIC_IS_PUBLISHED}",
    ),
    Guard("coupon_terms_never_change", "catalog_coupon", "UPDATE", immutable(*Coupon.DEFINITION)),
    Guard("add_on_terms_never_change", "catalog_addon", "UPDATE", immutable(*AddOn.DEFINITION)),
    Guard("metric_answer_never_changes", "catalog_metricanswer", "UPDATE", "TRUE"),
    Guard("metric_decision_never_changes", "catalog_metricdecision", "UPDATE", "TRUE"),
    Guard("plan_key_never_changes", "catalog_plan", "UPDATE", immutable("key")),
    Guard(
        "version_frozen_once_published",
        "catalog_planversion",
        "UPDATE",
        f"OLD.status <> 'draft' AND ({immutable(*PlanVersion.DEFINITION)} OR NEW.status = 'draft' "
        "OR (OLD.status = 'retired' AND NEW.status <> 'retired'))",
    ),
    Guard(
        "version_published_with_every_ladder_open_at_the_top",
        "catalog_planversion",
        "UPDATE",
        "OLD.status = 'draft' AND NEW.status = 'published' AND " + _A_TIERED_PRICE_IS_NOT_OPEN,
    ),
    Guard("version_begins_as_draft", "catalog_planversion", "INSERT", "NEW.status <> 'draft'"),
    Guard("version_kept_once_published", "catalog_planversion", "DELETE", "OLD.status <> 'draft'"),
    *_only_in_a_draft("price", "catalog_price", _version_is_published, "version_id"),
    *_only_in_a_draft("tier", "catalog_pricetier", _price_is_published, "price_id"),
]
