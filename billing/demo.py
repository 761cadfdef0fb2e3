"""A small believable company to look at: what it sells, to whom, and what they used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from billing.models import Invoice
from billing.services import runs
from catalog import services as catalog
from catalog.drafts import PriceDraft
from catalog.models import Plan, PlanVersion, Price, PriceTier, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Refusal
from customers import services as customers
from customers.models import Customer, Issuer, Subscription
from customers.periods import first_instant, month_after, zone
from metering.events import make_event
from metering.services.ingestion import ingest

PLAN = "scale"
MONTHS_BILLED = 2
BATCH = 1000


class OtherCustomers(Refusal):
    """The database holds customers that are not the demo's."""

    code = "other_customers"


class Buyer(NamedTuple):
    """A customer of the demo company, and how busy it is on a working day."""

    key: str
    calls_a_day: int
    gigabytes: int
    details: dict[str, Any]


BUYERS = (
    Buyer(
        "fernwood",
        7200,
        80,
        {
            "name": "Fernwood Analytics",
            "legal_name": "Fernwood Analytics GmbH",
            "attention": "Accounts payable",
            "email": "ap@fernwood.example",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "locale": "en-GB",
            "vat_id": "DE136695976",
            "line1": "Speicherstraße 1",
            "postal_code": "20457",
            "city": "Hamburg",
            "country": "DE",
            "purchase_order": "PO-4471",
        },
    ),
    Buyer(
        "brenner",
        2400,
        46,
        {
            "name": "Brenner Logistik",
            "legal_name": "Brenner Logistik GmbH & Co. KG",
            "email": "rechnung@brenner.example",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "locale": "de-DE",
            "line1": "Hafenring 8",
            "postal_code": "28195",
            "city": "Bremen",
            "country": "DE",
        },
    ),
    Buyer(
        "harborline",
        11800,
        130,
        {
            "name": "Harborline",
            "legal_name": "Harborline Inc.",
            "email": "billing@harborline.example",
            "currency": "USD",
            "time_zone": "America/New_York",
            "locale": "en-US",
            "tax_status": "out_of_scope",
            "line1": "200 Wharf Street",
            "postal_code": "02110",
            "city": "Boston",
            "region": "MA",
            "country": "US",
        },
    ),
)


def build(*, now: datetime, whatever_is_there: bool = False) -> list[Invoice]:
    """Fill a fresh database with the demo company and bill its past months; once.

    Its first day is fixed by `now` at the first call; a later call changes nothing.

    :raises OtherCustomers: if there are other customers, unless told that they don't matter.
    """
    own = [buyer.key for buyer in BUYERS]
    if Customer.objects.exclude(key__in=own).exists() and not whatever_is_there:
        raise OtherCustomers("This database has customers of its own: the demo stays out of it.")
    if not Subscription.objects.filter(customer__key__in=own).exists():
        _sell(now=now)
        _use(now=now)
        _bill(now=now)
    return list(Invoice.objects.filter(customer__key__in=own).select_related("customer"))


def _sell(*, now: datetime) -> None:
    issuer = Issuer.objects.order_by("pk").first()
    if issuer and issuer.missing and not Customer.objects.exists():
        customers.change_issuer(issuer_id=issuer.pk, fields=ISSUER, actor=SYSTEM)
    else:
        issuer = Issuer.objects.create(**ISSUER)
    calls = catalog.create_metric(metric=_calls(), actor=SYSTEM)
    storage = catalog.create_metric(metric=_storage(), actor=SYSTEM)
    plan = catalog.create_plan(
        plan=Plan(
            key=PLAN,
            name="Scale",
            description="A base fee, 100,000 API calls and 50 GB-months included.",
        ),
        actor=SYSTEM,
    )
    versions = {}
    for currency in ("EUR", "USD"):
        draft = catalog.draft_version(
            plan_id=plan.pk,
            version=PlanVersion(currency=currency),
            prices=_prices(calls, storage),
            actor=SYSTEM,
        )
        versions[currency] = catalog.publish_version(version_id=draft.pk, at=now, actor=SYSTEM)
    for buyer in BUYERS:
        customer = customers.create_customer(
            customer=Customer(key=buyer.key, issuer=issuer, **buyer.details), actor=SYSTEM
        )
        customers.subscribe(
            key=f"{buyer.key}-scale",
            customer=customer,
            version=versions[customer.currency],
            starts_on=_first_day(now),
            actor=SYSTEM,
        )


ISSUER = {
    "name": "Northlight Data",
    "legal_name": "Northlight Data GmbH",
    "email": "billing@northlight.example",
    "vat_id": "DE129273398",
    "line1": "Torstraße 1",
    "postal_code": "10119",
    "city": "Berlin",
    "country": "DE",
    "time_zone": "Europe/Berlin",
    "tax_status": "standard",
    "standard_tax_rate": Decimal(19),
    "bank_name": "Example Bank",
    "iban": "DE02120300000000202051",
    "bic": "BYLADEM1001",
    "register_entry": "Amtsgericht Berlin HRB 000000",
}


def _calls() -> ValueMetric:
    return ValueMetric(
        key="api_calls",
        name="API calls",
        unit="call",
        unit_plural="calls",
        event_type="api.usage",
        aggregation="sum",
        value_property="calls",
        rounding_scale=0,
        dimensions=["region"],
    )


def _storage() -> ValueMetric:
    return ValueMetric(
        key="storage",
        name="Storage",
        unit="GB-month",
        unit_plural="GB-months",
        event_type="storage.usage",
        aggregation="sum",
        value_property="gb_months",
        rounding_scale=2,
    )


def _prices(calls: ValueMetric, storage: ValueMetric) -> list[PriceDraft]:
    return [
        PriceDraft(
            Price(
                key="base",
                name="Platform base fee",
                model="flat",
                timing="advance",
                unit_amount=Decimal("499.00"),
            )
        ),
        PriceDraft(
            Price(
                key="calls",
                name="API calls",
                metric=calls,
                model="graduated",
                timing="arrears",
                included_quantity=Decimal(100_000),
            ),
            [
                PriceTier(up_to=Decimal(50_000), unit_amount=Decimal("0.002")),
                PriceTier(up_to=None, unit_amount=Decimal("0.0015")),
            ],
        ),
        PriceDraft(
            Price(
                key="storage",
                name="Storage",
                metric=storage,
                model="per_unit",
                timing="arrears",
                unit_amount=Decimal("0.12"),
                included_quantity=Decimal(50),
            )
        ),
    ]


def _first_day(now: datetime) -> date:
    return month_after(now.date().replace(day=1), -MONTHS_BILLED)


def _use(*, now: datetime) -> None:
    for buyer in BUYERS:
        events = _events(buyer, since=_first_day(now), now=now)
        while batch := [event for _, event in zip(range(BATCH), events, strict=False)]:
            ingest(batch, received_at=now)


def _events(buyer: Buyer, *, since: date, now: datetime) -> Iterator[Any]:
    """Yield what a customer used: more on working days, growing by a tenth a month."""
    chance = Random(buyer.key)  # the same story at every run
    day = since
    while (noon := datetime.combine(day, time(12), UTC)) < now:
        pace = (1 + Decimal((day - since).days) / 300) * (
            1 if day.weekday() < 5 else Decimal("0.4")
        )
        for part, region in enumerate(("eu-central", "us-east", "other")):
            share = (Decimal("0.62"), Decimal("0.28"), Decimal("0.10"))[part]
            calls = int(buyer.calls_a_day * pace * share) + chance.randrange(40)
            yield _event(
                buyer, f"calls-{day}-{region}", "api.usage", noon, calls=calls, region=region
            )
        days = (month_after(day.replace(day=1), 1) - day.replace(day=1)).days
        stored = Decimal(buyer.gigabytes * (1 + Decimal((day - since).days) / 400))
        held = (stored / days).quantize(Decimal("0.0001"))
        yield _event(buyer, f"storage-{day}", "storage.usage", noon, gb_months=f"{held}")
        day += timedelta(days=1)


def _event(buyer: Buyer, id: str, type: str, at: datetime, **data: Any) -> Any:
    return make_event(
        source="demo",
        id=f"{buyer.key}-{id}",
        type=type,
        subject=buyer.key,
        subscription=None,
        time=at,
        data=data,
    )


def _bill(*, now: datetime) -> None:
    """Close every month that is over, a day and a few hours after its end."""
    start = _first_day(now)
    for month in range(MONTHS_BILLED + 1):
        boundary = first_instant(month_after(start, month), zone("America/New_York"))
        as_of = min(boundary + timedelta(hours=26), now)
        for buyer in BUYERS:
            customer = Customer.objects.get(key=buyer.key)
            run = runs.start_run(as_of=as_of, now=now, actor=SYSTEM, customer=customer)
            for chunk in runs.chunks(run):
                runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=now)
            runs.finish_if_done(run_id=run.pk, now=now)
