"""How counts and instants read on the pages of usage."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format


def counted(count: int, noun: str) -> str:
    """Return "1 event" or "2,000 events"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment(at: datetime) -> str:
    """Return an instant to the minute, in the zone that the admin is in."""
    local = timezone.localtime(at)
    return f"{date_format(local, 'j M Y, H:i')} {local:%Z}"
