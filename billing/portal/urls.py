"""The portal's routes behind the door."""

from django.urls import path, register_converter

from billing.portal import (
    account,
    calculator,
    colours,
    credit_notes,
    disputes,
    events,
    invoices,
    metric,
    plan,
    statement,
    terms,
    usage,
)


class Hexadecimal:
    """A colour without its "#"."""

    regex = "[0-9a-f]{6}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Hexadecimal, "colour")

urlpatterns = [
    path("", usage.dashboard, name="usage"),
    path("usage/<str:key>/", metric.metric, name="metric"),
    path("usage/<str:key>/events/", events.events, name="events"),
    path("upcoming/<str:key>/", invoices.upcoming, name="upcoming"),
    path("invoices/", invoices.invoices, name="invoices"),
    path("invoices/<uuid:uuid>/", invoices.invoice, name="invoice"),
    path("invoices/<uuid:uuid>/dispute/", disputes.dispute, name="dispute"),
    path("invoices/<uuid:uuid>/pdf/", invoices.pdf, name="pdf"),
    path("invoices/<uuid:uuid>/xml/", invoices.xml, name="xml"),
    path("credit-notes/<uuid:uuid>/", credit_notes.credit_note, name="credit_note"),
    path("credit-notes/<uuid:uuid>/pdf/", credit_notes.credit_note_pdf, name="credit_note_pdf"),
    path("credit-notes/<uuid:uuid>/xml/", credit_notes.credit_note_xml, name="credit_note_xml"),
    path("statement/", statement.statement, name="statement"),
    path("statement/pdf/", statement.statement_pdf, name="statement_pdf"),
    path("plan/", plan.plan, name="plan"),
    path("terms/<str:plan>/<int:version>/", terms.terms, name="terms"),
    path("terms/<str:plan>/<int:version>/pdf/", terms.terms_pdf, name="terms_pdf"),
    path("terms/<str:plan>/<int:version>/calculator/", calculator.calculator, name="calculator"),
    path("calculator/<str:plan>/", calculator.current, name="plan_calculator"),
    path("account/", account.account, name="account"),
    path("colours/<colour:accent>.css", colours.colours, name="colours"),
]
