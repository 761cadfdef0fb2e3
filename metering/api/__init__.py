"""Usage over REST: events in and out, the quarantine, and what a customer used."""

from django.urls import path

from metering.api.events import EventViewSet
from metering.api.quarantine import QuarantineViewSet
from metering.api.usage import CustomerUsage

routes = (
    ("events", EventViewSet, "event"),
    ("quarantine", QuarantineViewSet, "quarantine"),
)
urlpatterns = [
    path("customers/<str:key>/usage", CustomerUsage.as_view(), name="customer_usage"),
]
