"""Usage as finance sees it: what arrived, what counts, and what waits for a decision."""

from metering.admin import events, quarantine

__all__ = ["events", "quarantine"]
