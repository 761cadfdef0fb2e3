"""What the apps above tell the catalog's pages; they append in AppConfig.ready."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from catalog.models import Plan, PlanVersion
from catalog.quotes import Typical

SUBSCRIBERS: dict[type[Plan] | type[PlanVersion], Callable[[], Any]] = {}
"""Makes the expression that counts the subscriptions in service on a plan, and on a version."""

TYPICAL: list[Callable[[Collection[int]], Mapping[int, Typical]]] = []
"""Says what customers usually use of metrics; of those that nobody uses nothing."""

PUBLISH_NOTES: list[Callable[[PlanVersion], list[str]]] = []
"""Sentences for the confirmation page of publishing."""
