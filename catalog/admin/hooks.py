"""What the apps above tell the catalog's pages; they append in AppConfig.ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalog.models import Plan, PlanVersion

SUBSCRIBERS: dict[type[Plan] | type[PlanVersion], Callable[[], Any]] = {}
"""Makes the expression that counts the subscriptions in service on a plan, and on a version."""

PUBLISH_NOTES: list[Callable[[PlanVersion], list[str]]] = []
"""Sentences for the confirmation page of publishing."""
