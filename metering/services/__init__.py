"""What is done with usage: events taken in once, corrected, and the quarantine worked off."""

from metering.services.adjustments import (
    EventNotCounted,
    effective_adjustments,
    refuse_if_archived,
    replace_event,
    void_events,
)
from metering.services.groups import Progress, dismiss_group, replay_group
from metering.services.ingestion import Outcome, Problem, Report, ingest
from metering.services.quarantine import (
    AlreadyResolved,
    ConflictStays,
    dismiss,
    replay,
)

__all__ = [
    "AlreadyResolved",
    "ConflictStays",
    "EventNotCounted",
    "Outcome",
    "Problem",
    "Progress",
    "Report",
    "dismiss",
    "dismiss_group",
    "effective_adjustments",
    "ingest",
    "refuse_if_archived",
    "replace_event",
    "replay",
    "replay_group",
    "void_events",
]
