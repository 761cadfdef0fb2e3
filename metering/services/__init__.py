"""What is done with usage: events taken in once, and the quarantine worked off."""

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
    "Outcome",
    "Problem",
    "Report",
    "dismiss",
    "ingest",
    "replay",
]
