"""Keeping usage summed up: appended with the events, folded now and then, built from events."""

from metering.services.rollups.appending import append_pieces, sum_up
from metering.services.rollups.building import build_rollups, forget_archive, rollup_of
from metering.services.rollups.checking import Difference, changed_definitions, differences
from metering.services.rollups.folding import fold_pieces
from metering.services.rollups.rebuilding import rebuild, rebuild_around

__all__ = [
    "Difference",
    "append_pieces",
    "build_rollups",
    "changed_definitions",
    "differences",
    "fold_pieces",
    "forget_archive",
    "rebuild",
    "rebuild_around",
    "rollup_of",
    "sum_up",
]
