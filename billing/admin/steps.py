"""What may be done to invoices: each step says what it means, whom it refuses, and does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple, TypeVar

from django.db import transaction

from billing.admin import words
from billing.admin.words import counted, money, name_of
from billing.electronic.demands import lacking
from billing.models import Invoice, InvoiceStatus
from billing.services import issuing, sending
from config.base.admin.complaints import REFUSED, complaints
from config.base.audit import Actor

Result = TypeVar("Result")
Document = TypeVar("Document", bound=sending.Document)


class Refused(NamedTuple):
    """An invoice or a credit note that is left alone, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}"


class Answers(NamedTuple):
    """What the confirmation asked: why, and whether the period is billed anew or waived."""

    reason: str = ""
    reopen: bool = True


class Foreseen(NamedTuple):
    """One invoice on the confirmation page, and what it comes to."""

    invoice: Invoice
    after: str = ""


class Step:
    """Something done to invoices once it is confirmed; a service does the work."""

    name: ClassVar[str]
    verb: ClassVar[str]
    done: ClassVar[str]
    icon: ClassVar[str]
    permission: ClassVar[str]
    offered: ClassVar[set[str]]
    """In which states an invoice's page offers it."""
    after: ClassVar[str] = ""
    """Heading of what an invoice comes to, where the step changes that."""
    is_final: ClassVar[bool] = False
    asks_why: ClassVar[bool] = False

    def check(self, invoice: Invoice, *, at: datetime) -> None:
        """Raise the refusal that the service would raise."""
        issuing.check_open(invoice)

    def foresee(self, invoices: Sequence[Invoice], *, at: datetime) -> list[Foreseen]:
        return [Foreseen(invoice) for invoice in invoices]

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        """Say in sentences what happens, to customers and to the books."""
        raise NotImplementedError

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        raise NotImplementedError

    def button(self, invoices: Sequence[Invoice]) -> str:
        """Say what the button does; with a question mark, it is the page's title."""
        return f"{self.verb} {_which(invoices)}"

    def success(self, invoices: Sequence[Invoice]) -> str:
        """Say what was done: "Issued INV-2026-000001 to INV-2026-000003, 1,200.00 EUR."."""
        return f"{self.done} {_which(invoices)}, {sum_of(invoices)}."


class Issue(Step):
    name, verb, done, icon = "issue", "Issue", "Issued", "verified"
    permission = "billing.issue_invoice"
    offered = {InvoiceStatus.DRAFT, InvoiceStatus.REVIEW}
    is_final = True

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        invoices = [one.invoice for one in foreseen]
        said = []
        blocks = issuing.numbers_ahead(invoices, as_of=at)
        for block in blocks:
            count = sum(invoice.issuer_id == block.issuer.pk for invoice in invoices)
            which = (
                f"{block.first}" if block.first == block.last else f"{block.first} to {block.last}"
            )
            verb = "gets the number" if count == 1 else "get the numbers"
            said.append(
                f"{counted(count, 'invoice')} of {block.issuer} {verb} {which}, dated "
                f"{words.day(block.issue_date)}. If others are issued first, the numbers follow "
                "theirs."
            )
            if block.issuer.missing:
                said.append(
                    f"{block.issuer} is unfinished: the invoices will lack its "
                    f"{', '.join(block.issuer.missing)}."
                )
        issuers = {block.issuer.pk: block.issuer for block in blocks}
        said += dict.fromkeys(lacking(invoices, issuers).values())
        return [
            *said,
            f"In all {sum_of(invoices)}, tax included.",
            *words.leaving(invoices),
            *sending_at_issue(invoices),
            "An issued invoice never changes: amounts, addresses and the PDF are frozen. It can be "
            "voided within the month; after that it takes a credit note.",
        ]

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        ids = [invoice.pk for invoice in invoices]
        return issuing.issue_invoices(invoice_ids=ids, as_of=at, actor=actor)

    def success(self, invoices: Sequence[Invoice]) -> str:
        names = sorted(name_of(invoice) for invoice in invoices)
        which = names[0] if len(names) == 1 else f"{len(names)} invoices, {names[0]} to {names[-1]}"
        return f"Issued {which}: {sum_of(invoices)}."


class Hold(Step):
    name, verb, done, icon = "hold", "Hold for review", "Holding for review:", "pause_circle"
    permission = "billing.hold_invoice"
    offered = {InvoiceStatus.DRAFT}

    def check(self, invoice: Invoice, *, at: datetime) -> None:
        issuing.check_draft(invoice)

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        return ["It is not issued by itself any more, until somebody releases or issues it."]

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        return [issuing.hold_for_review(invoice_id=invoice.pk, actor=actor) for invoice in invoices]

    def button(self, invoices: Sequence[Invoice]) -> str:
        return f"Hold {_which(invoices)} for review"


class Release(Step):
    name, verb, done, icon = "release", "Release to draft", "Released to draft:", "play_circle"
    permission = "billing.hold_invoice"
    offered = {InvoiceStatus.REVIEW}

    def check(self, invoice: Invoice, *, at: datetime) -> None:
        issuing.check_in_review(invoice)

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        invoices = [one.invoice for one in foreseen]
        by_hand = sum(invoice.auto_issue_at is None for invoice in invoices)
        due = sum(
            bool(invoice.auto_issue_at and invoice.auto_issue_at <= at) for invoice in invoices
        )
        said = []
        if due:
            said.append(
                f"{counted(due, 'draft')} will be issued by the next billing run: the time has come."
            )
        if later := len(invoices) - by_hand - due:
            said.append(f"{counted(later, 'draft')} will be issued when the time comes.")
        if by_hand:
            said.append(f"{counted(by_hand, 'draft')} still waits for a person to issue it.")
        return said

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        return [issuing.return_to_draft(invoice_id=invoice.pk, actor=actor) for invoice in invoices]

    def button(self, invoices: Sequence[Invoice]) -> str:
        return f"Release {_which(invoices)} to draft"


class Recalculate(Step):
    name, verb, done, icon = "recalculate", "Recalculate", "Recalculated", "calculate"
    permission = "billing.recalculate_invoice"
    offered = {InvoiceStatus.DRAFT, InvoiceStatus.REVIEW}
    after = "Total after"

    def foresee(self, invoices: Sequence[Invoice], *, at: datetime) -> list[Foreseen]:
        return [
            Foreseen(invoice, money(composed.totals.total, composed.currency))
            for invoice, composed in issuing.redrawing(invoices, at=at)
        ]

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        changing = sum(
            one.after != money(one.invoice.total, one.invoice.currency) for one in foreseen
        )
        change = f"{number_of(changing)} of {len(foreseen)} would change in total."
        return [
            "Usage is measured again, with all that has arrived by now, and the lines are redrawn "
            "with today's address and tax status. What was measured before stays on record.",
            change if len(foreseen) > 1 else "",
        ]

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        ids = [invoice.pk for invoice in invoices]
        return issuing.recalculate_invoices(invoice_ids=ids, at=at, actor=actor)


class Discard(Step):
    name, verb, done, icon = "discard", "Discard", "Discarded", "delete"
    permission = "billing.discard_invoice"
    offered = {InvoiceStatus.DRAFT, InvoiceStatus.REVIEW}
    is_final = asks_why = True

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        return [
            f"{sum_of([one.invoice for one in foreseen])}, tax included, is not charged by "
            f"{'this draft' if len(foreseen) == 1 else 'these drafts'} any more. Discarded drafts "
            "stay on record and spend no number."
        ]

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        return [
            issuing.discard_invoice(
                invoice_id=invoice.pk,
                reason=answers.reason,
                reopen=answers.reopen,
                at=at,
                actor=actor,
            )
            for invoice in invoices
        ]


class Void(Step):
    name, verb, done, icon = "void", "Void", "Voided", "block"
    permission = "billing.void_invoice"
    offered = {InvoiceStatus.ISSUED}
    is_final = asks_why = True

    def check(self, invoice: Invoice, *, at: datetime) -> None:
        issuing.check_voidable(invoice, at=at)

    def meaning(self, foreseen: Sequence[Foreseen], *, at: datetime) -> list[str]:
        return [
            f"{sum_of([one.invoice for one in foreseen])}, tax included, is not owed any more. A "
            "void invoice keeps its number and stays on record; it can't be brought back.",
            "Void only what the customer has not received and not paid; what was sent by e-mail is "
            "corrected with a credit note.",
        ]

    def perform(
        self, invoices: Sequence[Invoice], *, answers: Answers, at: datetime, actor: Actor
    ) -> list[Invoice]:
        return [
            issuing.void_invoice(
                invoice_id=invoice.pk,
                reason=answers.reason,
                reopen=answers.reopen,
                at=at,
                actor=actor,
            )
            for invoice in invoices
        ]


STEPS: dict[str, Step] = {
    step.name: step for step in (Issue(), Hold(), Release(), Recalculate(), Discard(), Void())
}


def sift(
    step: Step, invoices: Sequence[Invoice], *, at: datetime
) -> tuple[list[Invoice], list[Refused]]:
    """Part the invoices that a step can take from those that it refuses, each with the reason."""
    able, refused = [], []
    for invoice in invoices:
        try:
            step.check(invoice, at=at)
        except REFUSED as refusal:
            refused += told(invoice, refusal)
        else:
            able.append(invoice)
    return able, refused


def each(
    documents: Sequence[Document], what: Callable[[Sequence[Document]], list[Result]]
) -> tuple[list[Result], list[Refused]]:
    """Do it to all at once; if one is refused, to each alone, so that only that one is left out."""
    if not documents:
        return [], []
    try:
        with transaction.atomic():
            return what(documents), []
    except REFUSED as refusal:
        if len(documents) == 1:
            return [], told(documents[0], refusal)
    results, refused = [], []
    for document in documents:
        done, left = each([document], what)
        results += done
        refused += left
    return results, refused


def sending_at_issue(invoices: Sequence[Invoice]) -> list[str]:
    """Say to how many addresses these are sent as they are issued, and how many go to nobody."""
    ahead = sending.foreseen(invoices)
    said = []
    if ahead.mails:
        said.append(
            f"{counted(ahead.mails, 'mail')} with the PDF "
            f"{'goes' if ahead.mails == 1 else 'go'} to customers; what was sent can't be voided."
        )
    if ahead.to_nobody:
        said.append(
            f"{counted(ahead.to_nobody, 'invoice')} can't be sent by e-mail: no address is known."
        )
    return said


def _which(invoices: Sequence[Invoice]) -> str:
    return name_of(invoices[0]) if len(invoices) == 1 else counted(len(invoices), "invoice")


def sum_of(invoices: Sequence[Invoice]) -> str:
    return words.totals((invoice.currency, invoice.total) for invoice in invoices)


def number_of(count: int) -> str:
    return words.number(count) if count else "None"


def told(document: sending.Document, refusal: Exception) -> list[Refused]:
    """Return why a document is refused, naming it once: a refusal often begins with its name."""
    said = " ".join(message for _, message in complaints(refusal))
    why = said.removeprefix(f"{document} ")
    name = f"{name_of(document)} ({words.buyer_of(document)})"
    return [Refused(name, why) if why != said else Refused(f"{name}:", said)]
