"""Whether a month's close can start: what is missing, held back, unusual or unfinished before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet

from billing.late_usage.beside import commitments_beside
from billing.models import (
    OUTSTANDING,
    BillingPeriod,
    CloseEstimate,
    LateStatus,
    LateUsage,
    PeriodStatus,
)
from billing.querysets import BillingPeriodQuerySet
from billing.services.closing import to_close
from billing.services.estimating import periods_to_close
from billing.services.expectation import estimate_of
from catalog.money import EXACT, ZERO
from config.base.fields import ExactSum
from customers.models import Customer, Issuer, Subscription
from customers.periods import month_after
from customers.querysets import SubscriptionQuerySet
from metering.models import QuarantineCode, QuarantinedEvent


class Quarantined(NamedTuple):
    """Events of these customers that wait, by subject, the most first; and those of nobody known."""

    by_subject: Sequence[tuple[str, int]]
    of_nobody: int

    @property
    def total(self) -> int:
        return sum(count for _, count in self.by_subject)


class LateSum(NamedTuple):
    """Late usage that waits, in one state and currency; `amount` net, negative for credits."""

    status: LateStatus
    currency: str
    rows: int
    amount: Decimal


class Readiness(NamedTuple):
    """What somebody should know before a month is closed as of a moment."""

    quarantined: Quarantined
    parked: BillingPeriodQuerySet
    to_close: int
    """Open periods that end by the month's end."""
    too_early: int
    """Those of them whose usage cutoff has not passed."""
    closable_at: datetime | None
    """When the last of those may be closed."""
    late: Sequence[LateSum]
    unfinished: Sequence[Issuer]
    buyers_without_country: int
    """Payers of these subscriptions whom an electronic invoice can't address, so that none is issued."""
    estimate: CloseEstimate | None


def readiness(*, month: date, as_of: datetime, customer_id: int | None) -> Readiness:
    """Say what stands in the way of closing a month; a constant number of queries."""
    periods = periods_to_close(month=month, customer_id=customer_id)
    closing = Subscription.objects.filter(
        Q(pk__in=periods.values("subscription"))
        | Q(pk__in=to_close(as_of=as_of, customer_id=customer_id).order_by().values("pk"))
    )
    parked = BillingPeriod.objects.filter(status=PeriodStatus.PARKED).of_customer(customer_id)
    too_early = periods.filter(usage_cutoff__gt=as_of).aggregate(
        count=Count("pk"), last=Max("usage_cutoff")
    )
    return Readiness(
        quarantined=quarantined(Customer.objects.filter(subscriptions__in=closing)),
        parked=parked.ending_by(month_after(month, 1)).select_related("subscription"),
        to_close=periods.count(),
        too_early=too_early["count"],
        closable_at=too_early["last"],
        late=late_sums(customer_id=customer_id),
        unfinished=unfinished_issuers(closing),
        buyers_without_country=buyers_without_country(closing).count(),
        estimate=estimate_of(month=month, customer_id=customer_id),
    )


def quarantined(customers: QuerySet[Customer]) -> Quarantined:
    """Count what waits in quarantine of these customers, and what is of nobody known; two queries."""
    waiting = QuarantinedEvent.objects.waiting()
    theirs = waiting.of_customers(customers).exclude(code=QuarantineCode.UNKNOWN_CUSTOMER)
    groups = (
        theirs.order_by().values_list("subject").annotate(n=Count("pk")).order_by("-n", "subject")
    )
    return Quarantined(list(groups), waiting.of_nobody().count())


def late_sums(*, customer_id: int | None) -> list[LateSum]:
    """Add up the late usage that waits, by state and currency, as invoices would charge it.

    With what they take back of minimum commitments beside it (R16). One query where nothing waits,
    and else a constant number.
    """
    waiting = LateUsage.objects.filter(status__in=OUTSTANDING)
    if customer_id is not None:
        mine = BillingPeriod.objects.of_customer(customer_id)
        waiting = waiting.filter(period__in=mine)
    sums = waiting.order_by("status", "currency").values_list("status", "currency")
    rows = list(sums.annotate(count=Count("pk"), sum=ExactSum("amount")))
    committed = waiting.filter(period__phase__plan_version__minimum_commitment__isnull=False)
    loaded = committed.select_related("price", "period__phase__plan_version", "snapshot__metric")
    noted = {row.pk: row for row in loaded.order_by("pk")} if rows else {}
    moved: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for pk, amount in commitments_beside(noted.values()).items():
        key = noted[pk].status, noted[pk].currency
        moved[key] = EXACT.add(moved[key], amount)
    return [
        LateSum(LateStatus(status), currency, count, EXACT.add(total, moved[status, currency]))
        for status, currency, count, total in rows
    ]


def unfinished_issuers(closing: SubscriptionQuerySet) -> list[Issuer]:
    """Return the sellers of these subscriptions that invoices lack something of; one query.

    Where nobody is named as a customer's seller, it is the only one there is.
    """
    named = Q(issuer=OuterRef("pk")) | Q(issuer=None, customer__issuer=OuterRef("pk"))
    unnamed = closing.filter(issuer=None, customer__issuer=None)
    sellers = Issuer.objects.filter(Exists(closing.filter(named)) | Exists(unnamed))
    return [issuer for issuer in sellers.order_by("pk") if issuer.missing]


def buyers_without_country(closing: SubscriptionQuerySet) -> QuerySet[Customer]:
    """Return who pays for these subscriptions to a seller of electronic invoices, and is nowhere.

    Where nobody is named as a customer's seller, it is the only one there is.
    """
    named = Q(issuer__electronic_invoices=True)
    known = Q(issuer=None, customer__issuer__electronic_invoices=True)
    only = Q(issuer=None, customer__issuer=None) & Exists(
        Issuer.objects.filter(electronic_invoices=True)
    )
    theirs = Q(payer=OuterRef("pk")) | Q(payer=None, customer=OuterRef("pk"))
    sold = closing.filter(named | known | only).filter(theirs)
    return Customer.objects.filter(Exists(sold), country="")
