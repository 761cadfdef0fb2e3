"""The customers' guards: keys stay, and phases touch."""

from config.base.guards import Guard, append_only, immutable

_OTHERS = "FROM customers_subscriptionphase p WHERE p.subscription_id = {row}.subscription_id"

_PRICED = (
    "(SELECT v.prices_include_tax FROM catalog_planversion v WHERE v.id = {row}.plan_version_id)"
)
_PRICED_OTHERWISE = f"{_PRICED.format(row='p')} <> {_PRICED.format(row='NEW')}"

GUARDS = [
    *append_only("customers_logo", name="logo"),
    Guard(
        "override_changes_only_its_end",
        "customers_priceoverride",
        "UPDATE",
        immutable("subscription_id", "price_key", "starts_on", "terms"),
    ),
    Guard("override_is_never_deleted", "customers_priceoverride", "DELETE", "TRUE"),
    Guard(
        "applied_coupon_changes_only_its_end",
        "customers_appliedcoupon",
        "UPDATE",
        immutable("subscription_id", "coupon_id", "starts_on"),
    ),
    Guard("applied_coupon_is_never_deleted", "customers_appliedcoupon", "DELETE", "TRUE"),
    Guard("customer_key_never_changes", "customers_customer", "UPDATE", immutable("key")),
    Guard(
        "subscription_identity_never_changes",
        "customers_subscription",
        "UPDATE",
        immutable("key", "customer_id"),
    ),
    Guard(
        "phase_starts_where_the_one_before_ends",
        "customers_subscriptionphase",
        "INSERT",
        f"EXISTS (SELECT 1 {_OTHERS.format(row='NEW')} AND p.ends_on IS NULL) OR "
        "NEW.starts_on IS DISTINCT FROM COALESCE("
        f"(SELECT MAX(p.ends_on) {_OTHERS.format(row='NEW')}), "
        "(SELECT s.starts_on FROM customers_subscription s WHERE s.id = NEW.subscription_id))",
    ),
    Guard(
        "phase_terms_never_change",
        "customers_subscriptionphase",
        "UPDATE",
        f"({immutable('subscription_id', 'starts_on', 'time_zone')}) OR "
        f"({immutable('plan_version_id', 'alignment', 'anchor_on', 'is_paused')}) AND "
        f"EXISTS (SELECT 1 {_OTHERS.format(row='OLD')} AND p.starts_on > OLD.starts_on)",
    ),
    Guard(
        "phase_begins_priced_as_the_others",
        "customers_subscriptionphase",
        "INSERT",
        f"EXISTS (SELECT 1 {_OTHERS.format(row='NEW')} AND {_PRICED_OTHERWISE})",
    ),
    Guard(
        "phase_stays_priced_as_the_others",
        "customers_subscriptionphase",
        "UPDATE",
        f"EXISTS (SELECT 1 {_OTHERS.format(row='OLD')} AND p.id <> OLD.id AND {_PRICED_OTHERWISE})",
    ),
    Guard(
        "phase_leaves_no_gap",
        "customers_subscriptionphase",
        "DELETE",
        f"EXISTS (SELECT 1 {_OTHERS.format(row='OLD')} AND p.starts_on > OLD.starts_on) OR "
        "EXISTS (SELECT 1 FROM customers_subscription s "
        "WHERE s.id = OLD.subscription_id AND s.starts_on = OLD.starts_on)",
    ),
    Guard(
        "phase_end_changes_only_on_the_last",
        "customers_subscriptionphase",
        "UPDATE",
        f"NEW.ends_on IS DISTINCT FROM OLD.ends_on AND EXISTS (SELECT 1 "
        f"{_OTHERS.format(row='OLD')} AND p.starts_on > OLD.starts_on)",
    ),
    Guard(
        "subscription_starts_with_its_first_phase",
        "customers_subscription",
        "UPDATE",
        "NEW.starts_on IS DISTINCT FROM OLD.starts_on AND EXISTS "
        "(SELECT 1 FROM customers_subscriptionphase p WHERE p.subscription_id = OLD.id)",
    ),
]
