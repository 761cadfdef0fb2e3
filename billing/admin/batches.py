"""What was decided for many open invoices at once, and how far it is done."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing import tasks
from billing.admin import words
from billing.admin.progress import Progress, WatchedAdmin
from billing.models import BatchState, BatchStatus, InvoiceBatch
from billing.services import batches
from config.base.admin.theme import display

HOLD = "billing.hold_invoice"
SHOWN = 50


@admin.register(InvoiceBatch)
class InvoiceBatchAdmin(WatchedAdmin[InvoiceBatch]):
    list_display = ("name", "decision", "state", "started", "reason")
    list_filter = ("action", "status")
    search_fields = ("started_by", "reason")
    search_help_text = "Search by who decided, or why"
    ordering = ("-pk",)
    start_permission = HOLD
    change_form_template = "admin/billing/batch.html"
    empty_hint = "Many drafts are issued, held or discarded at once on the page “Review drafts”."

    @display(description="When", ordering="pk")
    def name(self, batch: InvoiceBatch) -> str:
        return words.moment(batch.started_at)

    @display(description="Decision", ordering="action")
    def decision(self, batch: InvoiceBatch) -> str:
        return batch.get_action_display()

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, batch: InvoiceBatch) -> str:
        return batch.get_status_display()

    @display(description="By", ordering="started_by")
    def started(self, batch: InvoiceBatch) -> str:
        return batch.started_by

    def heading(self, batch: InvoiceBatch) -> str:
        return f"{batch.get_action_display()}: {words.moment(batch.started_at)}"

    def is_running(self, batch: InvoiceBatch) -> bool:
        return batch.status == BatchStatus.WORKING

    def nudge(self, batch: InvoiceBatch) -> None:
        nudge_part(batch)

    def progress_of(self, request: HttpRequest, batch: InvoiceBatch) -> Progress:
        counts = batches.counted_rows(batch)
        total, waiting = sum(counts.values()), counts.get(BatchState.WAITING, 0)
        refused = counts.get(BatchState.REFUSED, 0)
        facts = [
            ("Decision", batch.get_action_display()),
            (
                "Done",
                f"{words.number(counts.get(BatchState.DONE, 0))} of "
                f"{words.counted(total, 'invoice')}",
            ),
            ("Left as they were", words.number(refused)),
            ("Decided", f"{words.moment(batch.started_at)} by {batch.started_by}"),
        ]
        if batch.reason:
            facts.append(("Why", batch.reason))
        if batch.finished_at:
            facts.append(("Finished", words.moment(batch.finished_at)))
        return Progress(
            status=batch.get_status_display(),
            tag="pb-good" if batch.finished_at else "pb-open",
            percent=100 if batch.finished_at else 100 * (total - waiting) // max(1, total),
            is_running=self.is_running(batch),
            facts=facts,
            trouble=batch.last_error,
            warning=f"{words.number(refused)} left as they were" if refused else "",
        )

    def below(self, request: HttpRequest, batch: InvoiceBatch) -> dict[str, Any]:
        rows = batch.rows.select_related("invoice__customer")
        rows = rows.prefetch_related("invoice__charges__period")
        # What was refused is what somebody has to look at: first.
        page = Paginator(rows.order_by("-state", "pk"), SHOWN).get_page(request.GET.get("p"))
        return {
            "rows": [
                {
                    "name": words.name_of(row.invoice),
                    "url": words.page("billing_invoice", row.invoice_id),
                    "buyer": words.buyer_of(row.invoice),
                    "total": words.money(row.invoice.total, row.invoice.currency),
                    "state": row.get_state_display(),
                    "tag": TAGS[BatchState(row.state)],
                    "note": row.note,
                }
                for row in page
            ],
            "page": page,
            "review_url": reverse("admin:billing_invoice_review"),
        }


TAGS = {BatchState.WAITING: "", BatchState.DONE: "pb-good", BatchState.REFUSED: "pb-bad"}


def nudge_part(batch: InvoiceBatch) -> None:
    """Tell the workers; without any, do the first part here and leave the rest to the page."""
    if settings.CELERY_TASK_ALWAYS_EAGER:
        batches.take_step(batch_id=batch.pk, now=timezone.now())
    else:
        tasks.nudge_batch(batch.pk)
