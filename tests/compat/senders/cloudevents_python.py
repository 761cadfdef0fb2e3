"""Usage written by CloudEvents' Python library, in binary mode and in structured mode."""

import os
from datetime import UTC, datetime

import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

NOON = datetime(2025, 11, 1, 12, 0, 0, 250000, tzinfo=UTC)


def event(number: int) -> CloudEvent:
    return CloudEvent(
        attributes={
            "id": f"Zürich {number}%",
            "source": "/compat/python",
            "type": "cloudevents_python.call",
            "subject": "acme",
            "specversion": "1.0",
            "time": NOON,
            "datacontenttype": "application/json",
        },
        data={"calls": number},
    )


for message in (to_binary_event(event(1)), to_structured_event(event(1)), to_binary_event(event(2)),
                to_structured_event(event(3))):  # fmt: skip
    answer = requests.post(
        f"{os.environ['SERVER']}/api/v1/events",
        headers={**message.headers, "Authorization": f"Bearer {os.environ['KEY']}"},
        data=message.body,
        timeout=10,
    )
    answer.raise_for_status()
