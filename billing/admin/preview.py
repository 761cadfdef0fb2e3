"""How an issuer's invoices will look: sample data under what its form says, before it is saved."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin

from billing.documents import html_of
from billing.presentation import InvoiceView, present
from billing.sample import Sample
from config.base.admin.audited import Panel
from customers.logos import LogoPicture
from customers.models import Issuer

# Drawn in a frame of the admin's own page; runs nothing and fetches fonts only.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; font-src 'self'; img-src data:; "
    "frame-ancestors 'self'"
)


def preview_panel(request: HttpRequest, issuer: Issuer) -> Panel:
    """Show the sample beside the form that changes it."""
    url = reverse("admin:billing_invoice_preview", args=(issuer.pk,))
    return Panel("How an invoice will look", "admin/billing/preview_panel.html", {"url": url})


@xframe_options_sameorigin
def preview(request: HttpRequest, issuer_id: int) -> HttpResponse:
    """Draw the sample as a page: as saved, or on POST as the form's valid fields say; save nothing.

    A web page, not a PDF: nothing is laid out here, so it is there at once.
    """
    issuer = Issuer.objects.select_related("logo").filter(pk=issuer_id).first()
    if not request.user.has_perm("customers.view_issuer"):
        raise PermissionDenied
    if issuer is None:
        raise Http404
    picture = _filled_in(request, issuer) if request.method == "POST" else None
    sample = Sample(issuer, at=timezone.now())
    view = present(
        sample.invoice,
        composed=sample.composed,
        change=sample.change,
        details=sample.details,
    )
    return HttpResponse(
        _page(view, picture.png if picture else _kept(issuer)),
        headers={"Content-Security-Policy": POLICY, "Cache-Control": "private, no-store"},
    )


def _filled_in(request: HttpRequest, issuer: Issuer) -> LogoPicture | None:
    """Fill an issuer in with what is valid of its form; return a logo that was chosen."""
    form_class = admin.site._registry[Issuer].get_form(request, issuer, change=True)
    form = form_class(request.POST, request.FILES, instance=issuer)
    form.is_valid()
    if form.cleaned_data.get("without_logo"):
        issuer.logo = None
    picture: LogoPicture | None = form.cleaned_data.get("logo_file")
    return picture


def _kept(issuer: Issuer) -> bytes:
    return bytes(issuer.logo.png) if issuer.logo else b""


def _page(view: InvoiceView, logo: bytes) -> str:
    address = f"data:image/png;base64,{b64encode(logo).decode()}" if logo else ""
    html = html_of(replace(view, seller=replace(view.seller, logo=address)))
    css = render_to_string("invoice/invoice.css").replace("fonts:", static("fonts/"))
    screen = render_to_string("invoice/screen.css")
    return html.replace("</head>", f"<style>{css}{screen}</style></head>", 1)
