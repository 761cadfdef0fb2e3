"""Moving many subscriptions to another plan version: previewed chunk by chunk, confirmed, then moved (R19).

A chunk is one transaction: killed anywhere, it leaves nothing. What is left is always asked of the
rows themselves, so a lost or doubled task changes nothing. The preview of a chunk makes the change,
reads the next invoices, and undoes it: it can't say anything else than what happens.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from billing.models import MoveStatus, MoveWhen, Outcome, PlanMove, PlanMoveRow
from billing.seen_terms import seen_terms
from billing.services.changing import DaysOfChange, When, change_plans
from billing.services.own_terms import OwnPriceLost as OwnPriceLost
from billing.services.own_terms import lost_terms, own_terms, prices_of, quoted
from billing.services.portions import take_portion
from billing.services.upcoming import running_periods
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, VersionStatus
from catalog.money import EXACT, ZERO
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.fields import ExactSum
from config.base.models import ActorKind
from config.base.rows import update_rows
from customers.models import Subscription
from customers.querysets import SubscriptionQuerySet
from customers.services import VersionNotOffered, tax_mismatch
from customers.services.locking import lock_subscriptions
from customers.terms import in_force, today_of

_SAVED = ("outcome", "starts_on", "before", "after", "difference", "terms_seen", "note")


class MoveNotPreviewed(Refusal):
    """The preview is not complete yet, or somebody has confirmed it already."""

    code = "move_not_previewed"


class NothingToMove(Refusal):
    """No subscription can be moved."""

    code = "nothing_to_move"


class AnotherChangeWaits(Refusal):
    """Its plan changes already on a day that is still to come."""

    code = "another_change_waits"


class NotUnderIt(Refusal):
    """It is under another version by now than the one whose subscriptions are moved."""

    code = "not_under_it"


class ChangedSince(Refusal):
    """Something other than usage changed since the preview, so other figures would come of it."""

    code = "changed_since"


class Summary(NamedTuple):
    """A move in figures: how many rows of each kind, and the sums of what is or was moved, net."""

    total: int
    waiting: int
    movable: int
    moved: int
    refused: int
    dearer: int
    cheaper: int
    same: int
    before: Decimal
    after: Decimal
    difference: Decimal


def on_version(version: PlanVersion, *, today: date) -> SubscriptionQuerySet:
    """Return the subscriptions that a version serves on a day or later."""
    phases = Q(phases__plan_version=version)
    lasting = Q(phases__ends_on=None) | Q(phases__ends_on__gt=today)
    return Subscription.objects.filter(phases & lasting).distinct()


@transaction.atomic
def start_move(
    *,
    subscriptions: QuerySet[Subscription],
    from_version: PlanVersion | None,
    to_version: PlanVersion,
    when: MoveWhen,
    at: datetime,
    actor: Actor,
) -> PlanMove:
    """Record that these subscriptions may come under a version; nothing changes but the preview.

    `from_version` says that they are all on it; without, they were chosen one by one.

    :raises VersionNotOffered: if the version is a draft or retired.
    :raises NothingToMove: if there are none.
    :raises Invalid: for the version that they are on, or one in another currency than that, or whose
        prices include tax where that one's don't.
    """
    _check_offered(to_version)
    if from_version == to_version:
        message = "Choose another version than the one they are on."
        raise Invalid([Fault(("to_version",), "plan_unchanged", message)])
    if from_version and from_version.currency != to_version.currency:
        message = (
            f"{to_version} is priced in {to_version.currency}, and {from_version} in "
            f"{from_version.currency}."
        )
        raise Invalid([Fault(("to_version",), "currency_mismatch", message)])
    if from_version and from_version.prices_include_tax != to_version.prices_include_tax:
        raise Invalid([Fault(("to_version",), "tax_mismatch", tax_mismatch(to_version))])
    move = PlanMove.objects.create(
        from_version=from_version,
        to_version=to_version,
        when=when,
        started_by=actor.name,
        started_at=at,
    )
    ids = subscriptions.order_by("pk").values_list("pk", flat=True)
    rows = (PlanMoveRow(move=move, subscription_id=pk) for pk in ids.iterator(chunk_size=1000))
    PlanMoveRow.objects.bulk_create(rows, batch_size=1000)
    if not move.rows.exists():
        raise NothingToMove("There is no subscription to move.")
    audit.record(actor=actor, action="previewed move to another version", subject=move)
    return move


@transaction.atomic
def confirm_move(*, move_id: int, at: datetime, actor: Actor) -> PlanMove:
    """Let what was previewed happen: every subscription that can be moved is.

    :raises MoveNotPreviewed: before the preview is complete, or once somebody confirmed it.
    :raises VersionNotOffered: if the version was retired since.
    :raises NothingToMove: if no subscription can be moved.
    """
    found = PlanMove.objects.select_for_update(of=("self",)).select_related("to_version__plan")
    move = found.get(pk=move_id)
    if move.status == MoveStatus.PREVIEWING:
        raise MoveNotPreviewed("The preview is not complete yet.")
    if move.status != MoveStatus.PREVIEWED:
        raise MoveNotPreviewed(f"{move.confirmed_by} has confirmed this move already.")
    _check_offered(move.to_version)
    count = move.rows.filter(outcome=Outcome.PREVIEWED).count()
    if not count:
        raise NothingToMove("No subscription of this preview can be moved.")
    move.status, move.confirmed_by, move.confirmed_at = MoveStatus.MOVING, actor.name, at
    move.save(update_fields=["status", "confirmed_by", "confirmed_at"])
    said = {"subscriptions": [None, count]}
    audit.record(actor=actor, action="confirmed move", subject=move, changes=said)
    return move


def take_step(*, move_id: int, now: datetime) -> bool:
    """Preview or move the next 500 subscriptions; return whether more are left to do here.

    With the last of them, the move goes on to what comes next. What another worker holds is left
    to it.

    :raises OperationalError: if the database fails; the step is taken again.
    """
    found = PlanMove.objects.select_related("from_version__plan", "to_version__plan")
    move = found.get(pk=move_id)
    if move.status == MoveStatus.PREVIEWING:
        return _take(move, Outcome.WAITING, lambda rows: _preview(move, rows), now=now)
    if move.status == MoveStatus.MOVING:
        return _take(move, Outcome.PREVIEWED, lambda rows: _move(move, rows, at=now), now=now)
    return False


def note_trouble(*, move_id: int, trouble: Exception) -> None:
    """Keep what stopped a move for now, without ending it."""
    said = "".join(traceback.format_exception(trouble))
    PlanMove.objects.filter(pk=move_id).update(last_error=said)


def summary(move: PlanMove) -> Summary:
    """Return a move in figures, in two queries."""
    counted = dict(move.rows.order_by().values_list("outcome").annotate(Count("pk")))
    kept = move.rows.filter(outcome__in=[Outcome.PREVIEWED, Outcome.MOVED]).order_by()
    sums = kept.aggregate(
        dearer=Count("pk", filter=Q(difference__gt=0)),
        cheaper=Count("pk", filter=Q(difference__lt=0)),
        before=ExactSum("before"),
        after=ExactSum("after"),
        difference=ExactSum("difference"),
    )
    movable, moved = counted.get(Outcome.PREVIEWED, 0), counted.get(Outcome.MOVED, 0)
    return Summary(
        total=sum(counted.values()),
        waiting=counted.get(Outcome.WAITING, 0),
        movable=movable,
        moved=moved,
        refused=counted.get(Outcome.REFUSED, 0),
        dearer=sums["dearer"],
        cheaper=sums["cheaper"],
        same=movable + moved - sums["dearer"] - sums["cheaper"],
        before=sums["before"] or ZERO,
        after=sums["after"] or ZERO,
        difference=sums["difference"] or ZERO,
    )


Rows = Sequence[PlanMoveRow]


def _take(move: PlanMove, queue: Outcome, work: Callable[[Rows], None], *, now: datetime) -> bool:
    taken = take_portion(
        move.rows.filter(outcome=queue).order_by("pk"),
        work=work,
        refuse=_refuse,
        save=lambda rows: update_rows(rows, _SAVED),
    )
    if not taken.is_left:
        _end(move, now=now)
    return bool(taken.rows) and taken.is_left


def _end(move: PlanMove, *, now: datetime) -> None:
    """Let a move go on to what comes next, once; another worker may have been quicker."""
    mine = PlanMove.objects.filter(pk=move.pk, status=move.status)
    if move.status == MoveStatus.PREVIEWING:
        mine.update(status=MoveStatus.PREVIEWED, last_error="")
    else:
        mine.update(status=MoveStatus.FINISHED, finished_at=now, last_error="")


def _preview(move: PlanMove, rows: Rows) -> None:
    """Work out the next invoice of each as it is and as it would be, and undo the change."""
    at = move.started_at
    subscriptions = lock_subscriptions([row.subscription_id for row in rows])
    seen, before = seen_terms(subscriptions), _nets(subscriptions, at=at)
    days = DaysOfChange(move.to_version, when=_when(move), at=at)
    able, refused = _sift(move, subscriptions, days)
    with transaction.atomic():
        changed = change_plans(
            subscriptions=able, version=move.to_version, days=days, at=at, actor=audit.SYSTEM
        )
        fresh = Subscription.objects.filter(pk__in=[one.pk for one in able]).with_terms()
        after = _nets(list(fresh), at=at)
        transaction.set_rollback(True)
    own = {one.pk: one for one in able}
    for row in rows:
        pk = row.subscription_id
        found = refused.get(pk) or changed[pk]
        if isinstance(found, Exception):
            _refuse(row, found)
            continue
        row.outcome, row.starts_on, row.terms_seen = Outcome.PREVIEWED, found, seen[pk]
        row.note = _told(own[pk], found)
        if pk in before or pk in after:
            row.before, row.after = before.get(pk, ZERO), after.get(pk, ZERO)
            row.difference = EXACT.subtract(row.after, row.before)


def _move(move: PlanMove, rows: Rows, *, at: datetime) -> None:
    """Move those that are as they were when they were previewed."""
    subscriptions = lock_subscriptions([row.subscription_id for row in rows])
    seen = seen_terms(subscriptions)
    days = DaysOfChange(move.to_version, when=_when(move), at=at)
    looked_at = {row.subscription_id: row for row in rows}
    same = [one for one in subscriptions if seen[one.pk] == looked_at[one.pk].terms_seen]
    due = [one for one in same if days.of(one) == looked_at[one.pk].starts_on]
    actor = Actor(ActorKind.USER, move.confirmed_by)
    changed: dict[int, Any] = change_plans(
        subscriptions=due, version=move.to_version, days=days, at=at, actor=actor
    )
    for row in rows:
        found = changed.get(row.subscription_id) or ChangedSince(
            "It, its invoices or the day of the change are not as they were when this was previewed: "
            "preview it anew."
        )
        if isinstance(found, Exception):
            _refuse(row, found)
        else:
            row.outcome = Outcome.MOVED


def _refuse(row: PlanMoveRow, why: Exception) -> None:
    row.outcome, row.note = Outcome.REFUSED, str(why) or type(why).__name__


def _sift(
    move: PlanMove, subscriptions: Sequence[Subscription], days: DaysOfChange
) -> tuple[list[Subscription], dict[int, Refusal]]:
    """Part those that can be moved by what a move asks of them from those that can't, with the reason."""
    able, refused = [], {}
    drafts = prices_of(move.to_version)
    for subscription in subscriptions:
        try:
            _check(move, subscription, days.of(subscription), drafts)
        except Refusal as refusal:
            refused[subscription.pk] = refusal
        else:
            able.append(subscription)
    return able, refused


def _check(
    move: PlanMove, subscription: Subscription, day: date, drafts: dict[str, PriceDraft]
) -> None:
    phase = in_force(subscription, at=move.started_at)
    today = today_of(subscription, at=move.started_at)
    if later := [
        one for one in subscription.phases.all() if one.starts_on > max(today, phase.starts_on)
    ]:
        raise AnotherChangeWaits(f"Another change waits for {later[0].starts_on}.")
    if move.from_version and phase.plan_version_id != move.from_version_id:
        raise NotUnderIt(f"It is under {phase.plan_version} by now.")
    if lost := lost_terms(subscription, drafts, day=day):
        raise OwnPriceLost(
            f"It has own terms for {quoted(lost)}, which {move.to_version} has no place for: end "
            "them first."
        )


def _told(subscription: Subscription, day: date) -> str:
    """Say which own terms go along (R22)."""
    keys = sorted({one.price_key for one in own_terms(subscription, day)})
    return f"Its own terms for {quoted(keys)} go on." if keys else ""


def _nets(subscriptions: Sequence[Subscription], *, at: datetime) -> dict[int, Decimal]:
    """Return, by subscription, what its next invoice comes to before tax; without those that have none."""
    running = running_periods(subscriptions=subscriptions, at=at)
    return {one.period.subscription_id: one.composed.totals.net for one in running}


def _when(move: PlanMove) -> When | None:
    return When(move.when) if move.when else None


def _check_offered(version: PlanVersion) -> None:
    version.refresh_from_db(fields=["status"])
    if version.status != VersionStatus.PUBLISHED:
        raise VersionNotOffered(
            f"{version} is {version.get_status_display().lower()}: choose a published version.",
            path=("to_version",),
        )
