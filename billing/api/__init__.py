"""Billing's endpoints: runs, invoices, sold add-ons, late usage, payments, what is owed, and a
subscription's periods and upcoming invoice.

Owns what a caller reads and may ask for; each view calls one service and nudges its task.
"""

from billing.api import (
    accounts,
    add_ons,
    closing,
    credit_notes,
    exchange_rates,
    invoices,
    late,
    life,
    payments,
    periods,
    reminders,
    runs,
    tax_listing,
    tax_rates,
    taxed,
    upcoming,
)

routes = [
    *runs.routes,
    *invoices.routes,
    *add_ons.routes,
    *late.routes,
    *closing.routes,
    *tax_rates.routes,
    *exchange_rates.routes,
    *payments.routes,
    *credit_notes.routes,
    *accounts.routes,
]
urlpatterns = [
    *periods.urlpatterns,
    *upcoming.urlpatterns,
    *life.urlpatterns,
    *taxed.urlpatterns,
    *tax_listing.urlpatterns,
    *closing.urlpatterns,
    *accounts.urlpatterns,
    *reminders.urlpatterns,
]
