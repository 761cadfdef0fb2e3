"""Work on many rows, a portion at a time.

A portion is one transaction: killed anywhere, it leaves nothing. What is left is always asked of
the rows themselves, so a lost or doubled task changes nothing, and several may work beside each
other. A row that can't be worked on says why; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from django.db import OperationalError, connection, models, transaction
from django.db.models import QuerySet

PORTION = 500

Row = TypeVar("Row", bound=models.Model)

logger = logging.getLogger(__name__)


class Taken(NamedTuple):
    """How many rows were worked on, and whether any are left."""

    rows: int
    is_left: bool


def take_portion(
    waiting: QuerySet[Row],
    *,
    work: Callable[[Sequence[Row]], None],
    refuse: Callable[[Row, Exception], None],
    save: Callable[[Sequence[Row]], None],
    most: int | None = None,
) -> Taken:
    """Work on the next of these rows and save them; what another worker holds is left to it.

    `waiting` keeps what is still to do, in order: what is saved must leave it. `refuse` notes on a
    row why it alone can't be worked on.

    :raises OperationalError: if the database fails; nothing of the portion stays.
    """
    with transaction.atomic():
        mine = waiting
        if connection.features.has_select_for_update_skip_locked:
            mine = waiting.select_for_update(skip_locked=True, of=("self",))
        if rows := list(mine[: most or PORTION]):
            _work(rows, work, refuse)
            save(rows)
    return Taken(len(rows), waiting.exists())


def _work(
    rows: Sequence[Row],
    work: Callable[[Sequence[Row]], None],
    refuse: Callable[[Row, Exception], None],
) -> None:
    """Do it for all; where that fails, for each alone, so that one customer's crash is one customer's."""
    try:
        with transaction.atomic():
            work(rows)
    except OperationalError:
        raise  # the database's trouble, not the customer's: the whole is tried again
    except Exception as trouble:
        if len(rows) > 1:
            logger.warning("a portion failed and is taken one by one", exc_info=True)
            for row in rows:
                _work([row], work, refuse)
            return
        logger.exception("%s %s can't be worked on", type(rows[0]).__name__, rows[0].pk)
        refuse(rows[0], trouble)
