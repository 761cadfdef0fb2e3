"""What a batch begins with: one round trip for all that its events need to be known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.db import connection

from metering import wire
from metering.services.memory import (
    Memory,
    ask_for_holders,
    ask_for_stamp,
    current_stamp,
    keep,
    read_holders,
    recall,
)
from metering.services.storage import (
    Known,
    ask_for_keys,
    known_keys,
    read_keys,
    reserve_ids,
)
from metering.statements import Asked, run_together


class Opening(NamedTuple):
    """A memory that is good; what is known of keys that arrived before; the first of reserved ids."""

    memory: Memory
    known: dict[bytes, Known]
    first_id: int


def open_batch(keys: Sequence[bytes], customers: Collection[str], *, remember: bool) -> Opening:
    """Ask what has to be known of these keys and customers, in a transaction that stores events.

    With `remember` the process keeps the answers. Only where this transaction has changed nothing
    but events, and no other surrounds it: what is rolled back must not be remembered.
    """
    memory = recall() if remember else None
    if connection.vendor == "postgresql":
        opening = _ask(keys, customers, memory)
    else:
        stamp = current_stamp()
        if memory is None or memory.stamp != stamp:
            memory = Memory(stamp)
        opening = Opening(memory, known_keys(keys), reserve_ids(1)[0])
    if remember:
        keep(opening.memory)
    return opening


def _ask(keys: Sequence[bytes], customers: Collection[str], memory: Memory | None) -> Opening:
    """Ask for the stamp first, with what must come before; see `current_stamp`."""
    unknown = list(customers) if memory is None else memory.unknown(customers)
    asked: list[Asked] = [
        (ask_for_stamp, ()),
        (ask_for_keys, (wire.uuids(keys),)),
    ]
    if unknown:
        asked.append((ask_for_holders, (wire.words(unknown),)))
    [[[sent, first_id]], known, *holders] = run_together(*asked)
    stamp = sent.decode() if sent else None
    if memory is None or memory.stamp != stamp:
        memory = Memory(stamp)
    for rows in holders:
        memory.learn(read_holders(rows))
    return Opening(memory, read_keys(known), wire.read_bigint(first_id))
