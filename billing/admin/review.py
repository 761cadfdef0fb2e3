"""Reviewing drafts by exception: those that need eyes first, each with its reason, and one decision
over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin import words
from billing.admin.batches import nudge_part
from billing.beside import NOTHING_BESIDE, ToldBeside, carriers_of, told_beside
from billing.models import BatchAction, Invoice, Oddity
from billing.querysets import InvoiceQuerySet
from billing.services import batches, issuing, reviewing
from config.base.admin.audited import AuditedAdmin
from config.base.admin.complaints import REFUSED, complaints
from config.base.audit import Actor
from config.base.fields import NOT_IN_A_TEXT, UNSEEN, ExactSum

SHOWN = 50
VIEW = "billing.view_invoice"
REASONS = {
    "": "All that need eyes",
    reviewing.HELD: "Held for review",
    Oddity.CHANGED.value: Oddity.CHANGED.label,
    Oddity.USAGE.value: Oddity.USAGE.label,
    Oddity.FIRST.value: Oddity.FIRST.label,
    reviewing.BY_HAND: "Waits for a person",
    reviewing.ZERO_TOTAL: "Nothing to pay",
    Oddity.LATE.value: Oddity.LATE.label,
    Oddity.UNKNOWN.value: Oddity.UNKNOWN.label,
    "none": "All others",
    "every": "All drafts",
}
PERMISSIONS = {
    BatchAction.ISSUE: "billing.issue_invoice",
    BatchAction.HOLD: "billing.hold_invoice",
    BatchAction.DISCARD: "billing.discard_invoice",
}
VERBS = {
    BatchAction.ISSUE: "Issue",
    BatchAction.HOLD: "Hold",
    BatchAction.DISCARD: "Discard",
}


class ReviewPages(AuditedAdmin[Invoice]):
    """The page of open drafts, odd ones first, in the admin of invoices."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("review/", wrap(self.review), name="billing_invoice_review"),
            path("decide/", wrap(self.decide), name="billing_invoice_decide"),
            *super().get_urls(),
        ]

    def review(self, request: HttpRequest) -> HttpResponse:
        """List the drafts that need eyes, or those of one reason."""
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        run, reason = _asked(request)
        mine = _of_run(run)
        chosen = _chosen(mine, reason).order_by("-pk")
        rows = chosen.select_related("customer").prefetch_related(
            "look__oddities", "charges__period"
        )
        page = Paginator(rows, SHOWN).get_page(request.GET.get("p"))
        counts = reviewing.counted_reasons(mine)
        counts[""] = _chosen(mine, "").count()
        counts["every"] = mine.count()
        counts["none"] = counts["every"] - counts[""]
        context = {
            **self.page_context(request, "Review drafts", None),
            "run": run,
            "reason": reason,
            "reasons": [
                {
                    "name": name,
                    "label": label,
                    "count": words.number(counts.get(name, 0)),
                    "url": f"?{_query(run, name)}",
                    "is_chosen": name == reason,
                }
                for name, label in REASONS.items()
                if counts.get(name) or name in ("", "every", reason)
            ],
            "rows": _rows(list(page)),
            "page": page,
            "kept": f"{_query(run, reason)}&" if _query(run, reason) else "",
            "unseen": words.number(mine.filter(look=None).count()),
            "total": _sums(chosen),
            "actions": [
                (action.value, VERBS[action])
                for action, permission in PERMISSIONS.items()
                if request.user.has_perm(permission)
            ],
        }
        return TemplateResponse(request, "admin/billing/review.html", context)

    def decide(self, request: HttpRequest) -> HttpResponse:
        """Say what a decision does to these drafts, how many and what they come to; do it once told."""
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        run, reason = _asked(request)
        action = given.get("action", "")
        if action not in BatchAction.values:
            return HttpResponseRedirect(_address(run, reason))
        decision = BatchAction(action)
        if not request.user.has_perm(PERMISSIONS[decision]):
            raise PermissionDenied
        ids = [int(pk) for pk in given.getlist("ids") if words.is_id(pk)]
        drafts = _chosen(_of_run(run), reason)
        if given.get("which") != "all":
            drafts = reviewing.open_drafts().filter(pk__in=ids)
        if not drafts.exists():
            self.message_user(request, "Choose the drafts first.", messages.WARNING)
            return HttpResponseRedirect(_address(run, reason))
        seen = _sums(drafts)
        if request.method != "POST" or given.get("seen") != seen:
            error = "The drafts changed since: look again." if given.get("seen") else ""
            return self._ask(request, decision, drafts, seen=seen, ids=ids, error=error)
        why = given.get("why", "").strip()
        if NOT_IN_A_TEXT.search(why.replace("\r\n", "\n")):
            return self._ask(request, decision, drafts, seen=seen, ids=ids, error=UNSEEN)
        try:
            batch = batches.start_batch(
                invoices=drafts,
                action=decision,
                reason=why,
                at=timezone.now(),
                actor=Actor.user(request.user),
            )
        except REFUSED as refusal:
            said = " ".join(message for _, message in complaints(refusal))
            return self._ask(request, decision, drafts, seen=seen, ids=ids, error=said)
        nudge_part(batch)
        return HttpResponseRedirect(words.page("billing_invoicebatch", batch.pk))

    def _ask(
        self,
        request: HttpRequest,
        decision: BatchAction,
        drafts: InvoiceQuerySet,
        *,
        seen: str,
        ids: list[int],
        error: str,
    ) -> HttpResponse:
        run, reason = _asked(request)
        given = request.POST if request.method == "POST" else request.GET
        which = words.counted(drafts.count(), "draft")
        context = {
            **self.page_context(request, f"{VERBS[decision]} {which}?", None),
            "action": decision.value,
            "which": given.get("which", ""),
            "run": run,
            "reason": reason,
            "ids": ids if given.get("which") != "all" else [],
            "seen": seen,
            "sentences": _meaning(decision, drafts, seen),
            "asks_why": decision != BatchAction.ISSUE,
            "why": given.get("why", ""),
            "needs_why": decision == BatchAction.DISCARD,
            "error": error,
            "danger": decision == BatchAction.DISCARD,
            "button": f"{VERBS[decision]} {which}",
            "back": _address(run, reason),
        }
        return TemplateResponse(request, "admin/billing/decide.html", context)


def _meaning(decision: BatchAction, drafts: InvoiceQuerySet, seen: str) -> list[str]:
    held = drafts.filter(reviewing.LIVE[reviewing.HELD]).count()
    said = [f"In all {seen}, tax included."]
    if held:
        verb = "is" if held == 1 else "are"
        said.append(f"{words.number(held)} of them {verb} held for review, with a reason.")
    if decision == BatchAction.ISSUE:
        some = drafts.only("pk", "issuer_id", "credited_beside")
        said += [
            f"{block.issuer}: {block.first} to {block.last}, dated {words.day(block.issue_date)}."
            for block in issuing.numbers_ahead(some, as_of=timezone.now())
        ]
        said += words.leaving(drafts.filter(credited_beside__gt=0))
        said.append(
            "An issued invoice never changes. What can’t be issued is left as it is, and named."
        )
    elif decision == BatchAction.HOLD:
        said.append("They are not issued by themselves any more, until somebody releases them.")
    else:
        said.append(
            "Their periods are open again, and the next run drafts them anew. Discarded drafts stay "
            "on record and spend no number."
        )
    return said


def _asked(request: HttpRequest) -> tuple[str, str]:
    """Return which run, and which reason: a text of REASONS."""
    given = request.POST if request.method == "POST" else request.GET
    run, reason = given.get("run", ""), given.get("reason", "")
    return run if words.is_id(run) else "", reason if reason in REASONS else ""


def _of_run(run: str) -> InvoiceQuerySet:
    drafts = reviewing.open_drafts()
    return drafts.filter(run=int(run)) if run else drafts


def _chosen(drafts: InvoiceQuerySet, reason: str) -> InvoiceQuerySet:
    if reason == "every":
        return drafts
    if reason == "none":
        return drafts.exclude(pk__in=reviewing.with_reason(drafts, "").order_by().values("pk"))
    return reviewing.with_reason(drafts, reason)


def _query(run: str, reason: str) -> str:
    asked = {"run": run, "reason": reason}
    return urlencode({name: value for name, value in asked.items() if value})


def _address(run: str, reason: str) -> str:
    return f"{reverse('admin:billing_invoice_review')}?{_query(run, reason)}"


def _sums(drafts: InvoiceQuerySet) -> str:
    """Write "12 drafts, 1,200.00 EUR and 80.00 USD"; one query."""
    groups = drafts.order_by().values_list("currency")
    rows = list(groups.annotate(count=Count("pk"), sum=ExactSum("total")))
    count = words.counted(sum(n for _, n, _ in rows), "draft")
    return f"{count}, {words.totals((currency, total) for currency, _, total in rows)}"


def _rows(drafts: Sequence[Invoice]) -> list[dict[str, Any]]:
    """Say of each what to look at, and which credit notes would be issued with it."""
    beside = told_beside(carriers_of(drafts))
    return [_row(draft, beside.get(draft.uuid, NOTHING_BESIDE)) for draft in drafts]


def _row(invoice: Invoice, beside: ToldBeside) -> dict[str, Any]:
    look = getattr(invoice, "look", None)
    reasons = (
        [oddity.detail for oddity in look.oddities.all()] if look else ["Not looked over yet."]
    )
    if invoice.status == "review":
        reasons.insert(0, f"Held: {invoice.reason or 'by a person.'}")
    elif invoice.auto_issue_at is None:
        reasons.append("Waits for a person to issue it.")
    if not invoice.total:
        reasons.append("Nothing to pay.")
    reasons += words.beside(beside, invoice.currency)
    return {
        "pk": invoice.pk,
        "name": words.name_of(invoice),
        "url": words.page("billing_invoice", invoice.pk),
        "buyer": words.buyer_of(invoice),
        "purpose": words.purpose_of(invoice),
        "status": invoice.get_status_display(),
        "tag": words.tag_of(invoice),
        "total": words.money(invoice.total, invoice.currency),
        "reasons": reasons,
    }
