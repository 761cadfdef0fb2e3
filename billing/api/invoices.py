"""Invoices: read, explained, printed, and the few things that may happen to one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing import tasks
from billing.annexes import told_change
from billing.api.answers import explanation_answer, invoice_answer, readers_locale, shown
from billing.api.shapes import (
    ExplainedInvoiceSerializer,
    InvoiceDetailSerializer,
    InvoiceSerializer,
    ReminderStopSerializer,
)
from billing.beside import NOTHING_BESIDE, ToldBeside, carriers_of, told_beside
from billing.creditable import books_of
from billing.crediting import Book
from billing.electronic.carrying import xml_in
from billing.electronic.demands import check_has_xml
from billing.models import Delivery, Dispute, Invoice, PaymentStatus, ReminderRow
from billing.models.invoices import KEPT
from billing.parties import IssuerUndecided
from billing.querysets import InvoiceQuerySet
from billing.reissue import Links, links_of
from billing.services import disputing, issuing, reminders, sending
from billing.services.sending import MOST_ADDRESSES
from catalog.api.versions import NoFieldsSerializer
from catalog.money import exponent, plain, round_half_up
from config.base.api.fields import AmountString, Text, YesNo
from config.base.api.paging import Filters
from config.base.api.problems import BadParameter
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet
from customers.api import EmailAddress
from customers.models import Customer
from metering.api.fields import Moment

LANGUAGE = OpenApiParameter(
    "Accept-Language",
    str,
    OpenApiParameter.HEADER,
    description="`en`, `de`, `fr` or `es`, for the words of the steps; by default the buyer's language.",
)


class InvoiceFilters(Filters):
    customer = filters.CharFilter("customer__key", label="The key of the one who pays.")
    run = filters.UUIDFilter(
        method="in_run",
        label="The billing run that drafted it, or closed one of its subscriptions.",
    )
    payment_status = filters.ChoiceFilter(
        choices=[(status, status) for status in PaymentStatus.values],
        method="in_payment_status",
        label="Of issued invoices.",
    )
    issued_after = filters.CharFilter(
        method="issued_later",
        label="A day, 2026-11-30, or a time with its offset; that day or time excluded.",
    )

    class Meta:
        model = Invoice
        fields = ("status",)

    def in_run(self, invoices: InvoiceQuerySet, _: str, run: UUID) -> InvoiceQuerySet:
        return invoices.of_run(run)

    def in_payment_status(
        self, invoices: QuerySet[Invoice], _: str, status: str
    ) -> QuerySet[Invoice]:
        return cast(InvoiceQuerySet, invoices).in_payment_status(status)

    def issued_later(self, invoices: QuerySet[Invoice], name: str, text: str) -> QuerySet[Invoice]:
        try:
            moment = Moment().run_validation(text)
        except ValidationError as wrong:
            [message] = cast(list[str], wrong.detail)
            raise BadParameter({name: str(message)}) from wrong
        if type(moment) is date:
            return invoices.filter(issue_date__gt=moment)
        return invoices.filter(issued_at__gt=moment)


class ReasonSerializer(StrictSerializer):
    """Why, and what becomes of what it billed."""

    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")
    reopen = YesNo(
        default=True,
        help_text="`true`: the next run bills the period anew; `false`: it is waived.",
    )


class SendSerializer(StrictSerializer):
    """To whom."""

    to = serializers.ListField(
        child=EmailAddress(),
        required=False,
        allow_empty=False,
        max_length=MOST_ADDRESSES,
        help_text="Addresses; without, those of the customer: its `email` and the contacts who "
        "receive invoices.",
    )


class DisputeSerializer(StrictSerializer):
    """How much a customer questions, and why."""

    amount = AmountString(positive=True, required=False, help_text="Without: all that is open.")
    reason = Text(max_length=2000, lines=True)


class LeftOutSerializer(serializers.Serializer[Any]):
    """Whether somebody is reminded."""

    stopped = ReminderStopSerializer(
        allow_null=True, help_text="Why it is left out of reminders; null: it is not."
    )


class StopSerializer(StrictSerializer):
    """Why nobody is reminded."""

    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")


class ClosedDisputeSerializer(StrictSerializer):
    """How it ended."""

    reason = Text(max_length=2000, lines=True, help_text="Kept in the audit trail.")


class InvoiceViewSet(ApiViewSet[Invoice]):
    """Invoices, the newest first."""

    scope = "billing"
    queryset = (
        Invoice.objects.with_lines()
        .select_related("run")
        .prefetch_related("lines__period", "credit_notes")
        .order_by("-pk")
    )
    serializer_class = InvoiceDetailSerializer
    filterset_class = InvoiceFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(parameters=[LANGUAGE], responses=InvoiceSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List invoices with their lines, the newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert page is not None
        books, links = books_of(page), links_of(page)
        beside = told_beside(carriers_of(page))
        return self.get_paginated_response(
            [self._written(invoice, books, links, beside) for invoice in page]
        )

    @extend_schema(parameters=[LANGUAGE])
    def retrieve(self, request: Request, uuid: str) -> Response:
        """Read an invoice; of an open one also which usage has changed since it was drawn."""
        return self._answer(self.get_object())

    @extend_schema(parameters=[LANGUAGE], responses=ExplainedInvoiceSerializer)
    @action(detail=True)
    def explanation(self, request: Request, uuid: str) -> Response:
        """Say why each line has its amount, and why the net is not the last one."""
        invoice = self.get_object()
        locale = readers_locale(request, invoice)
        change = told_change(invoice)
        return Response(explanation_answer(invoice, change=change, locale=locale))

    @extend_schema(
        responses={
            (200, "application/pdf"): OpenApiTypes.BINARY,
            202: OpenApiResponse(
                description="A worker is making it: ask again after `Retry-After`."
            ),
            304: None,
        }
    )
    @action(detail=True)
    def pdf(self, request: Request, uuid: str) -> HttpResponse:
        """Print an invoice.

        Issued: always the same bytes, whose SHA-256 is the `ETag`. Else a rendering that is not
        kept, marked as the draft, void or discarded invoice it is. 503 where the machine lacks
        the libraries that lay out a PDF.
        """
        invoice = self.get_object()
        pdf = tasks.printed(invoice)
        if pdf is None:
            return HttpResponse(status=202, headers={"Retry-After": "2"})
        name = f"{invoice.number or f'{invoice.status}-{invoice.uuid}'}.pdf"
        if invoice.status in KEPT:
            return unchanging(request, pdf, "application/pdf", name)
        headers = {**_named(name), "Cache-Control": "no-store"}
        return HttpResponse(pdf, content_type="application/pdf", headers=headers)

    @extend_schema(
        responses={
            (200, "application/xml"): OpenApiTypes.BINARY,
            202: OpenApiResponse(
                description="A worker is making it: ask again after `Retry-After`."
            ),
            304: None,
        }
    )
    @action(detail=True)
    def xml(self, request: Request, uuid: str) -> HttpResponse:
        """Read the XML that an electronic invoice's PDF carries (EN 16931, Factur-X).

        Always the same bytes, whose SHA-256 is the `ETag`. 409 `no_electronic_invoice`, saying why,
        for one that is not issued, or whose `has_xml` is false.
        """
        invoice = self.get_object()
        check_has_xml(invoice)
        pdf = tasks.printed(invoice)
        if pdf is None:
            return HttpResponse(status=202, headers={"Retry-After": "2"})
        return unchanging(request, xml_in(pdf), "application/xml", f"{invoice.number}.xml")

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def issue(self, request: Request, uuid: str) -> Response:
        """Number an open invoice and freeze it; its document is made right after."""
        invoice = self._told_nothing()
        issuing.issue_invoices(invoice_ids=[invoice.pk], as_of=timezone.now(), actor=self.actor)
        tasks.nudge_outbox()
        return self._fresh(invoice)

    @extend_schema(request=SendSerializer)
    @action(detail=True, methods=["post"])
    def send(self, request: Request, uuid: str) -> Response:
        """Send an issued invoice by e-mail, once more or for the first time; `deliveries` tells of it."""
        invoice = self.get_object()
        to = self.read_body(SendSerializer).get("to", ())
        sending.send_invoices(invoice_ids=[invoice.pk], to=to, at=timezone.now(), actor=self.actor)
        tasks.nudge_mails()
        return self._fresh(invoice)

    @extend_schema(request=DisputeSerializer)
    @action(detail=True, methods=["post"])
    def dispute(self, request: Request, uuid: str) -> Response:
        """Note that a customer questions some of what is open: nobody is reminded of that part."""
        invoice = self.get_object()
        body = {"amount": None, **self.read_body(DisputeSerializer)}
        disputing.open_dispute(invoice_id=invoice.pk, **body, at=timezone.now(), actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(request=ClosedDisputeSerializer)
    @action(detail=True, methods=["post"], url_path="close-dispute")
    def close_dispute(self, request: Request, uuid: str) -> Response:
        """Close the open dispute of an invoice: what is open is asked for again."""
        invoice = self.get_object()
        body = self.read_body(ClosedDisputeSerializer)
        disputing.close_dispute(invoice_id=invoice.pk, **body, at=timezone.now(), actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(responses=LeftOutSerializer)
    @action(detail=True, url_path="reminders")
    def left_out(self, request: Request, uuid: str) -> Response:
        """Say whether an invoice is left out of reminders, and why; its customer may be as well."""
        return Response({"stopped": stop_answer(self.get_object())})

    @extend_schema(request=StopSerializer, responses=LeftOutSerializer)
    @action(detail=True, methods=["post"], url_path="stop-reminders")
    def stop_reminders(self, request: Request, uuid: str) -> Response:
        """Leave an invoice out of reminders, until that is taken back."""
        invoice = self.get_object()
        body = self.read_body(StopSerializer)
        reminders.stop_reminders(of=invoice, **body, at=timezone.now(), actor=self.actor)
        return Response({"stopped": stop_answer(invoice)})

    @extend_schema(request=NoFieldsSerializer, responses=LeftOutSerializer)
    @action(detail=True, methods=["post"], url_path="resume-reminders")
    def resume_reminders(self, request: Request, uuid: str) -> Response:
        """Remind of an invoice again."""
        invoice = self._told_nothing()
        reminders.resume_reminders(of=invoice, at=timezone.now(), actor=self.actor)
        return Response({"stopped": stop_answer(invoice)})

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, uuid: str) -> Response:
        """Declare an issued invoice void, in the month of its issue date, if it was not sent by e-mail.

        It keeps its number.
        """
        invoice = self.get_object()
        body = self.read_body(ReasonSerializer)
        issuing.void_invoice(invoice_id=invoice.pk, **body, at=timezone.now(), actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(request=ReasonSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, uuid: str) -> Response:
        """Throw an open invoice away."""
        invoice = self.get_object()
        body = self.read_body(ReasonSerializer)
        issuing.discard_invoice(invoice_id=invoice.pk, **body, at=timezone.now(), actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def recalculate(self, request: Request, uuid: str) -> Response:
        """Measure the usage of an open invoice again and redraw its lines."""
        invoice = self._told_nothing()
        issuing.recalculate_invoices(invoice_ids=[invoice.pk], at=timezone.now(), actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, uuid: str) -> Response:
        """Keep a draft for review: no run issues it, until it is issued or released."""
        invoice = self._told_nothing()
        issuing.hold_for_review(invoice_id=invoice.pk, actor=self.actor)
        return self._fresh(invoice)

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str) -> Response:
        """Make an invoice in review a draft again, which a run issues in its time."""
        invoice = self._told_nothing()
        issuing.return_to_draft(invoice_id=invoice.pk, actor=self.actor)
        return self._fresh(invoice)

    def _told_nothing(self) -> Invoice:
        """Return the invoice that a call without fields names."""
        invoice = self.get_object()
        self.read_body(NoFieldsSerializer)
        return invoice

    def _fresh(self, invoice: Invoice) -> Response:
        return self._answer(self.get_queryset().get(pk=invoice.pk))

    def _answer(self, invoice: Invoice) -> Response:
        return Response(
            {
                **self._written(
                    invoice,
                    books_of([invoice]),
                    links_of([invoice]),
                    told_beside(carriers_of([invoice])),
                ),
                "deliveries": [delivery_answer(one) for one in invoice.deliveries.order_by("-pk")],
                "dispute": _dispute(invoice),
                "reminders": [*_reminders(invoice)],
                "later_usage": _later_usage(invoice),
            }
        )

    def _written(
        self,
        invoice: Invoice,
        books: Mapping[int, Book],
        links: Mapping[int, Links],
        beside: Mapping[UUID, ToldBeside],
    ) -> dict[str, Any]:
        notes = sorted(invoice.credit_notes.all(), key=attrgetter("pk"))
        return invoice_answer(
            shown(invoice, beside.get(invoice.uuid, NOTHING_BESIDE)),
            locale=readers_locale(self.request, invoice),
            book=books.get(invoice.pk),
            notes=notes,
            links=links.get(invoice.pk, Links()),
        )


def _named(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="{filename}"'}


def unchanging(request: Request, content: bytes, content_type: str, filename: str) -> HttpResponse:
    """Answer with bytes that stay the same for ever; 304 for who has them."""
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {**_named(filename), "ETag": etag}
    response = HttpResponse(content, content_type=content_type, headers=headers)
    matched = get_conditional_response(request._request, etag=etag, response=response)
    return cast(HttpResponse, matched)


def delivery_answer(one: Delivery) -> dict[str, Any]:
    """Write a mail and what became of it."""
    return {
        "id": one.uuid,
        "kind": one.kind,
        "to": one.address,
        "status": one.status,
        "why": one.why or None,
        "detail": one.said,
        "at_issue": one.at_issue,
        "asked_at": one.asked_at,
        "settled_at": one.settled_at,
        "message_id": one.message_id,
    }


def stop_answer(of: Customer | Invoice) -> dict[str, Any] | None:
    """Write why a customer or an invoice is left out of reminders; None: it is not."""
    stop = of.reminder_stops.filter(ended_at=None).first()
    if stop is None:
        return None
    return {"reason": stop.reason, "since": stop.made_at, "by": stop.made_by}


def _dispute(invoice: Invoice) -> dict[str, Any] | None:
    found = Dispute.objects.filter(item=invoice.pk, closed_on=None).first()
    if found is None:
        return None
    return {
        "amount": _amount(found.amount, invoice),
        "reason": found.reason,
        "opened_on": found.opened_on,
        "by_customer": found.by_customer,
    }


def _reminders(invoice: Invoice) -> Iterator[dict[str, Any]]:
    rows = ReminderRow.objects.filter(item=invoice.pk).select_related("reminder").order_by("level")
    for row in rows:
        yield {
            "level": row.level,
            "on": row.reminder.made_on,
            "asked": _amount(row.asked, invoice),
            "disputed": _amount(row.disputed, invoice),
            "not_set_off": _amount(row.reminder.not_set_off, invoice),
            "to_pay": None
            if row.reminder.to_pay is None
            else _amount(row.reminder.to_pay, invoice),
        }


def _amount(amount: Decimal, invoice: Invoice) -> str:
    return f"{round_half_up(amount, exponent(invoice.currency)):f}"


def _later_usage(invoice: Invoice) -> list[dict[str, str]] | None:
    """Name the metrics that measure something else now; None where that can't be told."""
    if not invoice.is_open:
        return None
    try:
        changed = issuing.usage_since(invoice, at=timezone.now())
    except IssuerUndecided:
        return None  # nobody could redraw it; it can be read all the same
    drawn = {
        (line.period_id, line.metric and line.metric.pk): line.explanation["measured"]["quantity"]
        for line in invoice.lines.all()
        if line.snapshot_id
    }
    return [
        {
            "metric": snapshot.metric.key,
            "subscription": snapshot.period.subscription.key,
            "drawn": drawn.get((snapshot.period_id, snapshot.metric_id), "0"),
            "now": plain(snapshot.told),
        }
        for snapshot in changed
    ]


routes = [("invoices", InvoiceViewSet, "invoice")]
