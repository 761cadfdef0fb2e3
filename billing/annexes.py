"""What an invoice tells besides its lines, as data: why it changed, and usage day by day.

Read from rows as long as an invoice is open; once issued, kept with it before its document is made.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.urls import reverse

from billing.change import Change, change_of
from billing.detail import usage_details
from billing.models import Invoice, InvoiceAnnex, InvoiceLine, LineKind
from catalog.money import exponent, plain, round_half_up


class Annex(NamedTuple):
    """Both parts as JSON data, and where its buyer sees the invoice on line."""

    change: dict[str, Any] | None
    usage: list[dict[str, Any]]
    portal_url: str = ""


def annex_of(invoice: Invoice) -> Annex:
    """Return what was kept of an invoice loaded `with_lines`, or what would be kept of it now."""
    kept = _kept(invoice)
    if kept is not None:
        return Annex(kept.change, kept.usage, kept.portal_url)
    url = f"{settings.PUBLIC_URL}{reverse('portal:invoice', args=(invoice.uuid,))}"
    return Annex(told_change(invoice), usage_details(invoice), url if invoice.number else "")


def keep_annex(invoice: Invoice) -> Annex:
    """Keep what an issued invoice tells, once; running again changes nothing."""
    kept, _ = InvoiceAnnex.objects.get_or_create(
        invoice=invoice, defaults=annex_of(invoice)._asdict()
    )
    return Annex(kept.change, kept.usage, kept.portal_url)


def told_change(invoice: Invoice) -> dict[str, Any] | None:
    """Return why an invoice, loaded `with_lines`, differs from the last; None where there is none."""
    kept = _kept(invoice)
    if kept is not None:
        change: dict[str, Any] | None = kept.change
        return change
    compared = change_of(invoice)
    if compared is None:
        return None
    told = _change(*compared, exponent=exponent(invoice.currency))
    if not invoice.prices_include_tax:
        return told
    is_taxed = any(tax.rate for tax in invoice.taxes.all())
    return {**told, "include_tax" if is_taxed else "no_tax_due": True}


def _kept(invoice: Invoice) -> InvoiceAnnex | None:
    try:
        return invoice.annex
    except ObjectDoesNotExist:
        return None


def _change(change: Change, last: list[Invoice], *, exponent: int) -> dict[str, Any]:
    def amount(value: Decimal) -> str:
        return f"{round_half_up(value, exponent):f}"

    return {
        "last": [one.number for one in last],
        "last_period": _served([line for one in last for line in one.lines.all()]),
        "last_net": amount(change.last_net),
        "net": amount(change.net),
        "drivers": [
            {
                "kind": driver.kind.value,
                "said_as": driver.said_as,
                "name": driver.name,
                "unit": driver.unit,
                "unit_plural": driver.unit_plural,
                "before": None if driver.before is None else plain(driver.before),
                "now": None if driver.now is None else plain(driver.now),
                "amount": amount(driver.amount),
            }
            for driver in change.drivers
        ],
    }


def _served(lines: list[InvoiceLine]) -> dict[str, str] | None:
    """Return the days whose usage was billed; None where none was."""
    usage = [line for line in lines if line.kind == LineKind.USAGE]
    if not usage:
        return None
    return {
        "start": min(line.service_start for line in usage).isoformat(),
        "end": max(line.service_end for line in usage).isoformat(),
    }
