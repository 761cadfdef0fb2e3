"""Usage sent by Lago's own Python client: one event, it again, and a batch."""

import os

from lago_python_client import Client
from lago_python_client.models import BatchEvent, Event

client = Client(api_key=os.environ["KEY"], api_url=os.environ["SERVER"])


def event(number: int, **fields: object) -> Event:
    return Event(
        transaction_id=f"lago-{number}",
        external_subscription_id="acme-scale",
        code="lago_client.call",
        properties={"calls": str(number)},
        **fields,
    )


for _ in range(2):
    answer = client.events.create(event(1, timestamp=1761998400))
    assert answer.transaction_id == "lago-1", answer
    assert answer.timestamp == "2025-11-01T12:00:00.000Z", answer
client.events.batch_create(
    BatchEvent(events=[event(1), event(2, timestamp="1761998400"), event(3)])
)
