"""Usage sent by OpenMeter's own Python client: one event, it again, and a batch."""

import os

from openmeter import Client
from openmeter.models import Event

client = Client(endpoint=os.environ["SERVER"], token=os.environ["KEY"])


def event(number: int) -> Event:
    return Event(
        id=f"openmeter-{number}",
        source="compat",
        specversion="1.0",
        type="openmeter.call",
        subject="acme",
        data={"calls": number},
    )


client.events.ingest_event(event(1))
client.events.ingest_event(event(1))
client.events.ingest_events([event(1), event(2), event(3)])
