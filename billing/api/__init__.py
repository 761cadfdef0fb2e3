"""Billing's endpoints: the periods of a subscription."""

from billing.api.periods import urlpatterns

__all__ = ["urlpatterns"]
