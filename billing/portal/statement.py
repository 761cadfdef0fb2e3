"""The statement of a customer's account: what was billed and paid, to the end of a day."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_safe

from billing.accounts import currencies_of, positions, statement_of
from billing.documents import PDF_POLICY, render_statement
from billing.portal import words
from billing.presentation.statement import StatementView, present_statement
from billing.services.payments import book_date
from billing.typesetting import PdfEngineMissing
from customers.portal import Visitor, page, signed_in


@require_safe
@signed_in
def statement(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Show the account to the end of a day; today unless asked for an earlier one."""
    until, currency = _asked(request, visitor)
    context = {
        "words": words.of(visitor.locale),
        "view": _view(visitor, until=until, currency=currency),
        "until": until.isoformat(),
        "today": book_date(visitor.customer, at=timezone.now()).isoformat(),
        "currencies": currencies_of(visitor.customer),
        "shown": currency,
        "pdf_url": f"{reverse('portal:statement_pdf')}?"
        + urlencode({"until": until.isoformat(), "currency": currency}),
    }
    return page(request, "statement.html", context, visitor=visitor, current="invoices")


@require_safe
@signed_in
def statement_pdf(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Download the same as a PDF."""
    until, currency = _asked(request, visitor)
    try:
        content = render_statement(_view(visitor, until=until, currency=currency), until=until)
    except PdfEngineMissing:
        say = words.of(visitor.locale)
        context = {
            "words": say,
            "title": say["pdf_none"],
            "lead": say["pdf_none_lead"],
            "back": reverse("portal:statement"),
            "pdf_url": "",
        }
        return page(
            request, "about_pdf.html", context, visitor=visitor, current="invoices", status=503
        )
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="statement-{until}.pdf"',
            "Content-Security-Policy": PDF_POLICY,
        },
    )


def _asked(request: HttpRequest, visitor: Visitor) -> tuple[date, str]:
    """Return the day and currency asked for; today's and the customer's where they make no sense."""
    today = book_date(visitor.customer, at=timezone.now())
    try:
        until = parse_date(request.GET.get("until", "")) or today
    except ValueError:
        until = today
    known = currencies_of(visitor.customer)
    currency = request.GET.get("currency", "")
    return min(until, today), currency if currency in known else known[0]


def _view(visitor: Visitor, *, until: date, currency: str) -> StatementView:
    customer = visitor.customer
    found = positions(as_of=until, customer_ids=[customer.pk])
    return present_statement(
        statement_of(customer, currency, until=until),
        found.get((customer.pk, currency)),
        customer=customer,
        issuer=visitor.issuer,
        currency=currency,
        until=until,
        locale=visitor.locale,
    )
