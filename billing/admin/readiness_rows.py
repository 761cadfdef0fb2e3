"""Whether a month can be closed, said in rows: what is clear, what to look at, what money it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from billing.admin import words
from billing.admin.unresolved import unresolved
from billing.models import CloseEstimate, LateStatus, PeriodStatus, UsageFinding
from billing.services import expectation
from billing.services.readiness import Readiness
from customers.periods import month_after


class Check(NamedTuple):
    """A row of the checklist; `tag` is the class of `state`."""

    state: str
    tag: str
    text: str
    url: str = ""
    link: str = ""


def clear(text: str) -> Check:
    return Check("Clear", "pb-good", text)


def look(text: str, url: str = "", link: str = "") -> Check:
    return Check("Look", "pb-open", text, url, link)


def left_out(text: str, url: str = "", link: str = "") -> Check:
    """Say what the close leaves out, unless somebody acts before."""
    return Check("Left out", "pb-bad", text, url, link)


def checks(found: Readiness, *, month: date) -> list[Check]:
    """Say all of it, in the order in which one would go through it."""
    return [
        _cutoffs(found, month),
        *_quarantine(found),
        _parked(found),
        *(_estimated(found.estimate) if found.estimate else ()),
        *_late(found),
        *_issuers(found),
    ]


def _cutoffs(found: Readiness, month: date) -> Check:
    by = words.day(month_after(month, 1))
    if not found.to_close:
        return clear(f"No open period ends before {by}: the month is closed.")
    which = words.counted(found.to_close, "open period")
    if not found.too_early:
        return clear(f"{which} {_end(found.to_close)} before {by}, and all can be closed now.")
    return look(
        f"{which} {_end(found.to_close)} before {by}; {words.number(found.too_early)} can’t be "
        f"closed yet: usage may come in until {words.moment(found.closable_at)}.",
        _periods(status__exact=PeriodStatus.OPEN.value, end_date__lte=month_after(month, 1)),
        "See them",
    )


def _end(count: int) -> str:
    return "ends" if count == 1 else "end"


def _quarantine(found: Readiness) -> Iterator[Check]:
    told = unresolved(found.quarantined)
    if told["theirs"]:
        url = told["customers"][0]["url"] if len(told["customers"]) == 1 else "#quarantine"
        count, events = told["theirs"], words.counted(told["theirs"], "event")
        verb = "waits" if count == 1 else "wait"
        yield left_out(f"{events} of these customers {verb} in quarantine.", url, "Whose")
    if told["nobodys"]:
        count = told["nobodys"]
        verb = "names" if count == 1 else "name"
        yield look(
            f"{words.counted(count, 'event')} in quarantine {verb} a customer nobody knows.",
            told["nobodys_url"],
            "See them",
        )
    if not told["theirs"] and not told["nobodys"]:
        yield clear("Nothing waits in quarantine.")


def _parked(found: Readiness) -> Check:
    count = found.parked.count()
    if not count:
        return clear("No period is parked.")
    text = f"{words.counted(count, 'period')} {'is' if count == 1 else 'are'} parked."
    return left_out(text, "#parked", "See why")


def _estimated(estimate: CloseEstimate) -> Iterator[Check]:
    failing = expectation.failing(estimate).count()
    if failing:
        text = f"{words.counted(failing, 'subscription')} can’t be billed as things are."
        yield left_out(text, "#failing", "See why")
    found = expectation.counted_findings(estimate)
    if silent := found.get(UsageFinding.SILENT, 0):
        yield look(
            f"{words.counted(silent, 'metric of a customer', 'metrics of customers')} had usage in "
            "each of the last periods, and none in this one.",
            "#unusual",
            "Which",
        )
    for one in estimate.silent_sources:
        heard = date.fromisoformat(one["last_heard"])
        yield look(
            f"“{one['source']}” sent events every day for a week, the last on {words.day(heard)}, "
            "and none the day after.",
            f"{reverse('admin:metering_usageevent_changelist')}?{urlencode({'source': one['source']})}",
            "Its events",
        )
    if unusual := found.get(UsageFinding.HIGH, 0) + found.get(UsageFinding.LOW, 0):
        text = f"{words.counted(unusual, 'metric of a customer', 'metrics of customers')} "
        yield look(
            f"{text}{'is' if unusual == 1 else 'are'} far from the mean.", "#unusual", "Which"
        )
    if not (silent or unusual or estimate.silent_sources):
        yield clear("Usage is about what it always was, and no sender of events fell silent.")


def _late(found: Readiness) -> Iterator[Check]:
    if not found.late:
        yield clear("No late usage waits.")
    for status, text, verb in (
        (LateStatus.HELD, "held for a decision", "Decide"),
        (LateStatus.APPROVED, "to be billed on the next invoices", "See it"),
    ):
        mine = [one for one in found.late if one.status == status]
        if not mine:
            continue
        count = sum(one.rows for one in mine)
        amounts = words.totals((one.currency, one.amount) for one in mine)
        said = (
            f"{words.counted(count, 'amount')} of late usage {'is' if count == 1 else 'are'} {text}"
        )
        url = f"{reverse('admin:billing_lateusage_changelist')}?status__exact={status.value}"
        make = look if status == LateStatus.HELD else _going
        yield make(f"{said}: {amounts} net.", url, verb)


def _going(text: str, url: str, link: str) -> Check:
    return Check("On its way", "", text, url, link)


def _issuers(found: Readiness) -> Iterator[Check]:
    for issuer in found.unfinished:
        yield look(
            f"{issuer} is unfinished: its invoices would lack its {', '.join(issuer.missing)}.",
            words.page("customers_issuer", issuer.pk),
            "Finish it",
        )
    if not found.unfinished:
        yield clear("Who sells is complete.")
    if count := found.buyers_without_country:
        has, whose = ("has", "its") if count == 1 else ("have", "their")
        yield left_out(
            f"{words.counted(count, 'customer')} {has} no country, which electronic invoices name: "
            f"{whose} invoices can’t be issued.",
            f"{reverse('admin:customers_customer_changelist')}?country__exact=",
            "Enter it",
        )


def _periods(**filters: object) -> str:
    return f"{reverse('admin:billing_billingperiod_changelist')}?{urlencode(filters)}"
