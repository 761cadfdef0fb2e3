"""The floor's tasks, each also a management command; and how an edge nudges any task."""

import logging
from typing import Any

from celery import current_app, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from config.base.services import outbox, pruning

_IMPATIENT = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0}

logger = logging.getLogger(__name__)


@shared_task  # type: ignore[untyped-decorator]
def deliver_outbox(kind: str = "") -> None:
    """Beat, every minute, and after commits: deliver the messages that are due, or those of a kind."""
    outbox.deliver_due(at=timezone.now(), kind=kind)


@shared_task  # type: ignore[untyped-decorator]
def prune() -> None:
    """Beat, every hour: delete what has served its time."""
    pruning.prune(at=timezone.now())


def nudge(task: Any, *args: Any) -> None:
    """Send a task on a connection of its own, which gives up sooner than a worker's would.

    Without a broker, do it here; one that does not answer within a second is left to the sweep.
    """
    if current_app.conf.task_always_eager:
        task(*args)
        return
    try:
        with current_app.connection_for_write(transport_options=_IMPATIENT) as connection:
            task.apply_async(args, connection=connection, retry=False)
    except OperationalError:
        logger.warning("the broker can't be reached; the sweep will find %s", task.name)
