"""The senders that send to Plainbill unmodified, what they need, and what must be counted."""

from __future__ import annotations

from typing import NamedTuple


class Sender(NamedTuple):
    """A program in `senders/`, the package it runs with, and what its usage comes to.

    `usage` is, per event type, the property that is added up, its sum, and how many events.
    """

    script: str
    package: str
    also: tuple[str, ...]
    usage: dict[str, tuple[str, str, int]]

    @property
    def name(self) -> str:
        return self.script.partition(".")[0]


SENDERS = (
    Sender(
        "openmeter_client.py",
        "openmeter==1.0.0b236",
        (),
        {"openmeter.call": ("calls", "6", 3)},
    ),
    Sender(
        "cloudevents_python.py",
        "cloudevents==2.2.0",
        ("requests",),
        {"cloudevents_python.call": ("calls", "6", 3)},
    ),
    Sender(
        "lago_client.py",
        "lago-python-client==1.55.0",
        (),
        {"lago_client.call": ("calls", "6", 3)},
    ),
    Sender(
        "litellm_callbacks.py",
        "litellm==1.110.2",
        (),
        {
            "litellm_openmeter.call": ("total_tokens", "90", 3),
            "litellm_lago.call": ("total_tokens", "90", 3),
        },
    ),
    Sender(
        "cloudevents_npm.cjs",
        "cloudevents@10.0.0",
        (),
        {"cloudevents_npm.call": ("calls", "6", 3)},
    ),
)
