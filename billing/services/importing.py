"""Taking payments from a bank's statement: uploaded, its columns mapped, looked at, recorded.

Every line is taken once, whoever takes it and however often a file comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from billing.accounts import all_candidates
from billing.bank.camt import read_camt
from billing.bank.lines import BankLine, Reading, StatementUnreadable
from billing.bank.table import (
    Mapped,
    Table,
    guess,
    mapping_from,
    mapping_json,
    read_lines,
    read_table,
)
from billing.models import BankImport, Invoice, Payment, StatementFormat
from billing.money import Candidate, Proposal, is_named, propose
from billing.services.payments import Portion, record_payment
from catalog.money import CURRENCIES
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Customer

LARGEST = 5_000_000  # bytes of a file
_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\0 \r\n\t"  # marks of UTF-8 and UTF-16, and blanks


class Line(NamedTuple):
    """A line with whom it is thought to be from and what it pays; `is_known`: recorded before.

    `is_doubtful`: its payer has the name of another customer. `in_other_currency`: nothing of that
    customer is billed in its currency.
    """

    line: BankLine
    customer: Customer | None
    proposal: Proposal
    is_known: bool
    is_doubtful: bool
    in_other_currency: bool


class Outcome(NamedTuple):
    """How many payments were recorded, and which lines were refused, with why."""

    taken: int
    refused: list[tuple[int, str]]


@transaction.atomic
def upload_statement(*, name: str, content: bytes, at: datetime, actor: Actor) -> BankImport:
    """Keep a bank's statement to read it; columns that were mapped before are mapped the same.

    :raises Invalid: if it is too large, or neither CSV nor camt.053.
    """
    if len(content) > LARGEST:
        raise Invalid([Fault(("file",), "too_large", "A file may have up to 5 MB.")])
    looks_like_xml = content.lstrip(_BEFORE_XML).startswith(b"<")
    made = BankImport(
        name=name[:200] or "statement",
        format=StatementFormat.CAMT if looks_like_xml else StatementFormat.CSV,
        content=content,
        uploaded_at=at,
        uploaded_by=actor.name,
    )
    try:
        if looks_like_xml:
            read_camt(content)
        else:
            table = read_table(content)
            made.heads = "\x1f".join(table.heads)
            before = BankImport.objects.filter(heads=made.heads, mapping__isnull=False).first()
            made.mapping = before.mapping if before else None
    except StatementUnreadable as trouble:
        raise Invalid([Fault(("file",), "unreadable", str(trouble))]) from trouble
    made.save(force_insert=True)
    audit.record(actor=actor, action="uploaded", subject=made)
    return made


def map_columns(*, import_id: int, mapped: Mapped) -> BankImport:
    """Remember which column is what."""
    found = BankImport.objects.get(pk=import_id)
    found.mapping = mapping_json(mapped)
    found.save(update_fields=["mapping"])
    return found


def table_of(statement: BankImport) -> tuple[Table, Mapped]:
    """Return a CSV statement with the mapping that it has, or one to begin from."""
    table = read_table(bytes(statement.content))
    return table, mapping_from(statement.mapping) if statement.mapping else guess(table)


def read_statement(statement: BankImport) -> Reading:
    """Return the lines of a statement whose columns are known."""
    if statement.format == StatementFormat.CAMT:
        return read_camt(bytes(statement.content))
    table, mapped = table_of(statement)
    return read_lines(table, mapped)


def match(lines: Sequence[BankLine], *, chosen: Mapping[int, str] | None = None) -> list[Line]:
    """Say of each line whom it is from and what it pays; a constant number of queries.

    The customer is the one `chosen` names by key, by the line's number; else whose open invoice
    the reference names; else whose name the payer has; else the only one with an invoice open for
    just this amount. What a line before it pays is not proposed twice.
    """
    chosen = chosen or {}
    known = set(
        Payment.objects.filter(bank_key__in=[one.key for one in lines]).values_list(
            "bank_key", flat=True
        )
    )
    left = all_candidates({one.currency for one in lines})
    customers = {customer.pk: customer for customer in Customer.objects.all()}
    billed = {(customer.pk, customer.currency) for customer in customers.values()}
    before = Invoice.objects.exclude(open_item=None).exclude(currency=F("customer__currency"))
    billed |= {*before.order_by().values_list("customer", "currency").distinct()}
    by_key = {customer.key: customer for customer in customers.values()}
    by_name: dict[str, set[int]] = defaultdict(set)
    for customer in customers.values():
        for name in {customer.name, customer.legal_name} - {""}:
            by_name[_folded(name)].add(customer.pk)
    found = []
    for one in lines:
        mine = left.get(one.currency, {})
        payer = by_key.get(chosen.get(one.number, ""))
        if payer is None and one.number not in chosen:
            pk = _payer(one, mine, by_name)
            payer = customers[pk] if pk else None
        proposal = Proposal({}, "")
        if payer and one.key not in known:
            proposal = propose(one.amount, one.reference, mine.get(payer.pk, ()))
            _use(proposal, mine, payer.pk)
        named = by_name.get(_folded(one.payer), set())
        doubtful = bool(payer and named and payer.pk not in named)
        strange = bool(payer and (payer.pk, one.currency) not in billed)
        found.append(Line(one, payer, proposal, one.key in known, doubtful, strange))
    return found


def take_lines(
    *,
    import_id: int,
    numbers: Iterable[int],
    chosen: Mapping[int, str],
    in_other_currency: Container[int] = (),
    at: datetime,
    actor: Actor,
) -> Outcome:
    """Record these lines as payments that pay what is proposed; one that is refused stops no other.

    Of those `in_other_currency`, it is said that they did come in one that nothing of them can pay.
    """
    statement = BankImport.objects.get(pk=import_id)
    wanted, taken = set(numbers), 0
    refused: list[tuple[int, str]] = []
    for one in match(read_statement(statement).lines, chosen=chosen):
        line = one.line
        if line.number not in wanted or one.is_known:
            continue
        if one.customer is None:
            key = chosen.get(line.number, "")
            told = f"There is no customer “{key[:80]}”." if key else "Say whom it is from."
            refused.append((line.number, told))
            continue
        if line.currency not in CURRENCIES:
            refused.append((line.number, f"“{line.currency}” is no currency."))
            continue
        payment = Payment(
            customer=one.customer,
            currency=line.currency,
            amount=line.amount,
            received_on=line.on,
            reference=line.reference or line.payer,
            bank_key=line.key,
        )
        portions = [Portion(pk, amount) for pk, amount in one.proposal.portions.items()]
        try:
            record_payment(
                payment=payment,
                portions=portions,
                in_other_currency=line.number in in_other_currency,
                at=at,
                actor=actor,
            )
        except (Refusal, Invalid) as refusal:
            refused.append((line.number, str(refusal)))
        else:
            taken += 1
    BankImport.objects.filter(pk=import_id).update(taken=F("taken") + taken)
    return Outcome(taken, refused)


def _payer(
    line: BankLine, mine: Mapping[int, Sequence[Candidate]], by_name: Mapping[str, set[int]]
) -> int | None:
    named = {
        pk for pk, found in mine.items() if any(is_named(c.number, line.reference) for c in found)
    }
    if len(named) == 1:
        return named.pop()
    same_name = by_name.get(_folded(line.payer), set())
    if len(same_name) == 1:
        return next(iter(same_name))
    exact = {pk for pk, found in mine.items() if any(c.open == line.amount for c in found)}
    return exact.pop() if len(exact) == 1 else None


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _use(proposal: Proposal, mine: dict[int, list[Candidate]], customer_id: int) -> None:
    """Take what is proposed off what is open."""
    if customer_id in mine:
        mine[customer_id] = [
            one._replace(open=one.open - proposal.portions.get(one.invoice_id, 0))
            for one in mine[customer_id]
            if one.open > proposal.portions.get(one.invoice_id, 0)
        ]


def numbers_of(matched: Iterable[Line]) -> dict[int, str]:
    """Return the numbers of the invoices that lines are proposed to pay."""
    ids = {pk for one in matched for pk in one.proposal.portions}
    return {
        pk: str(number)
        for pk, number in Invoice.objects.filter(pk__in=ids).values_list("pk", "number")
    }
