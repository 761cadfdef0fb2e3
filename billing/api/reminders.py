"""Customers who are left out of reminders: whether, why, and taking that back."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.invoices import LeftOutSerializer, StopSerializer, stop_answer
from billing.services import reminders
from catalog.api.versions import NoFieldsSerializer
from config.base.api.views import ApiView
from customers.models import Customer

KEY = OpenApiParameter("key", str, "path", description="The customer's key.")


class CustomerReminders(ApiView):
    """Whether a customer is left out of reminders."""

    scope = "billing"

    @extend_schema(
        operation_id="customers_reminders", parameters=[KEY], responses=LeftOutSerializer
    )
    def get(self, request: Request, key: str) -> Response:
        """Say whether a customer is left out of reminders, and why."""
        return _answer(_customer(key))


class StopReminders(ApiView):
    """Leaving a customer out of reminders."""

    scope = "billing"

    @extend_schema(
        operation_id="customers_stop_reminders",
        parameters=[KEY],
        request=StopSerializer,
        responses=LeftOutSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Leave a customer out of reminders, until that is taken back."""
        customer = _customer(key)
        body = self.read_body(StopSerializer)
        reminders.stop_reminders(of=customer, **body, at=timezone.now(), actor=self.actor)
        return _answer(customer)


class ResumeReminders(ApiView):
    """Reminding a customer again."""

    scope = "billing"

    @extend_schema(
        operation_id="customers_resume_reminders",
        parameters=[KEY],
        request=NoFieldsSerializer,
        responses=LeftOutSerializer,
    )
    def post(self, request: Request, key: str) -> Response:
        """Remind a customer of what is overdue again."""
        customer = _customer(key)
        self.read_body(NoFieldsSerializer)
        reminders.resume_reminders(of=customer, at=timezone.now(), actor=self.actor)
        return _answer(customer)


def _customer(key: str) -> Customer:
    return get_object_or_404(Customer, key=key)


def _answer(customer: Customer) -> Response:
    return Response({"stopped": stop_answer(customer)})


urlpatterns = [
    path("customers/<str:key>/reminders", CustomerReminders.as_view(), name="reminders"),
    path("customers/<str:key>/stop-reminders", StopReminders.as_view(), name="stop_reminders"),
    path(
        "customers/<str:key>/resume-reminders", ResumeReminders.as_view(), name="resume_reminders"
    ),
]
