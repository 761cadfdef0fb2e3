"""The demo company's half year, lived day by day up to the reference day.

Founding it is one transaction, which also fixes the reference. Every later step can run twice and
does its work once, so a story that was interrupted is told again from its first day and ends the
same. Once it is complete, nothing runs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from django.db import transaction

from billing.demo import company, crediting, exchanging, paying, usage
from billing.demo.company import BUYERS, OFFERS, Buyer, Deal, Sale
from billing.models import (
    BillingRun,
    BillWhen,
    Dispute,
    ExchangeRate,
    Invoice,
    InvoiceStatus,
    OpenItem,
    Purpose,
    RunStatus,
    SoldAddOn,
)
from billing.rate_tables import packaged
from billing.services import life, runs
from billing.services.add_ons import sell_add_on
from billing.services.closing import to_close
from billing.services.disputing import open_dispute
from billing.services.estimating import month_to_close, start_estimate, take_step
from billing.services.exchange_rates import import_exchange_rates
from billing.services.issuing import hold_for_review, issue_invoices
from billing.services.lateness import settle_late_usage
from billing.services.reminders import remind
from billing.services.reviewing import look_over
from billing.services.sending import send_credit_notes
from billing.services.tax_rates import import_tax_rates
from catalog import services as catalog
from catalog.add_ons import create_add_on
from catalog.coupons import create_coupon
from catalog.models import AddOn, Answer, Coupon, Plan, PlanVersion, Question, ValueMetric
from catalog.worksheet import Answered, answer_questions
from config.base import audit
from config.base.audit import SYSTEM, Actor
from config.base.errors import Refusal
from config.base.models import ActorKind, AuditEntry
from customers import services as customers
from customers.models import Contact, Customer, Issuer, Subscription
from customers.periods import first_instant, local_date, month_after, zone
from metering.services.ingestion import ingest

LOGIN = "demo"
PERSON = Actor(ActorKind.USER, LOGIN)  # who decides things in the story
BEGUN, COMPLETE = "began the demo", "completed the demo"
MORNING = time(10)  # UTC, when everywhere the day before is over and may be closed
AFTERNOON = time(14)  # UTC, when people buy: after the morning that bills the day before
LAST_ZONE = "America/Los_Angeles"
REVIEW_DAYS = 3
NOTICE_DAYS = 12

Tell = Callable[[str], None]


class OtherCustomers(Refusal):
    """The database holds customers that are not the demo's."""

    code = "other_customers"


class Told(NamedTuple):
    """A moment in the company's own time, and whose it is."""

    reference: datetime
    issuer_id: int

    @property
    def day(self) -> date:
        """The reference day, where the company is."""
        return local_date(self.reference, zone(company.ISSUER["time_zone"]))


def build(*, now: datetime, among_others: bool = False, tell: Tell = lambda _: None) -> Told:
    """Found the demo company, live its half year and bill it; once.

    Its reference is `now` at the first call; a later call changes nothing, or completes what an
    earlier one began. `tell` hears of each month as it passes.

    :raises OtherCustomers: if there are other customers before it is founded, unless told that
        they don't matter.
    :raises KeyTaken, ValidationError: if something else has a name of the demo's.
    """
    told = _begun() or _found(now=now, among_others=among_others, tell=tell)
    if not AuditEntry.objects.filter(action=COMPLETE, subject_id=told.issuer_id).exists():
        _live(told, tell=tell)
        if _is_alone():
            _look_ahead(told)
        issuer = Issuer.objects.get(pk=told.issuer_id)
        audit.record(actor=SYSTEM, action=COMPLETE, subject=issuer)
    return told


def _begun() -> Told | None:
    entry = AuditEntry.objects.filter(action=BEGUN).first()
    if entry is None:
        return None
    _, reference = entry.changes["reference"]
    return Told(datetime.fromisoformat(reference), entry.subject_id)


@transaction.atomic
def _found(*, now: datetime, among_others: bool, tell: Tell) -> Told:
    """Write down what is sold and who buys it, and fix the reference: all of it or nothing."""
    if Customer.objects.exists() and not among_others:
        raise OtherCustomers("This database has customers of its own: the demo stays out of it.")
    issuer = _issuer()
    import_tax_rates(text=packaged(), actor=PERSON)
    told = Told(now, issuer.pk)
    if not (among_others or ExchangeRate.objects.exists()):  # real books convert by real rates
        import_exchange_rates(text=exchanging.table(until=told.day), actor=PERSON)
    changes = {"reference": [None, now.isoformat()]}
    audit.record(actor=SYSTEM, action=BEGUN, subject=issuer, changes=changes)
    versions = _offer(told)
    for key, terms in company.ADD_ONS.items():
        create_add_on(add_on=AddOn(key=key, **terms), actor=PERSON)
    promotion = create_coupon(coupon=Coupon(**company.PROMOTION), actor=PERSON)
    for buyer in BUYERS:
        _subscribe(buyer, issuer, versions, promotion, told.day)
    currencies = {offer.currency for offer in OFFERS}
    tell(
        f"{issuer.name} sells {len(company.PLANS)} plans in {len(currencies)} currencies "
        f"to {len(BUYERS)} customers"
    )
    return told


def _issuer() -> Issuer:
    first = Issuer.objects.order_by("pk").first()
    if first and first.missing and not Customer.objects.exists():
        return customers.change_issuer(issuer_id=first.pk, fields=company.ISSUER, actor=SYSTEM)
    return customers.create_issuer(issuer=Issuer(**company.ISSUER), actor=SYSTEM)


def _offer(told: Told) -> dict[tuple[str, str, bool], PlanVersion]:
    """Publish every offer; return the versions by plan, currency and whether they have a trial."""
    metrics = {
        key: catalog.create_metric(
            metric=ValueMetric(key=key, review_on=_review_on(key, told), **details), actor=PERSON
        )
        for key, details in company.METRICS.items()
    }
    _weigh(told)
    plans = {
        key: catalog.create_plan(
            plan=Plan(key=key, name=name, description=description), actor=SYSTEM
        )
        for key, (name, description) in company.PLANS.items()
    }
    begun = company.first_day(told.day)
    versions = {}
    for offer in OFFERS:
        draft = catalog.draft_version(
            plan_id=plans[offer.plan].pk,
            version=PlanVersion(
                currency=offer.currency,
                trial_days=offer.trial_days,
                prices_include_tax=offer.include_tax,
            ),
            prices=company.prices(offer, metrics),
            actor=SYSTEM,
        )
        ago = timedelta(days=offer.published_days_ago)
        day = told.day - ago if ago else begun - timedelta(days=14)
        at = datetime.combine(day, MORNING, UTC)
        version = catalog.publish_version(version_id=draft.pk, at=at, actor=PERSON)
        versions[offer.plan, offer.currency, bool(offer.trial_days)] = version
    return versions


def _review_on(metric: str, told: Told) -> date | None:
    days = company.REVIEWED.get(metric)
    return told.day + timedelta(days=days) if days else None


def _weigh(told: Told) -> None:
    """Have a metric that nobody is charged by yet, with what is known of it."""
    candidate = catalog.create_metric(metric=ValueMetric(**company.CANDIDATE), actor=PERSON)
    answers = {
        Question(question): Answered(Answer(answer), evidence)
        for question, (answer, evidence) in company.ANSWERS.items()
    }
    answer_questions(metric_id=candidate.pk, answers=answers, at=told.reference, actor=PERSON)


def _subscribe(
    buyer: Buyer,
    issuer: Issuer,
    versions: dict[tuple[str, str, bool], PlanVersion],
    promotion: Coupon,
    reference: date,
) -> None:
    customer = customers.create_customer(
        customer=Customer(key=buyer.key, issuer=issuer, **buyer.details), actor=SYSTEM
    )
    for name, email in buyer.contacts:
        contact = Contact(customer=customer, name=name, email=email)
        customers.add_contact(contact=contact, actor=SYSTEM)
    for deal in buyer.deals:
        starts_on = deal.start.on(reference)
        subscription = customers.subscribe(
            key=_key(buyer, deal),
            customer=customer,
            version=versions[deal.plan, customer.currency, deal.has_trial],
            starts_on=starts_on,
            alignment=deal.start.alignment,
            anchor_on=None if deal.has_trial else deal.start.anchor(reference),
            quantities={"seats": Decimal(deal.seats)} if deal.seats else None,
            actor=SYSTEM,
        )
        if deal.has_promotion:
            customers.apply_coupon(
                subscription_id=subscription.pk,
                coupon=promotion,
                starts_on=starts_on,
                at=datetime.combine(starts_on, MORNING, UTC),
                actor=PERSON,
            )


def _live(told: Told, *, tell: Tell) -> None:
    """Live through every day: usage comes in, things are decided, what is due is billed."""
    for month, days in groupby(_days(told), key=lambda day: _month_of(day, told)):
        events = sum(_live_through(day, told) for day in days)
        invoices = Invoice.objects.filter(issuer=told.issuer_id, status=InvoiceStatus.ISSUED)
        tell(f"{month:%B %Y}: {events:,} usage events, {invoices.count()} invoices issued by then")


def _live_through(day: date, told: Told) -> int:
    """Live through a day until the next morning, or the reference; return its number of events."""
    events = _use(day, told)
    _begin_to_send(day, told)
    _decide(day, told)
    _pay(day, told)
    morning = datetime.combine(day + timedelta(days=1), MORNING, UTC)
    at = min(morning, told.reference)
    _bill(as_of=at)
    _settle(day, at, told)
    _approve(at, told)
    _dun(day, at, told)
    return events


@transaction.atomic
def _begin_to_send(day: date, told: Told) -> None:
    """Let what is issued in the month that runs be sent by e-mail; earlier invoices were handed over.

    Of earlier credit notes, somebody asks that they be sent.
    """
    issuer = Issuer.objects.get(pk=told.issuer_id)
    if day == told.day.replace(day=1) and not issuer.sends_invoices:
        customers.change_issuer(
            issuer_id=issuer.pk,
            fields={"sends_invoices": True, "sends_reminders": True},
            actor=PERSON,
        )
        notes = list(issuer.credit_notes.values_list("pk", flat=True))
        at = min(datetime.combine(day, MORNING, UTC), told.reference)
        send_credit_notes(note_ids=notes, at=at, actor=PERSON)


def _dun(day: date, at: datetime, told: Told) -> None:
    """Remind of what is overdue, as the worker does; three days ago a customer disputed something."""
    owed = OpenItem.objects.owed().filter(invoice__issuer=told.issuer_id)
    questioned = owed.filter(open__gt=company.DISPUTED).order_by("-invoice__due_date", "pk").first()
    is_new = not Dispute.objects.filter(item__invoice__issuer=told.issuer_id).exists()
    if questioned and is_new and day == told.day - timedelta(days=3):
        open_dispute(
            invoice_id=questioned.pk,
            amount=company.DISPUTED,
            reason=company.DISPUTED_BECAUSE,
            at=at,
            actor=PERSON,
        )
    remind(
        at=at,
        actor=SYSTEM,
        customer_ids=owed.values_list("invoice__customer", flat=True).distinct(),
    )


def _settle(day: date, at: datetime, told: Told) -> None:
    """Look for late usage after a day that had some, as the worker does every day."""
    late = any(usage.came_late(day, buyer, reference=told.day) for buyer in BUYERS)
    if late and _is_alone():
        settle_late_usage(as_of=at)


def _days(told: Told) -> Iterator[date]:
    """Yield every day of the story, and the day after, which has begun already further east."""
    day = min(buyer.since(told.day) for buyer in BUYERS)
    while day <= told.day + timedelta(days=1):
        yield day
        day += timedelta(days=1)


def _month_of(day: date, told: Told) -> date:
    """Return the first of the month in which a day is told of: what overhangs goes with the next."""
    return min(max(day, company.first_day(told.day)), told.day).replace(day=1)


def _use(day: date, told: Told) -> int:
    """Take in a day's events from everywhere, once that day is over in the last zone; count them."""
    events = [
        event
        for buyer in BUYERS
        for event in (
            *usage.used_on(day, buyer, reference=told.day),
            *usage.gone_wrong(day, buyer, reference=told.day),
            *usage.came_late(day, buyer, reference=told.day),
        )
        if event.time and event.time <= told.reference
    ]
    over = first_instant(day + timedelta(days=1), zone(LAST_ZONE))
    ingest(events, received_at=min(over, told.reference))
    return len(events)


def _decide(day: date, told: Told) -> None:
    """Let customers add and drop seats, buy something once, change the plan, and one of them leave."""
    for sale in company.SALES:
        if day == told.day - timedelta(days=sale.days_ago):
            _sell(sale, day)
    for buyer in BUYERS:
        for deal in buyer.deals:
            for days_ago, seats in deal.seats_later:
                if day == told.day - timedelta(days=days_ago):
                    _change_seats(_subscription(buyer, deal), seats, day)
            if deal.moves_to and day == told.day - timedelta(days=deal.moves_to[0]):
                _move(_subscription(buyer, deal), deal.moves_to[1], day)
            if deal.ended_months_ago is not None:
                ends_on = month_after(told.day.replace(day=1), -deal.ended_months_ago)
                if day == ends_on - timedelta(days=NOTICE_DAYS):
                    _end(_subscription(buyer, deal), ends_on, day)


def _pay(day: date, told: Told) -> None:
    at = datetime.combine(day, AFTERNOON, UTC)
    if at <= told.reference:
        first = min(buyer.since(told.day) for buyer in BUYERS)
        paying.pay(day, at=at, first=first, last=told.day, issuer_id=told.issuer_id, actor=PERSON)
        crediting.credit(day, at=at, last=told.day, issuer_id=told.issuer_id, actor=PERSON)


def _change_seats(subscription: Subscription, seats: int, day: date) -> None:
    if not subscription.quantities.filter(starts_on=day).exists():
        customers.change_quantity(
            subscription_id=subscription.pk,
            price_key="seats",
            quantity=Decimal(seats),
            starts_on=day,
            today=day,
            actor=PERSON,
        )


def _move(subscription: Subscription, plan: str, day: date) -> None:
    """Put a subscription under another plan at once, within its running period."""
    current = PlanVersion.objects.current(currency=subscription.customer.currency)
    version = current.get(plan__key=plan)
    if not subscription.phases.filter(plan_version=version).exists():
        life.change_plan(
            subscription_id=subscription.pk,
            version=version,
            when=life.When.IMMEDIATE,
            at=datetime.combine(day, MORNING, UTC),
            actor=PERSON,
        )


def _sell(sale: Sale, day: date) -> None:
    key = f"{sale.subscription}-{sale.add_on}"
    if not SoldAddOn.objects.filter(key=key).exists():
        sell_add_on(
            subscription_id=Subscription.objects.get(key=sale.subscription).pk,
            add_on=AddOn.objects.get(key=sale.add_on),
            key=key,
            quantity=Decimal(sale.quantity),
            service_start=day,
            service_end=day + timedelta(days=sale.quantity),
            note=sale.note,
            bill=BillWhen.AT_ONCE if sale.is_at_once else BillWhen.NEXT_INVOICE,
            at=datetime.combine(day, AFTERNOON, UTC),
            actor=PERSON,
        )


def _end(subscription: Subscription, ends_on: date, day: date) -> None:
    if subscription.ends_on is None:
        customers.end_subscription(
            subscription_id=subscription.pk, ends_on=ends_on, today=day, actor=PERSON
        )


def _bill(*, as_of: datetime) -> None:
    """Close and issue what is due, as the worker would; a run that was interrupted first."""
    for run in BillingRun.objects.filter(as_of=as_of, status=RunStatus.RUNNING):
        _carry_out(run)
    for customer in _due(as_of):
        _carry_out(runs.start_run(as_of=as_of, now=as_of, actor=SYSTEM, customer=customer))


def _carry_out(run: BillingRun) -> None:
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=run.as_of)
    runs.finish_if_done(run_id=run.pk, now=run.as_of)


def _due(as_of: datetime) -> list[Customer | None]:
    """Return whom to run for: nobody, everybody (None), or among others each of the demo's own."""
    due = set(to_close(as_of=as_of).values_list("customer_id", flat=True))
    due |= set(Invoice.objects.to_issue(at=as_of).values_list("customer_id", flat=True))
    if due and _is_alone():
        return [None]
    own = Customer.objects.filter(key__in=[buyer.key for buyer in BUYERS], pk__in=due)
    return list(own.order_by("pk"))


def _approve(at: datetime, told: Told) -> None:
    """Let a person look at what is not issued by itself, and issue it some days later.

    The last of them stays in review, for whoever looks at the demo.
    """
    waiting = Invoice.objects.filter(
        issuer=told.issuer_id,
        auto_issue_at=None,
        status__in=[InvoiceStatus.DRAFT, InvoiceStatus.REVIEW],
    ).prefetch_related("charges__period")
    for invoice in waiting:
        if invoice.status == InvoiceStatus.DRAFT:
            hold_for_review(invoice_id=invoice.pk, actor=PERSON)
        drawn = _drawn_on(invoice)
        is_last = month_after(drawn, 1) >= told.day
        if at.date() >= drawn + timedelta(days=REVIEW_DAYS) and not is_last:
            issue_invoices(invoice_ids=[invoice.pk], as_of=at, actor=PERSON)


def _look_ahead(told: Told) -> None:
    """Look over what waits to be issued, and estimate the next close, so that both can be seen."""
    while look_over(at=told.reference):
        pass
    estimate = start_estimate(
        month=month_to_close(at=told.reference), customer=None, at=told.reference, actor=PERSON
    )
    while take_step(estimate_id=estimate.pk, now=told.reference):
        pass


def _is_alone() -> bool:
    """Whether the database has no customers but the demo's."""
    return Customer.objects.count() == len(BUYERS)


def _drawn_on(invoice: Invoice) -> date:
    charge = next(iter(invoice.charges.all()), None)
    if charge is None:  # over add-ons alone
        return invoice.created_at.date()
    period = charge.period
    return period.start_date if charge.purpose == Purpose.OPENING else period.end_date


def _key(buyer: Buyer, deal: Deal) -> str:
    return f"{buyer.key}-{deal.plan}"


def _subscription(buyer: Buyer, deal: Deal) -> Subscription:
    return Subscription.objects.get(key=_key(buyer, deal))
