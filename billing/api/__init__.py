"""Billing's endpoints: runs, invoices, sold add-ons, the upcoming invoice, and the periods of a subscription.

Owns what a caller reads and may ask for; each view calls one service and nudges its task.
"""

from billing.api import add_ons, invoices, life, periods, runs, upcoming

routes = [*runs.routes, *invoices.routes, *add_ons.routes]
urlpatterns = [*periods.urlpatterns, *upcoming.urlpatterns, *life.urlpatterns]
