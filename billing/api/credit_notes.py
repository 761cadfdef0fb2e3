"""Credit notes: issued or tried, read, printed, sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import tasks
from billing.api.answers import amount, party_answer
from billing.api.invoices import SendSerializer, delivery_answer, unchanging
from billing.api.shapes import DeliverySerializer, PartySerializer, TaxInBooksSerializer
from billing.crediting import Asked
from billing.electronic.carrying import xml_in
from billing.electronic.demands import check_note_has_xml, note_has_xml
from billing.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    InvoiceLine,
    TaxCategory,
)
from billing.presentation.credit_note import USES
from billing.services.credit_notes import (
    check_bill_anew,
    draft_credit_note,
    issue_credit_note,
)
from billing.services.sending import send_credit_notes
from catalog.money import exponent, plain
from config.base.api.fields import AmountString, QuantityString, Text, YesNo
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault, Invalid

CREDIT: dict[str, Any] = {
    "invoice": "3f0c1c9e-2f0e-4f57-9d1f-0a8f5a0c7f11",
    "reason": "Two hours of downtime on 12 November",
    "lines": [{"line": "8d7a4c52-9a3e-4c0b-8a54-6f1f0f4f9f7e", "net": "10.00"}],
}


class CreditedPartSerializer(StrictSerializer):
    """What is to be credited of a line: either an amount or units."""

    line = serializers.UUIDField(help_text="The `id` of a line of the invoice.")
    net = AmountString(
        minimum=None,
        default=None,
        allow_null=True,
        help_text="Before tax, after coupons; up to the line's `creditable`. Negative of a line "
        "that is. Of an invoice whose prices include tax, say `gross`.",
    )
    gross = AmountString(
        minimum=None,
        default=None,
        allow_null=True,
        help_text="With tax, in place of `net`, where the invoice's prices include it.",
    )
    quantity = QuantityString(
        positive=True,
        default=None,
        allow_null=True,
        help_text="Units: what the line came to × quantity ÷ its quantity, rounded once; all that are "
        "left: all that is left of the line.",
    )


class NewCreditNoteSerializer(StrictSerializer):
    """What is taken back of an invoice, and why."""

    invoice = serializers.UUIDField(help_text="An issued one.")
    reason = Text(max_length=2000, lines=True, help_text="Printed on the credit note.")
    lines = CreditedPartSerializer(
        many=True,
        default=None,
        allow_null=True,
        help_text="null: all that is left of the invoice.",
    )
    refund = YesNo(
        default=False,
        help_text="What was paid already: `true`: it is paid back, which this records; `false`: "
        "it is the customer's balance. What deposits paid is left of them again in any case.",
    )
    bill_anew = YesNo(
        default=False,
        help_text="`true`: the invoice, of which nothing may be left, becomes `credited`, and the "
        "next run bills its periods anew.",
    )
    dry_run = YesNo(default=False, help_text="Say what it would come to, and change nothing.")


class CreditNoteLineSerializer(serializers.Serializer[Any]):
    """What is credited of a line."""

    line = serializers.UUIDField(help_text="The `id` of the invoice's line.")
    description = serializers.CharField()
    quantity = QuantityString(allow_null=True, help_text="null: an amount was credited.")
    net = QuantityString(minimum=None)
    gross = QuantityString(
        minimum=None,
        allow_null=True,
        help_text="With tax, where the invoice's prices include it; else null.",
    )
    tax_category = serializers.ChoiceField(choices=TaxCategory.values)
    tax_rate = QuantityString(help_text="In percent.")


class CreditNoteTaxSerializer(serializers.Serializer[Any]):
    """The tax of one category and rate: on all credited so far, less what was credited before."""

    category = serializers.ChoiceField(choices=TaxCategory.values)
    rate = QuantityString(help_text="In percent.")
    base = QuantityString(minimum=None)
    amount = QuantityString(minimum=None)
    reason = serializers.CharField(help_text="Why no tax is charged; empty where it is.")


class CreditUsesSerializer(serializers.Serializer[Any]):
    """What became of the total; the parts add up to it."""

    off_open = QuantityString(help_text="Taken off what was open of the invoice.")
    off_written_off = QuantityString(help_text="Taken off what was written off of it.")
    to_deposits = QuantityString(help_text="Paid from deposits, and left of them again.")
    to_balance = QuantityString(help_text="Paid, and the customer's balance now.")
    refunded = QuantityString(help_text="Paid, and paid back.")


class CreditNoteSerializer(serializers.Serializer[Any]):
    """What was taken back of an invoice. Amounts are positive: what the customer owes less."""

    id = serializers.UUIDField(allow_null=True, help_text="null if it was only tried.")
    number = serializers.CharField(allow_null=True, help_text="null if it was only tried.")
    invoice = serializers.UUIDField(help_text="The one that it corrects.")
    invoice_number = serializers.CharField()
    customer = serializers.CharField(help_text="The key of the one who pays.")
    currency = serializers.CharField()
    issue_date = serializers.DateField()
    reason = serializers.CharField()
    lines = CreditNoteLineSerializer(many=True)
    taxes = CreditNoteTaxSerializer(many=True)
    net_total = QuantityString()
    tax_total = QuantityString()
    total = QuantityString()
    uses = CreditUsesSerializer()
    tax_in_books = TaxInBooksSerializer(
        allow_null=True,
        help_text="`tax_total` in the issuer's currency, at the invoice's rate; null in the same.",
    )
    has_xml = serializers.BooleanField(
        help_text="Whether its PDF carries it as XML, too (EN 16931), which `…/xml` answers."
    )
    issued_with = serializers.UUIDField(
        allow_null=True,
        help_text="The invoice that it was issued with by itself, as that would have been below "
        "zero; null: somebody issued it.",
    )
    seller = PartySerializer()
    buyer = PartySerializer()
    issued_at = serializers.DateTimeField()
    issued_by = serializers.CharField(help_text="Empty if it was only tried.")


class CreditNoteDetailSerializer(CreditNoteSerializer):
    """A credit note, and to whom it was sent."""

    deliveries = DeliverySerializer(
        many=True,
        help_text="Mails with this credit note, the newest first; none: it was never sent by e-mail.",
    )


class CreditNoteFilters(Filters):
    customer = filters.CharFilter("invoice__customer__key", label="The key of the one who pays.")
    invoice = filters.UUIDFilter("invoice__uuid", label="The one that they correct.")
    issued_after = filters.DateFilter("issue_date", "gt", label="That day excluded.")

    class Meta:
        model = CreditNote
        fields = ("number",)


class CreditNoteViewSet(ApiViewSet[CreditNote]):
    """Credit notes, the newest first."""

    scope = "billing"
    queryset = CreditNote.objects.with_lines().order_by("-pk")
    serializer_class = CreditNoteDetailSerializer
    filterset_class = CreditNoteFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(responses=CreditNoteSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List credit notes, the newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert page is not None
        return self.get_paginated_response([_saved(note) for note in page])

    def retrieve(self, request: Request, uuid: str) -> Response:
        """Read a credit note."""
        return Response(_detailed(self.get_object()))

    @extend_schema(
        request=NewCreditNoteSerializer,
        responses={
            201: CreditNoteDetailSerializer,
            200: OpenApiResponse(CreditNoteDetailSerializer, description="It was only tried."),
        },
        examples=[OpenApiExample("Some of a line is credited", CREDIT, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Credit an issued invoice, all of it or parts of its lines.

        It is numbered and dated at once, and never changes. First it reduces what is open of the
        invoice, then what was written off; what was paid beyond that is the customer's again.
        """
        body = self.read_body(NewCreditNoteSerializer)
        invoice = Invoice.objects.with_lines().filter(uuid=body["invoice"]).first()
        if invoice is None:
            told = "There is no such invoice."
            raise Invalid([Fault(("invoice",), "unknown_invoice", told)])
        terms = {
            "asked": _asked(invoice, body["lines"]),
            "reason": body["reason"],
            "refund": body["refund"],
            "at": timezone.now(),
        }
        if body["dry_run"]:
            tried = draft_credit_note(invoice, **terms)
            if body["bill_anew"]:
                check_bill_anew(invoice, tried.note)
            return Response({**_answer(tried.note, tried.lines, tried.taxes), "deliveries": []})
        made = issue_credit_note(
            invoice_id=invoice.pk, **terms, bill_anew=body["bill_anew"], actor=self.actor
        )
        tasks.nudge_outbox()
        return Response(_detailed(self.get_queryset().get(pk=made.pk)), status=201)

    @extend_schema(request=SendSerializer)
    @action(detail=True, methods=["post"])
    def send(self, request: Request, uuid: str) -> Response:
        """Send a credit note by e-mail, once more or for the first time; `deliveries` tells of it."""
        note = self.get_object()
        to = self.read_body(SendSerializer).get("to", ())
        send_credit_notes(note_ids=[note.pk], to=to, at=timezone.now(), actor=self.actor)
        tasks.nudge_mails()
        return Response(_detailed(note))

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
        """Print a credit note: always the same bytes, whose SHA-256 is the `ETag`.

        503 where the machine lacks the libraries that lay out a PDF.
        """
        note = self.get_object()
        pdf = tasks.printed_note(note)
        if pdf is None:
            return HttpResponse(status=202, headers={"Retry-After": "2"})
        return unchanging(request, pdf, "application/pdf", f"{note.number}.pdf")

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
        """Read the XML that an electronic credit note's PDF carries (EN 16931, Factur-X).

        Always the same bytes, whose SHA-256 is the `ETag`. 409 `no_electronic_invoice`, saying why,
        for one whose `has_xml` is false.
        """
        note = self.get_object()
        check_note_has_xml(note)
        pdf = tasks.printed_note(note)
        if pdf is None:
            return HttpResponse(status=202, headers={"Retry-After": "2"})
        return unchanging(request, xml_in(pdf), "application/xml", f"{note.number}.xml")


def _asked(invoice: Invoice, parts: Sequence[Mapping[str, Any]] | None) -> Sequence[Asked] | None:
    """Name lines by their ids; one that the invoice has not is refused with the rest."""
    if parts is None:
        return None
    ids = {line.uuid: line.pk for line in invoice.lines.all()}
    said, other = ("gross", "net") if invoice.prices_include_tax else ("net", "gross")
    wrong = [
        Fault(("lines", n, other), "priced_otherwise", f"Say `{said}`, as the invoice is priced.")
        for n, one in enumerate(parts)
        if one[other] is not None
    ]
    if wrong:
        raise Invalid(wrong)
    return [
        Asked(ids.get(one["line"], 0), one[said], one["quantity"], ("lines", n))
        for n, one in enumerate(parts)
    ]


def _detailed(note: CreditNote) -> dict[str, Any]:
    deliveries = [delivery_answer(one) for one in note.deliveries.order_by("-pk")]
    return {**_saved(note), "deliveries": deliveries}


def _saved(note: CreditNote) -> dict[str, Any]:
    return _answer(note, note.lines.all(), note.taxes.all())


def _answer(
    note: CreditNote, lines: Iterable[CreditNoteLine], taxes: Iterable[CreditNoteTax]
) -> dict[str, Any]:
    invoice = note.invoice
    places = exponent(invoice.currency)
    return {
        "id": note.uuid if note.pk else None,
        "number": note.number or None,
        "invoice": invoice.uuid,
        "invoice_number": invoice.number,
        "customer": invoice.customer.key,
        "currency": invoice.currency,
        "issue_date": note.issue_date,
        "reason": note.reason,
        "lines": [_line(one, one.line, places) for one in lines],
        "taxes": [
            {
                "category": tax.category,
                "rate": plain(tax.rate),
                "base": amount(tax.base, places),
                "amount": amount(tax.amount, places),
                "reason": tax.reason,
            }
            for tax in taxes
        ],
        "net_total": amount(note.net_total, places),
        "tax_total": amount(note.tax_total, places),
        "total": amount(note.total, places),
        "uses": {name: amount(getattr(note, name), places) for name in USES},
        "tax_in_books": note.tax_in_books or None,
        "has_xml": note_has_xml(note),
        "issued_with": note.issued_with and note.issued_with.uuid,
        "seller": party_answer(note.seller),
        "buyer": party_answer(note.buyer),
        "issued_at": note.issued_at,
        "issued_by": note.issued_by,
    }


def _line(one: CreditNoteLine, line: InvoiceLine, places: int) -> dict[str, Any]:
    return {
        "line": line.uuid,
        "description": line.description,
        "quantity": None if one.quantity is None else plain(one.quantity),
        "net": amount(one.net, places),
        "gross": None if one.gross is None else amount(one.gross, places),
        "tax_category": line.tax_category,
        "tax_rate": plain(line.tax_rate),
    }


routes = [("credit-notes", CreditNoteViewSet, "credit-note")]
