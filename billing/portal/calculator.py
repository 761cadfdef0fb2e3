"""The price calculator of a plan: what a period would cost, for customers and whoever has the link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import translation
from django.views.decorators.http import require_safe

from billing.portal import words
from billing.presentation.reader import Reader, clean, sentence
from catalog.drafts import PriceDraft, drafts_of, interval_of, units_of
from catalog.models import PlanVersion, PriceModel, VersionStatus
from catalog.money import plain
from catalog.quotes import Line, Question, questions_of, quote, read_answers
from catalog.worked import counted_text, rows_of
from config.base.clients import network_of
from config.base.errors import Fault
from customers.portal import page
from customers.portal.frame import unkept, visitor_of

A_MINUTE = 60  # seconds
PER_MINUTE = 240
"""How often one network may ask in a minute: four times as fast as anybody types."""


@require_safe
def calculator(request: HttpRequest, plan: str, version: int) -> HttpResponse:
    """Work out one period of a version that is on sale, at the quantities in the address."""
    visitor, found = visitor_of(request), published_version(plan, version)
    locale = visitor.locale if visitor else translation.get_language() or "en"
    say, reader = words.of(locale), Reader(locale, found.currency)
    context = {
        "words": say,
        "heading": say["calculator_of"].format(plan=clean(found.plan.name)),
        "lead": say["calculator_lead"].format(every=_every(found, reader)),
        "terms_url": reverse("portal:terms", args=(plan, version)),
        **(_worked(found, request.GET, reader) if _may_ask(request) else {"is_limited": True}),
    }
    status = 429 if "is_limited" in context else 400 if context["problems"] else 200
    return page(request, "calculator.html", context, visitor=visitor, current="plan", status=status)


@require_safe
def current(request: HttpRequest, plan: str) -> HttpResponse:
    """Lead to the calculator of the version on sale: in `currency`, or else the first of them."""
    found = PlanVersion.objects.filter(is_current=True, plan__key=plan, plan__has_calculator=True)
    if currency := request.GET.get("currency", ""):
        found = found.filter(currency=currency.upper()[:3])
    version = found.order_by("currency").first()
    if version is None:
        raise Http404
    query = QueryDict(request.META.get("QUERY_STRING", ""), mutable=True)
    query.pop("currency", None)
    url = reverse("portal:calculator", args=(plan, version.number))
    return unkept(HttpResponseRedirect(f"{url}?{query.urlencode()}" if query else url))


def published_version(plan: str, number: int) -> PlanVersion:
    """Return a version whose calculator is open: published, not retired, not switched off."""
    versions = PlanVersion.objects.with_prices().filter(
        status=VersionStatus.PUBLISHED, plan__has_calculator=True
    )
    found = versions.filter(plan__key=plan, number=number).first()
    if found is None:
        raise Http404
    return found


def calculator_url(version: PlanVersion) -> str:
    """Return where a version's calculator is; empty where it has none."""
    if version.status != VersionStatus.PUBLISHED or not version.plan.has_calculator:
        return ""
    return reverse("portal:calculator", args=(version.plan.key, version.number))


def _may_ask(request: HttpRequest) -> bool:
    key = f"calculator:{network_of(request)}"
    cache.add(key, 0, A_MINUTE)
    try:
        return cache.incr(key) <= PER_MINUTE
    except ValueError:  # it expired in between
        return True


def _worked(version: PlanVersion, said: Mapping[str, str], reader: Reader) -> dict[str, Any]:
    """Return questions and answers as a page shows them."""
    drafts = drafts_of(list(version.prices.all()))
    asked = [question for draft in drafts for question in questions_of(draft)]
    answers, faults = read_answers(asked, said)
    wrong = {fault.path[0]: fault for fault in faults}
    worked = quote(version, drafts, answers)
    return {
        "questions": [_question(one, said, wrong.get(one.name), reader) for one in asked],
        "problems": [
            {"label": _asks(one, reader), "text": _complaint(wrong[one.name], reader)}
            for one in asked
            if one.name in wrong
        ],
        "lines": [_line(line, version, reader) for line in worked.lines],
        "total": reader.money(worked.total),
        "notes": list(_notes(version, worked.commitment_open, reader)),
    }


def _question(
    one: Question, said: Mapping[str, str], wrong: Fault | None, reader: Reader
) -> dict[str, Any]:
    unit = "" if one.what == "events" else clean(units_of(one.draft.price)[1])
    if unit.casefold() in one.draft.price.name.casefold():
        unit = ""
    return {
        "name": one.name,
        "label": _asks(one, reader),
        "unit": reader.currency if one.what == "each" else unit,
        "value": said.get(one.name, plain(one.default)),
        "is_wrong": wrong is not None,
    }


def _asks(one: Question, reader: Reader) -> str:
    say, name = words.of(reader.tag), clean(one.draft.price.name)
    if one.what == "quantity":
        return name
    if one.what == "cell":
        values = ", ".join(
            f"{clean(key)} {clean(value)}" for key, value in (one.match or {}).items()
        )
        return f"{name}: {values or say['all_others']}"
    return say[f"asked_{one.what}"].format(name=name)


def _complaint(fault: Fault, reader: Reader) -> str:
    return words.of(reader.tag)[f"answer_{fault.code}"]


def _line(line: Line, version: PlanVersion, reader: Reader) -> dict[str, Any]:
    net = reader.rounded(line.net)
    if line.draft is None or line.rated is None:
        return {"name": reader.say("commitment"), "amount": net}
    name = clean(line.draft.price.name)
    if line.kind == "minimum":
        return {"name": reader.say("minimum", description=name), "amount": net}
    is_fee = line.draft.price.model == PriceModel.FLAT
    units = units_of(line.draft.price)
    rows = rows_of(line.rated, units=(clean(units[0]), clean(units[1])), locale=reader.tag)
    return {
        "name": name,
        "quantity": "" if is_fee else counted_text(line.rated.used, line.draft, reader.tag),
        "every": _own_interval(line.draft, version, reader),
        "rows": [] if is_fee else [row._replace(label=sentence(row.label)) for row in rows],
        "amount": net,
    }


def _own_interval(draft: PriceDraft, version: PlanVersion, reader: Reader) -> str:
    """Say how often a price is charged where that is not as often as the plan bills."""
    return _often(*interval_of(draft.price, version), reader) if draft.price.interval else ""


def _every(version: PlanVersion, reader: Reader) -> str:
    return _often(version.interval, version.interval_count, reader)


def _often(interval: str, count: int, reader: Reader) -> str:
    say = words.of(reader.tag)
    if count == 1:
        return say["often"].format(interval=say[interval])
    return say["often_many"].format(count=count, interval=say[f"{interval}s"])


def _notes(version: PlanVersion, commitment_open: bool, reader: Reader) -> Iterator[str]:
    say = words.of(reader.tag)
    yield say["calculator_gross" if version.prices_include_tax else "calculator_net"]
    if version.trial_days:
        yield say["calculator_trial"].format(days=version.trial_days)
    if commitment_open and version.minimum_commitment is not None:
        least, every = reader.money(version.minimum_commitment), _every(version, reader)
        yield say["calculator_commitment"].format(amount=least, every=every)
