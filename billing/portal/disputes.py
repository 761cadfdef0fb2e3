"""Disputing what is open of an invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing.models import Invoice, InvoiceStatus
from billing.portal import words
from billing.presentation.reader import Reader
from billing.services.disputing import DisputedAlready, NothingOpen, open_dispute
from billing.services.payments import MoreThanOpen
from catalog.money import round_half_up
from config.base.audit import Actor
from config.base.errors import Invalid
from config.base.fields import NOT_IN_A_TEXT
from config.base.models import ActorKind
from customers.portal import Visitor, page, signed_in

LONGEST = 2000
_DIGITS = 20


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dispute(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Ask how much is disputed and why; POST notes it, with who asked."""
    mine = Invoice.objects.select_related("open_item").filter(customer=visitor.customer)
    found = mine.filter(uuid=uuid, status=InvoiceStatus.ISSUED).first()
    if found is None:
        raise Http404
    back = reverse("portal:invoice", args=(uuid,))
    item = found.open_item
    if not item.open or item.disputes.filter(closed_on=None).exists():
        return HttpResponseRedirect(back)
    reader, say = Reader(visitor.locale, found.currency), words.of(visitor.locale)
    open_now, example = reader.money(item.open), f"{round_half_up(item.open, reader.exponent):f}"
    context: dict[str, Any] = {
        "words": say,
        "title": say["dispute_of"].format(number=found.number),
        "number": found.number,
        "lead": say["dispute_lead"].format(open=open_now),
        "amount_label": say["dispute_amount"].format(currency=found.currency),
        "amount": example,
        "back": back,
    }
    if request.method != "POST":
        return page(request, "dispute.html", context, visitor=visitor, current="invoices")
    written = request.POST.get("amount", "")[:30]
    reason = request.POST.get("reason", "").replace("\r\n", "\n").strip()
    amount = _read(written)
    bad_amount = say["dispute_bad_amount"].format(open=open_now, example=example)
    errors = {"reason_error": _wrong_with(reason, say)} if _wrong_with(reason, say) else {}
    if amount is None:
        errors["amount_error"] = bad_amount
    if not errors:
        assert amount is not None
        try:
            open_dispute(
                invoice_id=found.pk,
                amount=amount,
                reason=reason,
                at=timezone.now(),
                actor=Actor(ActorKind.USER, visitor.contact.email),
                by_customer=True,
            )
        except (Invalid, MoreThanOpen):
            errors["amount_error"] = bad_amount
        except (DisputedAlready, NothingOpen):
            return HttpResponseRedirect(back)
        else:
            return HttpResponseRedirect(back)
    context |= {"amount": written, "reason": reason[:LONGEST], **errors}
    return page(request, "dispute.html", context, visitor=visitor, current="invoices", status=400)


def _read(text: str) -> Decimal | None:
    """Read an amount as people type it, "1234.50" or "1234,50"; None for anything else."""
    plain = text.strip().replace(",", ".")
    digits = plain.replace(".", "", 1)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS):
        return None
    return Decimal(plain)


def _wrong_with(reason: str, say: Any) -> str:
    if not reason:
        return str(say["dispute_empty"])
    if len(reason) > LONGEST or NOT_IN_A_TEXT.search(reason):
        return str(say["dispute_long"])
    return ""
