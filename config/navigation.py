"""The admin's sidebar: places by task, each for whoever may open it, with what waits there."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from config.base.dashboard import WAITING, WAITING_AT_MOST


class Place(NamedTuple):
    """A page of the sidebar. `model` names the list; `view` another page, `permission` who may.

    `purpose` is what a person does there, shown when the pointer rests on it.
    """

    title: str
    icon: str
    model: str
    purpose: str
    view: str = ""
    permission: str = ""


SECTIONS: dict[str, list[Place]] = {
    "Sell": [
        Place("Plans", "sell", "catalog.plan", "What you offer, and its versions"),
        Place("Plan versions", "layers", "catalog.planversion", "Prices: drafts, on sale, earlier"),
        Place("Value metrics", "speed", "catalog.valuemetric", "What is measured and charged for"),
        Place("Coupons", "local_offer", "catalog.coupon", "Reductions that you can give"),
        Place("Add-ons", "add_shopping_cart", "catalog.addon", "What you sell once"),
    ],
    "Customers": [
        Place("Customers", "domain", "customers.customer", "Who buys: terms, usage, invoices"),
        Place(
            "Subscriptions",
            "autorenew",
            "customers.subscription",
            "Who is on which plan, since when",
        ),
        Place(
            "Sold add-ons",
            "receipt",
            "billing.soldaddon",
            "What was sold once, and what became of it",
        ),
        Place(
            "Moves",
            "move_down",
            "billing.planmove",
            "Many subscriptions to another version, after a preview",
        ),
    ],
    "Usage": [
        Place("Events", "bolt", "metering.usageevent", "What arrived and counts"),
        Place("Quarantine", "report", "metering.quarantinedevent", "Events to mend or dismiss"),
    ],
    "Bill": [
        Place(
            "Close periods",
            "event_available",
            "billing.billingperiod.due",
            "Look at what is due, then draft its invoices",
            "admin:billing_billingrun_close",
            "billing.add_billingrun",
        ),
        Place(
            "Review drafts",
            "rule",
            "billing.invoice.review",
            "Drafts that need eyes, each with its reason; issue, hold or discard many",
            "admin:billing_invoice_review",
            "billing.view_invoice",
        ),
        Place("Invoices", "receipt_long", "billing.invoice", "Drafts to check, invoices issued"),
        Place(
            "Credit notes",
            "undo",
            "billing.creditnote",
            "What was taken back of issued invoices",
        ),
        Place(
            "Late usage",
            "running_with_errors",
            "billing.lateusage",
            "What came in after its period was closed",
        ),
        Place("Payments", "payments", "billing.payment", "What came in, and what it pays"),
        Place(
            "Bank statements",
            "upload_file",
            "billing.bankimport",
            "Payments from your bank's files, after a look",
        ),
        Place(
            "What is owed",
            "account_balance",
            "billing.writeoff",
            "Open amounts by age, as of any day",
            "admin:billing_writeoff_ageing",
            "billing.view_openitem",
        ),
        Place(
            "Tax to report",
            "request_quote",
            "billing.taxrate",
            "Tax of a month by country, category and rate",
            "admin:billing_taxrate_listing",
            "billing.view_invoice",
        ),
        Place(
            "Reminders",
            "notifications",
            "billing.reminder",
            "Whom the next run reminds, and whom not and why",
            "admin:billing_reminder_next",
        ),
        Place("Disputes", "gavel", "billing.dispute", "What customers question of invoices"),
        Place(
            "Left out of reminders",
            "notifications_off",
            "billing.reminderstop",
            "Customers and invoices that are not reminded of, and why",
        ),
        Place(
            "Mails", "mail", "billing.delivery", "What was sent to customers, and what did not go"
        ),
        Place("Write-offs", "money_off", "billing.writeoff", "What nobody expects to be paid"),
        Place("Billing periods", "date_range", "billing.billingperiod", "Open, closed and parked"),
        Place("Billing runs", "history_toggle_off", "billing.billingrun", "What each close did"),
    ],
    "Set up": [
        Place("Issuers", "storefront", "customers.issuer", "You, as your invoices say it"),
        Place("Tax rates", "percent", "billing.taxrate", "What each country charges, since when"),
        Place(
            "Exchange rates",
            "currency_exchange",
            "billing.exchangerate",
            "For tax in the currency of your books",
        ),
        Place(
            "Number sequences",
            "format_list_numbered",
            "billing.documentsequence",
            "The next invoice number of each year",
        ),
        Place("API keys", "key", "base.apikey", "What your systems sign in with"),
        Place("Outbox", "outbox", "base.outbox", "What is sent after the fact, and what failed"),
        Place("People", "person", "auth.user", "Who works here"),
        Place("Roles", "group", "auth.group", "Who may do what"),
        Place("Failed sign-ins", "lock_clock", "axes.accessattempt", "Who is locked out"),
        Place("Audit trail", "history", "base.auditentry", "Who changed what, and when"),
    ],
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sections that this person may open, each place with the count of what waits."""
    home = {"title": "Home", "icon": "home", "link": reverse("admin:index")}
    found: list[dict[str, Any]] = [{"items": [home]}]
    for title, places in SECTIONS.items():
        items = [_item(place) for place in places if _may_open(request, place)]
        if items:
            found.append({"title": title, "items": items})
    handbook = {"title": "Handbook", "icon": "menu_book", "link": reverse("docs_index")}
    found.append({"title": "Help", "items": [handbook]})
    _mark_active([item for section in found for item in section["items"]], request.path)
    return found


def _mark_active(items: list[dict[str, Any]], path: str) -> None:
    """Mark the one place that a page is in: the page itself, or the list that it belongs to."""
    home, *places = items
    around = [item for item in places if path.startswith(item["link"])]
    here = max(around, key=lambda item: len(item["link"]), default=None)
    for item in items:
        item["active"] = item is here or (item is home and path == home["link"])


def _may_open(request: HttpRequest, place: Place) -> bool:
    app, name = place.model.split(".")[:2]
    return request.user.has_perm(place.permission or f"{app}.view_{name}")


def _item(place: Place) -> dict[str, Any]:
    count = WAITING[place.model]() if place.model in WAITING else 0
    return {
        "title": place.title,
        "icon": place.icon,
        "purpose": place.purpose,
        "link": reverse(place.view or f"admin:{place.model.replace('.', '_')}_changelist"),
        "waiting": f"{WAITING_AT_MOST - 1}+" if count >= WAITING_AT_MOST else count,
    }
