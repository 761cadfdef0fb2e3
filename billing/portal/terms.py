"""The terms of a plan in sentences: for customers, and for whoever has the link."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.http import require_safe

from billing.documents import render_terms
from billing.portal import words
from billing.portal.calculator import calculator_url
from billing.presentation.reader import clean
from catalog.models import PlanVersion, VersionStatus
from catalog.plan_terms import Section, plan_terms
from catalog.plan_terms_words import WORDS
from customers.issuer import issuer_of
from customers.models import Issuer
from customers.portal import Visitor, page
from customers.portal.frame import visitor_of
from customers.words import language_of


@require_safe
def terms(request: HttpRequest, plan: str, version: int) -> HttpResponse:
    """Show the terms of a version that is or was on sale."""
    visitor, found = visitor_of(request), _version(plan, version)
    locale = visitor.locale if visitor else translation.get_language() or "en"
    issuer = _issuer(visitor)
    say = words.of(locale)
    context = {
        "words": say,
        "heading": say["terms_of"].format(plan=clean(found.plan.name)),
        "lead": say["terms_lead"].format(version=found.number),
        "about": clean(found.plan.description),
        "sections": _sections(found, locale, issuer),
        "written_in": _written_in(locale),
        "pdf_url": f"{request.path}pdf/",
        "calculator_url": calculator_url(found),
    }
    return page(request, "terms.html", context, visitor=visitor, current="plan")


@require_safe
def terms_pdf(request: HttpRequest, plan: str, version: int) -> HttpResponse:
    """Give the same terms as a PDF."""
    visitor, found = visitor_of(request), _version(plan, version)
    locale = visitor.locale if visitor else translation.get_language() or "en"
    issuer = _issuer(visitor)
    pdf = render_terms(
        title=f"{found.plan.name}, {words.of(locale)['version'].format(number=found.number)}",
        seller=issuer.name if issuer else "",
        language=_written_in(locale),
        sections=_sections(found, locale, issuer),
        dated=found.published_at or found.created_at,
        accent=issuer.accent_colour if issuer else "",
        identifier=f"terms {found.pk} {language_of(locale)}",
    )
    response = HttpResponse(pdf, content_type="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{plan}-{version}.pdf"'
    return response


def _version(plan: str, number: int) -> PlanVersion:
    """Return a version that customers may read; a draft is nobody's yet."""
    found = PlanVersion.objects.with_prices().exclude(status=VersionStatus.DRAFT)
    version = found.filter(plan__key=plan, number=number).first()
    if version is None:
        raise Http404
    return version


def _issuer(visitor: Visitor | None) -> Issuer | None:
    return visitor.issuer if visitor else issuer_of(None)


def _written_in(locale: str) -> str:
    """Return the language of the terms for readers of a locale; English where they are in no other."""
    language = language_of(locale)
    return language if language in WORDS else "en"


def _sections(version: PlanVersion, locale: str, issuer: Issuer | None) -> list[Section]:
    return plan_terms(version, language=_written_in(locale), contact=issuer.email if issuer else "")
