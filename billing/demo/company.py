"""The demo company on paper: what it sells, who buys it, and since when. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from catalog.drafts import PriceDraft
from catalog.models import Price, PriceTier, ValueMetric
from customers.periods import Alignment, month_after

DISPUTED = Decimal(50)
DISPUTED_BECAUSE = "The calls of the last weekend came from a test that you asked for."
MONTHS = 6  # of history before the month that runs

ISSUER: dict[str, Any] = {
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
    "electronic_invoices": True,
}

METRICS: dict[str, dict[str, Any]] = {
    "api_calls": {
        "name": "API calls",
        "unit": "call",
        "unit_plural": "calls",
        "event_type": "api.usage",
        "aggregation": "sum",
        "value_property": "calls",
        "rounding_scale": 0,
        "dimensions": ["region"],
        "unit_cost": Decimal("0.0006"),
    },
    "storage": {
        "name": "Storage",
        "unit": "GB-month",
        "unit_plural": "GB-months",
        "event_type": "storage.usage",
        "aggregation": "sum",
        "value_property": "gb_months",
        "rounding_scale": 2,
    },
    "tokens": {
        "name": "Model tokens",
        "unit": "million",
        "unit_plural": "million",
        "event_type": "model.tokens",
        "aggregation": "sum",
        "value_property": "tokens",
        "unit_divisor": Decimal(1_000_000),
        "rounding_scale": 2,
        "dimensions": ["model", "direction"],
        "unit_cost": Decimal("2.10"),
    },
    "documents": {
        "name": "Documents read",
        "unit": "document",
        "unit_plural": "documents",
        "kind": "workflow",
        "event_type": "document.read",
        "aggregation": "count",
        "rounding_scale": 0,
        "dimensions": ["kind"],
    },
}

REVIEWED: dict[str, int] = {"documents": 9}
"""In how many days a metric's worksheet is to be looked at again."""

CANDIDATE: dict[str, Any] = {
    "key": "decisions",
    "name": "Decisions automated",
    "internal_name": "auto-approved documents",
    "unit": "decision",
    "unit_plural": "decisions",
    "kind": "outcome",
    "event_type": "decision.made",
    "aggregation": "count",
    "rounding_scale": 0,
}
ANSWERS: dict[str, tuple[str, str]] = {
    "measurable": ("unsure", "Customers overrule some of them days later."),
    "value": ("yes", "Six of eight customers named it as what they pay for."),
    "understandable": ("yes", "Procurement asked for it in two tenders."),
}

PLANS = {
    "scale": (
        "Scale",
        "A base fee that covers 100,000 API calls and 50 GB-months of storage; more is charged "
        "as it is used.",
    ),
    "team": ("Team", "A workspace for everybody: a price per seat and month, paid in advance."),
    "flow": ("Flow", "No base fee: model tokens and documents, charged as they are used."),
    "solo": (
        "Solo",
        "For one person at home: a fee that covers 200 documents a month. Prices include tax.",
    ),
}


PROMOTION: dict[str, Any] = {
    "key": "welcome",
    "name": "Welcome offer",
    "percent": Decimal(20),
    "duration": "periods",
    "periods": 3,
}


ADD_ONS: dict[str, dict[str, Any]] = {
    "onboarding": {
        "name": "Onboarding with a trainer",
        "unit_amount": Decimal(900),
        "currency": "EUR",
        "unit": "day",
        "unit_plural": "days",
    },
    "data-export": {"name": "Data export", "unit_amount": Decimal(240), "currency": "EUR"},
}


class Sale(NamedTuple):
    """An add-on that somebody buys."""

    subscription: str
    add_on: str
    days_ago: int
    quantity: int = 1
    note: str = ""
    is_at_once: bool = False


SALES = (
    Sale("brenner-scale", "onboarding", 70, 2, "Bremen, for dispatch and invoicing", True),
    Sale("fernwood-scale", "data-export", 6, note="All events of last year, as CSV"),
)


class Rates(NamedTuple):
    """What the plans cost in one currency, as texts of exact decimals."""

    base: str
    call: str
    further_call: str
    gigabyte: str
    seat: str
    tokens: tuple[str, str, str]
    documents: str
    least: str


RATES = {
    "EUR": Rates("499", "0.002", "0.0015", "0.12", "29", ("9", "7.50", "6"), "5", "49"),
    "USD": Rates("549", "0.0022", "0.0016", "0.13", "32", ("10", "8", "6.50"), "6", "55"),
    "GBP": Rates("429", "0.0018", "0.0013", "0.10", "25", ("8", "6.50", "5"), "4.50", "42"),
    "JPY": Rates("79000", "0.32", "0.24", "19", "4600", ("1500", "1250", "1000"), "800", "8000"),
}


class Offer(NamedTuple):
    """A version of a plan in one currency, in the order of publishing."""

    plan: str
    currency: str
    trial_days: int = 0
    published_days_ago: int = 0  # 0: before the story begins
    include_tax: bool = False


OFFERS = (
    *(Offer("scale", currency) for currency in ("EUR", "USD", "GBP")),
    *(Offer("team", currency) for currency in ("EUR", "USD", "GBP")),
    *(Offer("flow", currency) for currency in ("EUR", "USD", "JPY")),
    Offer("team", "EUR", trial_days=14, published_days_ago=40),
    Offer("solo", "EUR", include_tax=True),
)


def prices(offer: Offer, metrics: dict[str, ValueMetric]) -> list[PriceDraft]:
    """Return the unsaved prices of an offer."""
    rates = RATES[offer.currency]
    match offer.plan:
        case "scale":
            return [
                _fee("base", "Platform base fee", "flat", rates.base),
                PriceDraft(
                    Price(
                        key="calls",
                        name="API calls",
                        metric=metrics["api_calls"],
                        model="graduated",
                        timing="arrears",
                        included_quantity=Decimal(100_000),
                        overage_policy="notify",
                    ),
                    _ladder({"50000": rates.call, "": rates.further_call}),
                ),
                PriceDraft(
                    Price(
                        key="storage",
                        name="Storage",
                        metric=metrics["storage"],
                        model="per_unit",
                        timing="arrears",
                        unit_amount=Decimal(rates.gigabyte),
                        included_quantity=Decimal(50),
                    )
                ),
            ]
        case "team":
            return [
                _fee("seats", "Seats", "per_unit", rates.seat, unit="seat", unit_plural="seats")
            ]
        case "solo":
            return [
                _fee("base", "Solo", "flat", "9.99"),
                PriceDraft(
                    Price(
                        key="documents",
                        name="Documents read",
                        metric=metrics["documents"],
                        model="per_unit",
                        timing="arrears",
                        unit_amount=Decimal("0.03"),
                        included_quantity=Decimal(200),
                    )
                ),
            ]
        case _:
            first, second, rest = rates.tokens
            return [
                PriceDraft(
                    Price(
                        key="tokens",
                        name="Model tokens",
                        metric=metrics["tokens"],
                        model="graduated",
                        timing="arrears",
                        minimum=Decimal(rates.least),
                    ),
                    _ladder({"20": first, "100": second, "": rest}),
                ),
                PriceDraft(
                    Price(
                        key="documents",
                        name="Documents read",
                        metric=metrics["documents"],
                        model="package",
                        timing="arrears",
                        unit_amount=Decimal(rates.documents),
                        package_size=Decimal(250),
                    )
                ),
            ]


def _fee(key: str, name: str, model: str, amount: str, **fields: str) -> PriceDraft:
    return PriceDraft(
        Price(
            key=key,
            name=name,
            model=model,
            timing="advance",
            unit_amount=Decimal(amount),
            **fields,
        )
    )


def _ladder(steps: dict[str, str]) -> list[PriceTier]:
    return [
        PriceTier(up_to=Decimal(bound) if bound else None, unit_amount=Decimal(amount))
        for bound, amount in steps.items()
    ]


def first_day(reference: date) -> date:
    """Return the day on which the story begins."""
    return month_after(reference.replace(day=1), -MONTHS)


class Start(NamedTuple):
    """When a subscription begins, seen from the reference day, and what its periods count from."""

    alignment: Alignment
    months_ago: int | None = None  # empty: as long as the story is
    day: int = 1  # of the month, on the calendar
    days_in: int = 0  # since the running period began, where periods count from a date

    def on(self, reference: date) -> date:
        months = MONTHS if self.months_ago is None else self.months_ago
        if self.alignment == Alignment.CALENDAR:
            first = month_after(reference.replace(day=1), -months)
            return first + timedelta(days=self.day - 1)
        anchor = self.anchor(reference)
        assert anchor is not None
        return month_after(anchor, -months)

    def anchor(self, reference: date) -> date | None:
        if self.alignment == Alignment.CALENDAR:
            return None
        return reference - timedelta(days=self.days_in)


BY_CALENDAR = Start(Alignment.CALENDAR)


class Deal(NamedTuple):
    """A subscription, and what became of it: days are counted back from the reference day."""

    plan: str
    start: Start = BY_CALENDAR
    seats: int = 0
    seats_later: tuple[tuple[int, int], ...] = ()  # (days ago, seats from then on)
    moves_to: tuple[int, str] | None = None  # (days ago, plan)
    ended_months_ago: int | None = None  # on the 1st of that month
    has_trial: bool = False
    has_promotion: bool = False


@dataclass(frozen=True)
class Habit:
    """How much of something a customer uses: so much a working day, split over a dimension.

    Shares, weekends and spikes are in percent. Growth is what 30 days add, in percent of the start.
    """

    metric: str
    a_day: int
    growth: int = 0
    weekend: int = 35
    split: dict[str, int] = field(default_factory=dict)
    spikes: dict[int, int] = field(default_factory=dict)  # days ago: percent


@dataclass(frozen=True)
class Buyer:
    """A customer with its people, subscriptions and habits."""

    key: str
    details: dict[str, Any]
    deals: tuple[Deal, ...]
    contacts: tuple[tuple[str, str], ...]
    habits: tuple[Habit, ...] = ()

    def since(self, reference: date) -> date:
        """Its first day of service."""
        return min(deal.start.on(reference) for deal in self.deals)


REGIONS = {"eu-central": 62, "us-east": 28, "ap-south": 10}
MODELS = {"north-large": 45, "north-small": 40, "north-embed": 15}
KINDS = {"invoice": 60, "receipt": 30, "contract": 10}

ADVISER = ("Ines Hartmann", "ines@hartmann-advisers.example")  # a contact at two customers

BUYERS = (
    Buyer(
        "fernwood",
        {
            "name": "Fernwood Analytics",
            "legal_name": "Fernwood Analytics GmbH",
            "attention": "Accounts payable",
            "email": "ap@fernwood.example",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "locale": "en-GB",
            "vat_id": "DE136695976",
            "line1": "Speicherstraße 12",
            "postal_code": "20457",
            "city": "Hamburg",
            "country": "DE",
            "purchase_order": "PO-4471",
            "segment": "Analytics",
        },
        (Deal("scale"),),
        (("Marlene Voss", "marlene@fernwood.example"), ADVISER),
        (
            Habit("api_calls", 4300, growth=9, split=REGIONS, spikes={47: 260, 46: 190, 12: 230}),
            Habit("storage", 61, growth=6),
        ),
    ),
    Buyer(
        "brenner",
        {
            "name": "Brenner Logistik",
            "legal_name": "Brenner Logistik GmbH & Co. KG",
            "email": "rechnung@brenner.example",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "locale": "de-DE",
            "vat_id": "DE811907980",
            "line1": "Hafenring 8",
            "postal_code": "28195",
            "city": "Bremen",
            "country": "DE",
            "payment_terms_days": 14,
            "consolidation": "one_invoice",
            "segment": "Logistics",
        },
        (Deal("scale"), Deal("team", seats=9)),
        (("Jörg Brenner", "joerg@brenner.example"), ADVISER),
        (
            Habit("api_calls", 2900, growth=4, weekend=60, split={"eu-central": 100}),
            Habit("storage", 44, growth=3),
        ),
    ),
    Buyer(
        "harborline",
        {
            "name": "Harborline",
            "legal_name": "Harborline Inc.",
            "email": "billing@harborline.example",
            "currency": "USD",
            "time_zone": "America/New_York",
            "locale": "en-US",
            "line1": "200 Wharf Street",
            "postal_code": "02110",
            "city": "Boston",
            "region": "MA",
            "country": "US",
            "segment": "Logistics",
        },
        (Deal("scale"),),
        (("Dana Whitfield", "dana@harborline.example"),),
        (
            Habit(
                "api_calls",
                8200,
                growth=14,
                split={"us-east": 74, "eu-central": 19, "ap-south": 7},
                spikes={96: 320, 20: 280, 19: 210},
            ),
            Habit("storage", 118, growth=8),
        ),
    ),
    Buyer(
        "alder-row",
        {
            "name": "Alder & Row",
            "legal_name": "Alder & Row Ltd",
            "email": "accounts@alder-row.example",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "locale": "en-GB",
            "line1": "18 Tanner Lane",
            "postal_code": "SE1 3PL",
            "city": "London",
            "country": "GB",
            "segment": "Retail",
        },
        (Deal("scale", Start(Alignment.ANNIVERSARY, days_in=24)),),
        (("Priya Nair", "priya@alder-row.example"),),
        (
            Habit("api_calls", 3600, growth=8, weekend=90, split=REGIONS, spikes={9: 240}),
            Habit("storage", 52, growth=2),
        ),
    ),
    Buyer(
        "kaede",
        {
            "name": "Kaede Research",
            "legal_name": "株式会社カエデリサーチ",
            "email": "keiri@kaede.example",
            "currency": "JPY",
            "time_zone": "Asia/Tokyo",
            "locale": "ja-JP",
            "line1": "丸の内三丁目2番1号",
            "postal_code": "100-0005",
            "city": "東京都千代田区",
            "country": "JP",
            "segment": "Research",
        },
        (Deal("flow"),),
        (("佐藤 恵子", "keiko@kaede.example"),),
        (
            Habit("tokens", 2_900_000, growth=11, weekend=20, split=MODELS),
            Habit("documents", 34, growth=5, weekend=15, split=KINDS),
        ),
    ),
    Buyer(
        "lumiere",
        {
            "name": "Atelier Lumière",
            "legal_name": "Atelier Lumière SARL",
            "email": "compta@lumiere.example",
            "currency": "EUR",
            "time_zone": "Europe/Paris",
            "locale": "fr-FR",
            "vat_id": "FR40303265045",
            "line1": "27 rue des Tisserands",
            "postal_code": "69001",
            "city": "Lyon",
            "country": "FR",
            "segment": "Media",
        },
        (Deal("flow"),),
        (("Camille Roche", "camille@lumiere.example"),),
        (
            Habit("tokens", 140_000, growth=22, weekend=70, split=MODELS, spikes={33: 420}),
            Habit("documents", 9, growth=3, weekend=10, split=KINDS),
        ),
    ),
    Buyer(
        "polder",
        {
            "name": "Polder Mobility",
            "legal_name": "Polder Mobility B.V.",
            "email": "facturen@polder.example",
            "currency": "EUR",
            "time_zone": "Europe/Amsterdam",
            "locale": "nl-NL",
            "vat_id": "NL004495445B01",
            "line1": "Kanaalweg 44",
            "postal_code": "3526 KL",
            "city": "Utrecht",
            "country": "NL",
            "purchase_order": "INK-2208",
            "segment": "Mobility",
        },
        (Deal("team", seats=12, seats_later=((100, 15), (52, 20), (11, 18))),),
        (("Sanne de Wit", "sanne@polder.example"),),
    ),
    Buyer(
        "sundby",
        {
            "name": "Sundby & Holm",
            "legal_name": "Sundby & Holm ApS",
            "email": "bogholderi@sundby.example",
            "currency": "EUR",
            "time_zone": "Europe/Copenhagen",
            "locale": "da-DK",
            "vat_id": "DK13585628",
            "line1": "Havnegade 5",
            "postal_code": "1058",
            "city": "København K",
            "country": "DK",
            "segment": "Retail",
        },
        (
            Deal("scale", Start(Alignment.ANNIVERSARY, days_in=18)),
            Deal("team", seats=6, seats_later=((45, 8),)),
        ),
        (("Mads Holm", "mads@sundby.example"),),
        (
            Habit("api_calls", 3500, growth=4, weekend=85, split={"eu-central": 88, "us-east": 12}),
            Habit("storage", 38, growth=3),
        ),
    ),
    Buyer(
        "cascade",
        {
            "name": "Cascade Robotics",
            "legal_name": "Cascade Robotics Inc.",
            "email": "ap@cascade.example",
            "currency": "USD",
            "time_zone": "America/Los_Angeles",
            "locale": "en-US",
            "line1": "1150 Pike Street",
            "postal_code": "98101",
            "city": "Seattle",
            "region": "WA",
            "country": "US",
            "segment": "Industry",
        },
        (Deal("scale", Start(Alignment.CALENDAR, months_ago=2, day=17), has_promotion=True),),
        (("Owen Tran", "owen@cascade.example"),),
        (
            Habit("api_calls", 5100, growth=6, weekend=50, split={"us-east": 70, "ap-south": 30}),
            Habit("storage", 33, growth=20),
        ),
    ),
    Buyer(
        "meridian",
        {
            "name": "Meridian Care",
            "legal_name": "Meridian Care Group plc",
            "attention": "Procurement",
            "email": "procurement@meridian.example",
            "invoices_by_email": False,
            "currency": "GBP",
            "time_zone": "Europe/London",
            "locale": "en-GB",
            "line1": "2 Queen's Gardens",
            "postal_code": "LS1 4AP",
            "city": "Leeds",
            "country": "GB",
            "payment_terms_days": 60,
            "manual_approval": True,
            "segment": "Health",
        },
        (Deal("team", seats=40, moves_to=(5, "scale")),),
        (("Thomas Ashworth", "t.ashworth@meridian.example"),),
    ),
    Buyer(
        "oakline",
        {
            "name": "Oakline Studio",
            "legal_name": "Oakline Studio KG",
            "email": "office@oakline.example",
            "currency": "EUR",
            "time_zone": "Europe/Vienna",
            "locale": "de-AT",
            "vat_id": "ATU13585627",
            "line1": "Mariengasse 9",
            "postal_code": "8020",
            "city": "Graz",
            "country": "AT",
            "segment": "Media",
        },
        (Deal("team", Start(Alignment.ANNIVERSARY, months_ago=0, days_in=6), 4, has_trial=True),),
        (("Lena Eichinger", "lena@oakline.example"),),
    ),
    Buyer(
        "tidewater",
        {
            "name": "Tidewater Events",
            "legal_name": "Tidewater Events LLC",
            "email": "books@tidewater.example",
            "currency": "USD",
            "time_zone": "America/New_York",
            "locale": "en-US",
            "line1": "71 Battery Park Road",
            "postal_code": "23510",
            "city": "Norfolk",
            "region": "VA",
            "country": "US",
            "segment": "Media",
        },
        (Deal("team", seats=5, ended_months_ago=1),),
        (("Rosa Delgado", "rosa@tidewater.example"),),
    ),
    Buyer(
        "mila-brandt",
        {
            "name": "Mila Brandt",
            "email": "mila@brandt.example",
            "currency": "EUR",
            "time_zone": "Europe/Berlin",
            "locale": "de-DE",
            "line1": "Lindenweg 3",
            "postal_code": "24103",
            "city": "Kiel",
            "country": "DE",
            "segment": "Private",
        },
        (Deal("solo", Start(Alignment.CALENDAR, months_ago=2)),),
        (("Mila Brandt", "mila@brandt.example"),),
        (Habit("documents", 11, growth=6, weekend=120, split=KINDS),),
    ),
)
