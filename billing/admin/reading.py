"""An invoice's page as plain values: what it says, what was measured, what happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from billing.admin import words
from billing.annexes import told_change
from billing.beside import beside
from billing.electronic.demands import has_xml, lacking, too_fine, why_none
from billing.models import Invoice, UsageSnapshot
from billing.presentation import present
from billing.reissue import Links, links_to
from billing.services.add_ons import sale_in_words
from billing.services.issuing import usage_since
from catalog.money import plain
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.trail import entry_rows
from config.base.models import AuditEntry

ENTRIES = 10


def reading(
    invoice: Invoice, *, at: datetime, in_english: bool, recalculate_url: str
) -> dict[str, Any]:
    """Return what the page shows of an invoice loaded `with_lines`; a constant number of queries."""
    links = links_to(invoice)
    replaces, replaced_by = links.named
    view = present(
        invoice,
        locale=words.LOCALE if in_english else None,
        change=told_change(invoice),
        replaces=replaces,
        replaced_by=replaced_by,
        beside=beside(invoice),
    )
    snapshots = _snapshots(invoice)
    entries = AuditEntry.objects.filter(
        subject_type=Invoice._meta.label_lower, subject_id=invoice.pk
    ).order_by("-id")
    entries_shown = list(entries[: ENTRIES + 1])
    return {
        "invoice": {
            "name": words.name_of(invoice),
            "buyer": words.buyer_of(invoice),
            "status": invoice.get_status_display(),
            "tag": words.tag_of(invoice),
            "total": words.money(invoice.total, invoice.currency),
            "net": words.money(invoice.net_total, invoice.currency),
            "tax": words.money(invoice.tax_total, invoice.currency),
            "reason": invoice.reason,
            "pdf_url": reverse("admin:billing_invoice_pdf", args=(invoice.pk,)),
            "xml_url": reverse("admin:billing_invoice_xml", args=(invoice.pk,))
            if has_xml(invoice)
            else "",
            "history_url": reverse("admin:billing_invoice_history", args=(invoice.pk,)),
            "is_open": invoice.is_open,
        },
        "facts": [*_facts(invoice), *_related(links)],
        "view": view,
        "is_foreign": view.language.partition("-")[0] != "en",
        "in_english": in_english,
        "news": list(_news(invoice, snapshots, at=at)) if invoice.is_open else [],
        "recalculate_url": recalculate_url,
        "measured": {
            "snapshots": [_measured(snapshot, invoice) for snapshot in snapshots],
            "is_of_invoice": True,
        },
        "entries": [(entry, entry_rows(entry)) for entry in entries_shown[:ENTRIES]],
        "has_more_entries": len(entries_shown) > ENTRIES,
    }


def _facts(invoice: Invoice) -> Iterator[tuple[str, str, str]]:
    """Yield (label, value, address): what stands beside the paper rather than on it."""
    yield "Customer", invoice.customer.name, words.page("customers_customer", invoice.customer_id)
    subscriptions = {line.subscription_id: line.subscription for line in invoice.lines.all()}
    for charge in invoice.charges.all():
        period = charge.period
        text = f"{charge.get_purpose_display()}, {words.span(period.start_date, period.end_date)}"
        if len(subscriptions) > 1 and charge.subscription_id in subscriptions:
            text = f"{text} of {subscriptions[charge.subscription_id].key}"
        yield "Charges", text, words.page("billing_billingperiod", period.pk)
    for line in invoice.lines.all():
        if sold := line.sold_add_on:
            text = f"{sold}, {sale_in_words(sold)}"
            yield "Add-on", text, words.page("billing_soldaddon", sold.pk)
    for pk, subscription in subscriptions.items():
        yield "Subscription", subscription.key, words.page("customers_subscription", pk)
    for tax in invoice.taxes.all():
        if tax.basis:
            yield f"Why {tax.category} {plain(tax.rate)} %", tax.basis, ""
    if invoice.run:
        run = f"Run {invoice.run_id} as of {words.moment(invoice.run.as_of)}"
        yield "Drafted by", run, words.page("billing_billingrun", invoice.run_id)
    yield "Drafted", words.moment(invoice.created_at), ""
    if invoice.is_open:
        yield "Issued by itself", _when_issued(invoice), ""
    if invoice.status == "draft" and invoice.group_key:
        yield "May be joined", "by subscriptions of the same payer that are due the same day", ""
    if invoice.issued_at:
        yield "Issued", words.moment(invoice.issued_at), ""
    if invoice.due_date:
        yield "Due", words.day(invoice.due_date), ""
    if invoice.voided_at:
        ceased = "Voided" if invoice.status == "void" else "Credited, to be billed anew"
        yield ceased, words.moment(invoice.voided_at), ""
    if invoice.discarded_at:
        yield "Discarded", words.moment(invoice.discarded_at), ""
    if invoice.issuer.electronic_invoices or has_xml(invoice):
        yield "Electronic invoice", _electronic(invoice), ""
    for document in invoice.documents.all():
        yield "Document", f"{document.size_bytes // 1024} kB, SHA-256 {document.sha256}", ""


def _electronic(invoice: Invoice) -> str:
    """Say whether a machine can read it, or, before it is issued, what is missing."""
    if not invoice.is_open:
        return why_none(invoice) or "the PDF carries it as XML (EN 16931, Factur-X)"
    if why := too_fine(invoice.currency):
        return why
    found = lacking([invoice], {invoice.issuer_id: invoice.issuer})
    return found.get(invoice.pk, "the PDF will carry it as XML (EN 16931, Factur-X)")


def _related(links: Links) -> Iterator[tuple[str, str, str]]:
    """Yield what bills anew what a void invoice billed, drafts too."""
    for label, some in (("Replaces", links.replaces), ("Replaced by", links.replaced_by)):
        for one in some:
            yield label, words.name_of(one), words.page("billing_invoice", one.pk)


def _when_issued(invoice: Invoice) -> str:
    if invoice.status == "review":
        return "no: held for review"
    if invoice.auto_issue_at is None:
        return "no: waits for a person to issue it"
    return f"from {words.moment(invoice.auto_issue_at)}"


def _snapshots(invoice: Invoice) -> list[UsageSnapshot]:
    """Return every revision of what was measured for the periods that this invoice bills usage of."""
    periods = {line.period_id for line in invoice.lines.all() if line.snapshot_id}
    if not periods:
        return []
    found = UsageSnapshot.objects.filter(period__in=periods).select_related("metric", "period")
    return list(found.order_by("metric__name", "metric_id", "-revision"))


def _news(invoice: Invoice, snapshots: Sequence[UsageSnapshot], *, at: datetime) -> Iterator[str]:
    """Say what has arrived since the draft was measured; or why that can't be known."""
    try:
        changed = usage_since(invoice, at=at)
    except REFUSED as refusal:
        for _, message in complaints(refusal):
            yield f"It can't be recalculated now. {message}"
        return
    before = {(one.period_id, one.metric_id): one for one in reversed(snapshots)}
    owners = _owners(invoice)
    for now in changed:
        then = before.get((now.period_id, now.metric_id))
        more = now.events - (then.events if then else 0)
        change = "more" if more >= 0 else "fewer"
        yield (
            f"{now.metric.name}{owners.get(now.period_id, '')}: {words.number(now.told)} now, "
            f"{words.number(then.told if then else 0)} in this draft "
            f"({words.counted(abs(more), 'event')} {change})."
        )


def _owners(invoice: Invoice) -> dict[int | None, str]:
    """Say whose each period is where several subscriptions share the invoice: " of acme-scale"."""
    if len(invoice.sections) < 2:
        return {}
    return {line.period_id: f" of {line.subscription.key}" for line in invoice.lines.all()}


def _measured(snapshot: UsageSnapshot, invoice: Invoice) -> dict[str, Any]:
    used = {line.snapshot_id for line in _usage_lines(invoice)}
    period = snapshot.period
    return {
        "metric": f"{snapshot.metric.name}{_owners(invoice).get(period.pk, '')}",
        "period": words.span(period.start_date, period.end_date),
        "quantity": words.number(snapshot.told),
        "unit": snapshot.metric.unit_plural,
        "events": words.number(snapshot.events),
        "last_received": words.moment(snapshot.last_received_at) or "—",
        "taken_at": words.moment(snapshot.taken_at),
        "revision": snapshot.revision,
        "is_billed": snapshot.pk in used,
    }


def _usage_lines(invoice: Invoice) -> Iterable[Any]:
    return (line for line in invoice.lines.all() if line.snapshot_id)
