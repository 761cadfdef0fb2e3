"""The worksheet of a value metric: three questions, their answers, and what was decided of it.

A metric begins as a candidate. One that fails more than one question is deprioritised; whoever
knows better decides otherwise, with a reason. Nothing here is ever shown to a customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from django.db import transaction

from catalog.models import (
    Answer,
    Decision,
    MetricAnswer,
    MetricDecision,
    MetricStatus,
    Question,
    ValueMetric,
)
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal

FAILURES_ALLOWED = 1
"""How many questions a metric may fail before it is deprioritised."""

_STATUS = {
    Decision.DEPRIORITISED: MetricStatus.DEPRIORITISED,
    Decision.CANDIDATE: MetricStatus.CANDIDATE,
    Decision.ADOPTED: MetricStatus.CANDIDATE,
}


class MetricInPlay(Refusal):
    """The metric is billed or retired, so its worksheet no longer decides about it."""

    code = "metric_in_play"


class Answered(NamedTuple):
    """An answer to one question, as somebody gives it."""

    answer: Answer
    evidence: str = ""
    notes: str = ""


class Worksheet(NamedTuple):
    """Where a metric stands: the latest answer to each question, and all decisions, newest first."""

    metric: ValueMetric
    answers: Mapping[Question, MetricAnswer]
    decisions: list[MetricDecision]

    @property
    def failed(self) -> list[Question]:
        """The questions that it fails, in their order."""
        return [q for q in Question if q in self.answers and self.answers[q].answer == Answer.NO]

    @property
    def open(self) -> list[Question]:
        """The questions that nobody could answer yet."""
        unsure = Answer.UNSURE
        return [q for q in Question if q not in self.answers or self.answers[q].answer == unsure]


def worksheets(metrics: Iterable[ValueMetric]) -> list[Worksheet]:
    """Return the worksheets of these metrics, in their order, in two queries."""
    found = {metric.pk: Worksheet(metric, {}, []) for metric in metrics}
    for answer in MetricAnswer.objects.filter(metric__in=found).order_by("pk"):
        found[answer.metric_id].answers[Question(answer.question)] = answer  # type: ignore[index]
    for decision in MetricDecision.objects.filter(metric__in=found).order_by("-pk"):
        found[decision.metric_id].decisions.append(decision)
    return list(found.values())


@transaction.atomic
def answer_questions(
    *, metric_id: int, answers: Mapping[Question, Answered], at: datetime, actor: Actor
) -> Worksheet:
    """Record answers that differ from those that stand, and what follows from them.

    A candidate that now fails more than one question is deprioritised; one that was deprioritised
    for that alone, and no longer fails so many, is a candidate again.

    :raises Invalid: for a “no” without evidence.
    """
    metric = ValueMetric.objects.select_for_update().get(pk=metric_id)
    [before] = worksheets([metric])
    faults = [
        Fault((question.value, "evidence"), "required", "Say what the “no” rests on.")
        for question, given in answers.items()
        if given.answer == Answer.NO and not given.evidence.strip()
    ]
    if faults:
        raise Invalid(faults)
    for question, given in answers.items():
        stands = before.answers.get(question)
        if stands and (stands.answer, stands.evidence, stands.notes) == given:
            continue
        saved = MetricAnswer.objects.create(
            metric=metric,
            question=question,
            answer=given.answer,
            evidence=given.evidence.strip(),
            notes=given.notes.strip(),
            answered_by=actor.name,
            answered_at=at,
        )
        changes = {question.value: [stands.answer if stands else None, saved.answer]}
        audit.record(actor=actor, action="answered", subject=metric, changes=changes)
    [after] = worksheets([metric])
    _follow(after, at=at, actor=actor)
    [settled] = worksheets([metric])
    return settled


@transaction.atomic
def decide(
    *, metric_id: int, decision: Decision, reason: str, at: datetime, actor: Actor
) -> ValueMetric:
    """Decide what becomes of a metric, whatever its answers say, and say why.

    :raises Invalid: without a reason.
    :raises MetricInPlay: if it is billed or retired already.
    """
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why.")])
    metric = ValueMetric.objects.select_for_update().get(pk=metric_id)
    if metric.status in (MetricStatus.ACTIVE, MetricStatus.RETIRED):
        raise MetricInPlay(
            f"“{metric}” is {metric.get_status_display().lower()}: what is billed is decided by "
            "its plans."
        )
    _decide(metric, decision, reason.strip(), at=at, actor=actor)
    return metric


def due_for_review(*, on: date) -> list[ValueMetric]:
    """Return the metrics whose worksheet is to be looked at again by this day, longest due first."""
    due = ValueMetric.objects.exclude(status=MetricStatus.RETIRED).filter(review_on__lte=on)
    return list(due.order_by("review_on", "pk"))


def _follow(sheet: Worksheet, *, at: datetime, actor: Actor) -> None:
    """Deprioritise what fails too much, and take that back when it no longer does."""
    metric, failed = sheet.metric, sheet.failed
    last = sheet.decisions[0] if sheet.decisions else None
    if len(failed) > FAILURES_ALLOWED:
        was_adopted = last is not None and last.decision == Decision.ADOPTED
        if metric.status == MetricStatus.CANDIDATE and not was_adopted:
            reason = "It fails more than one question: " + " ".join(q.label for q in failed)
            _decide(metric, Decision.DEPRIORITISED, reason, at=at, actor=actor, is_automatic=True)
    elif metric.status == MetricStatus.DEPRIORITISED and last and last.is_automatic:
        reason = "It no longer fails more than one question."
        _decide(metric, Decision.CANDIDATE, reason, at=at, actor=actor, is_automatic=True)


def _decide(
    metric: ValueMetric,
    decision: Decision,
    reason: str,
    *,
    at: datetime,
    actor: Actor,
    is_automatic: bool = False,
) -> None:
    MetricDecision.objects.create(
        metric=metric,
        decision=decision,
        reason=reason,
        is_automatic=is_automatic,
        decided_by=actor.name,
        decided_at=at,
    )
    if not records.change(metric, fields={"status": _STATUS[decision]}, actor=actor):
        audit.record(actor=actor, action="decided", subject=metric, note=reason)
