"""The two clocks of a billing period: when it may be closed, and when its invoice is issued (R26).

The most specific that says something holds: the customer who pays, else the plan, else the issuer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, Protocol

from django.db.models import CheckConstraint, Q

LONGEST_CUTOFF_HOURS = 31 * 24
LONGEST_ISSUE_HOURS = 92 * 24


class ClockTerms(Protocol):
    """What may say how long to wait; None says nothing."""

    @property
    def usage_cutoff_hours(self) -> int | None: ...
    @property
    def auto_issue_hours(self) -> int | None: ...
    @property
    def manual_approval(self) -> bool | None: ...


class Clocks(NamedTuple):
    """How long after its end a period is closed, and how long after that its invoice is issued.

    Without `issue` a person issues it.
    """

    cutoff: timedelta
    issue: timedelta | None


def clocks(terms: Iterable[ClockTerms | None]) -> Clocks:
    """Return what holds by these terms, the most specific first; by none an hour and a day."""
    cutoff, issue, by_hand = 1, 24, False
    for one in reversed([one for one in terms if one]):
        if one.usage_cutoff_hours is not None:
            cutoff = one.usage_cutoff_hours
        if one.auto_issue_hours is not None:
            issue = one.auto_issue_hours
        if one.manual_approval is not None:
            by_hand = one.manual_approval
    return Clocks(timedelta(hours=cutoff), None if by_hand else timedelta(hours=issue))


def within_bounds(whose: str) -> tuple[CheckConstraint, ...]:
    """Bound both clocks in the database."""
    return (
        CheckConstraint(
            name=f"{whose}_waits_at_most_31_days_for_usage",
            condition=Q(usage_cutoff_hours__isnull=True)
            | Q(usage_cutoff_hours__lte=LONGEST_CUTOFF_HOURS),
        ),
        CheckConstraint(
            name=f"{whose}_issues_within_92_days",
            condition=Q(auto_issue_hours__isnull=True)
            | Q(auto_issue_hours__lte=LONGEST_ISSUE_HOURS),
        ),
    )
