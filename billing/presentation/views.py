"""What an invoice shows, worded and formatted: plain values for PDF, portal and admin alike.

Everything is text in the reader's language, in the order it is read. Whoever prints it escapes it
and adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from config.base.charts import Meter, Trend
from config.base.strips import Strip


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and what stands beside it."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Palette:
    """The issuer's colour and what is mixed from it, as #rrggbb.

    `text` is the accent where it can be read on white, ink otherwise; the tint is paler.
    """

    accent: str
    text: str
    tint: str


@dataclass(frozen=True, slots=True)
class PartyView:
    name: str
    """What the party is called in a letterhead."""
    lines: tuple[str, ...]
    """The postal address, legal name first."""
    sender: str
    """The address on one line, for the window of an envelope."""
    logo: str = ""
    """Where its picture is, for the fetcher; empty without one."""


@dataclass(frozen=True, slots=True)
class CodeView:
    """A payment code: the outline of its dark modules, on a square `size` wide."""

    size: str
    outline: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class PaymentView:
    """The answer first: how much, until when, where to."""

    label: str
    amount: str
    note: str
    facts: tuple[Fact, ...]
    code: CodeView | None = None


@dataclass(frozen=True, slots=True)
class ChangeView:
    """Last net, what drove it to this one, and this net; two sentences say the same."""

    sentences: tuple[str, ...]
    last: Fact
    drivers: tuple[Fact, ...]
    now: Fact


@dataclass(frozen=True, slots=True)
class DimensionView:
    """The greatest values of a dimension, which add up with "other"."""

    label: str
    values: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class DetailView:
    """One metric day by day, and by dimension."""

    name: str
    chart: Strip | None
    dimensions: tuple[DimensionView, ...]
    notes: tuple[str, ...]
    owner: str = ""
    """Whose it is, where several subscriptions share the invoice."""


@dataclass(frozen=True, slots=True)
class UsageView:
    """One price's usage at a glance."""

    name: str
    unit: str
    used: str
    included: str
    over: str
    is_over: bool
    bar: Meter | None
    """None without an allowance to measure against."""
    trend: Trend | None
    """None where there is no period before."""
    note: str
    owner: str = ""
    """Whose it is, where several subscriptions share the invoice."""


@dataclass(frozen=True, slots=True)
class RowView:
    """A step of a line, or what rounding added; a quantity or price that does not apply is empty."""

    kind: str
    label: str
    quantity: str
    unit_price: str
    amount: str


@dataclass(frozen=True, slots=True)
class TotalView:
    label: str
    value: str
    is_final: bool = False
    is_within: bool = False
    """Part of the amount above it, not to be added."""


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of the invoice with the rows that add up to its amount: net, or with VAT where prices
    include it.

    A line that is one row already has no rows: its own quantity and unit price say it all.
    """

    uuid: str
    kind: str
    name: str
    caption: str
    """What else to know of it at first sight: that a fee is charged in advance."""
    period: str
    quantity: str
    unit_price: str
    tax: str
    net: str
    summary: str
    """Used, included and over, in words; empty where nothing is measured."""
    rows: tuple[RowView, ...]
    notes: tuple[str, ...]
    opens: str = ""
    """The heading of the lines that begin with this one; mostly empty."""
    section: str = ""
    """The subscription whose lines begin with this one, where several share the invoice."""
    subtotal: TotalView | None = None
    """What the lines of a subscription come to that end with this one, where several do."""


@dataclass(frozen=True, slots=True)
class GrantView:
    """A deposit or a balance that the invoice took from: opening + added − used = remaining."""

    label: str
    opening: str
    added: str
    used: str
    remaining: str


@dataclass(frozen=True, slots=True)
class TaxView:
    """One row of the VAT table (BG-23)."""

    category: str
    rate: str
    base: str
    tax: str
    gross: str


@dataclass(frozen=True, slots=True)
class InvoiceView:
    language: str
    """Of the words, for the document's `lang`."""
    words: Mapping[str, str]
    """The fixed texts of this language; see `words.py`."""
    palette: Palette
    currency: str
    heading: str
    title: str
    """Of the document, with number and seller."""
    number: str
    """Empty for a draft."""
    mark: str
    """DRAFT, VOID or DISCARDED, to print across every page; empty for an issued invoice."""
    seller: PartyView
    buyer: PartyView
    identity: tuple[Fact, ...]
    payment: PaymentView
    portal_url: str
    usage: tuple[UsageView, ...]
    usage_note: str
    change: ChangeView | None
    """None where there is no invoice to compare with."""
    details: tuple[DetailView, ...]
    net_heading: str
    """Of the column of amounts, with the currency."""
    lines: tuple[LineView, ...]
    totals: tuple[TotalView, ...]
    taxes: tuple[TaxView, ...]
    tax_sum: TaxView | None
    """Only where there are several rates."""
    tax_notes: tuple[str, ...]
    beside: tuple[str, ...]
    """What is issued with it, since it would be below zero; mostly empty."""
    account: tuple[Fact, ...]
    """What was owed all in all as it was issued; empty where that is this invoice alone."""
    questions: tuple[str, ...]
    legal: tuple[str, ...]
    """The seller's own texts, a paragraph each."""
    footer: tuple[str, ...]
    identifier: str
    """The same for the same invoice, for the metadata of files."""
    dated: datetime
    """When it was issued; a draft, when it was made."""
    grants: tuple[GrantView, ...] = ()
    """The deposits and balances that it took from as it was issued."""
