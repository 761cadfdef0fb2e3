"""Every address of the admin, one by one: who gets in, and that looking changes nothing.

The addresses come from the URLconf, so that a new one is here before anybody thinks of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLResolver, get_resolver

from billing.credit_documents import store_credit_note
from billing.models import (
    Allocation,
    BatchAction,
    BillingRun,
    CreditNote,
    ExchangeRate,
    Invoice,
    InvoiceLine,
    LateUsage,
    MoveWhen,
    OpenItem,
    PlanMove,
    Refund,
    Reminder,
    TaxRate,
)
from billing.services import batches, estimating, importing, issuing, moving, refunds
from billing.services.disputing import open_dispute
from billing.services.reminders import stop_reminders
from billing.services.sending import send_invoices
from billing.services.write_offs import write_off
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.models import Outbox
from config.base.services.api_keys import create_api_key
from customers.models import Contact, Customer, Issuer
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, use
from tests.metering.usage import body, send
from tests.staff import anna, dora, leo, nora, person, sam, stranger

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.unaudited]
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
ROLES: dict[str, Callable[[], Client]] = {"anna": anna, "leo": leo, "sam": sam, "dora": dora}
ANYBODYS = {
    "admin/",
    "admin/find/",
    "admin/search/",
    "admin/login/",
    "admin/logout/",
    "admin/password_change/",
    "admin/password_change/done/",
    "admin/jsi18n/",
}
"""What each member of staff may open: their own things, and pages that show what they may see."""
LEADS_ON = ("admin/r/", "admin/autocomplete/", "admin/(?P<url>")
"""Django's own: to a model's page on the site, to choices, and to the same with a slash."""
NEEDED = {
    "base/apikey/*/revoke/": "base.change_apikey",
    "auth/user/*/password/": "auth.change_user",
    "catalog/valuemetric/*/worksheet/": "catalog.change_valuemetric",
    "catalog/valuemetric/*/decide/": "catalog.change_valuemetric",
    "catalog/planversion/example/": "catalog.add_planversion",
    "catalog/planversion/*/example/": "catalog.change_planversion",
    "catalog/planversion/*/month/": "catalog.view_planversion",
    "catalog/planversion/*/publish/": "catalog.publish_planversion",
    "catalog/planversion/*/copy/": "catalog.add_planversion",
    "catalog/planversion/*/retire/": "catalog.publish_planversion",
    "catalog/planversion/*/discard/": "catalog.delete_planversion",
    "catalog/plan/examples/": "catalog.add_plan",
    "catalog/plan/example/*/": "catalog.add_plan",
    "catalog/coupon/*/retire/": "catalog.change_coupon",
    "catalog/addon/*/archive/": "catalog.change_addon",
    "customers/customer/*/contacts/*/sign-in-link/": "customers.change_contact",
    "customers/subscription/*/own-price/": "customers.add_priceoverride",
    "customers/subscription/*/end-own-price/": "customers.add_priceoverride",
    "customers/subscription/*/apply-coupon/": "customers.add_appliedcoupon",
    "customers/subscription/*/end-coupon/": "customers.add_appliedcoupon",
    "customers/subscription/*/change-plan/": "customers.change_subscription",
    "customers/subscription/*/quantity/": "customers.change_subscription",
    "customers/subscription/*/time-zone/": "customers.change_subscription",
    "customers/subscription/*/pause/": "customers.change_subscription",
    "customers/subscription/*/resume/": "customers.change_subscription",
    "customers/subscription/*/cancel/": "customers.change_subscription",
    "customers/subscription/*/reactivate/": "customers.change_subscription",
    "metering/usageevent/usage/*/": "metering.view_usageevent",
    "metering/usageevent/usage/*/events/": "metering.view_usageevent",
    "metering/usageevent/usage/*/events.csv": "metering.view_usageevent",
    "metering/usageevent/*/void/": "metering.add_eventadjustment",
    "metering/usageevent/*/replace/": "metering.add_eventadjustment",
    "metering/quarantinedevent/group/": "metering.view_quarantinedevent",
    "metering/quarantinedevent/*/fix/": "metering.change_quarantinedevent",
    "metering/quarantinedevent/*/dismiss/": "metering.change_quarantinedevent",
    "billing/soldaddon/*/withdraw/": "billing.change_soldaddon",
    "billing/invoice/*/pdf/": "billing.view_invoice",
    "billing/invoice/*/xml/": "billing.view_invoice",
    "billing/invoice/preview/*/": "customers.view_issuer",
    "billing/invoice/review/": "billing.view_invoice",
    "billing/invoice/decide/": "billing.view_invoice",
    "billing/invoice/send/": "billing.send_invoice",
    "billing/dispute/of/*/": "billing.add_dispute",
    "billing/dispute/*/close/": "billing.close_dispute",
    "billing/reminder/next/": "billing.view_reminder",
    "billing/reminderstop/*/end/": "billing.change_reminderstop",
    "billing/reminderstop/customer/*/": "billing.add_reminderstop",
    "billing/reminderstop/invoice/*/": "billing.add_reminderstop",
    "billing/invoicebatch/*/progress/": "billing.view_invoicebatch",
    "billing/invoicebatch/*/continue/": "billing.hold_invoice",
    "billing/invoice/step/*/": "billing.issue_invoice",
    "billing/billingperiod/*/retry/": "billing.retry_billingperiod",
    "billing/billingrun/*/progress/": "billing.view_billingrun",
    "billing/billingrun/*/continue/": "billing.add_billingrun",
    "billing/billingrun/close/": "billing.add_billingrun",
    "billing/billingrun/*/retry/": "billing.retry_billingperiod",
    "billing/closeestimate/start/": "billing.add_closeestimate",
    "billing/closeestimate/*/progress/": "billing.view_closeestimate",
    "billing/closeestimate/*/continue/": "billing.add_closeestimate",
    "billing/lateusage/*/bill/": "billing.bill_lateusage",
    "billing/lateusage/*/write-off/": "billing.write_off_lateusage",
    "billing/taxrate/import/": "billing.add_taxrate",
    "billing/exchangerate/import/": "billing.add_exchangerate",
    "billing/planmove/start/": "billing.add_planmove",
    "billing/planmove/*/progress/": "billing.view_planmove",
    "billing/planmove/*/continue/": "billing.add_planmove",
    "billing/planmove/*/rows.csv": "billing.view_planmove",
    "billing/planmove/*/move/": "billing.confirm_planmove",
    "billing/creditnote/of/*/": "billing.add_creditnote",
    "billing/creditnote/send/": "billing.send_invoice",
    "billing/creditnote/*/pdf/": "billing.view_creditnote",
    "billing/creditnote/*/xml/": "billing.view_creditnote",
    "billing/payment/*/allocate/": "billing.allocate_payment",
    "billing/payment/*/release/*/": "billing.allocate_payment",
    "billing/payment/*/refund/": "billing.refund_payment",
    "billing/payment/*/refund/*/back/": "billing.refund_payment",
    "billing/payment/*/reverse/": "billing.reverse_payment",
    "billing/bankimport/*/columns/": "billing.add_bankimport",
    "billing/bankimport/*/lines/": "billing.view_bankimport",
    "billing/taxrate/listing/": "billing.view_invoice",
    "billing/writeoff/*/back/": "billing.reverse_writeoff",
    "billing/writeoff/of/*/": "billing.add_writeoff",
    "billing/writeoff/ageing/": "billing.view_openitem",
    "billing/writeoff/statement/*/": "billing.view_openitem",
    "billing/writeoff/statement/*/pdf/": "billing.view_openitem",
}
"""What one must be allowed to do for each page of our own."""
KEYS = {"catalog": "flat-fee", "metering": "ada"}
"""Which example, and whose usage."""
_BAR = "?metric=calls&from=2026-11-05T00:00:00Z&to=2026-11-06T00:00:00Z"
ASKED = {
    "metering/usageevent/usage/*/events/": _BAR,
    "metering/usageevent/usage/*/events.csv": _BAR,
}
"""What a page can't do without."""
NOBODYS = {
    "billing/billingrun/add/",
    "billing/planmove/add/",
    "billing/closeestimate/add/",
    "billing/invoicebatch/add/",
    "billing/writeoff/add/",
    "billing/dispute/add/",
    "billing/reminderstop/add/",
    "billing/creditnote/add/",
}
"""A run is started by closing what is due, a move by its preview, an estimate on the close page; an
invoice's page writes it off and credits it."""
PLAIN = {"": "view", "add/": "add", "*/change/": "view", "*/": "view", "*/history/": "view"}
"""What Django's pages need, below a model's address."""


@pytest.fixture(autouse=True)
def _a_row_of_everything() -> Any:
    with time_machine.travel(NOW, tick=False):
        buyer = make.customer("ada", manual_approval=True)
        Contact.objects.create(customer=buyer, email="ada@ada.io")
        version = make.published(make.flat(), make.graduated(make.metric("calls"), "rest @ 1"))
        subscription = make.subscription(buyer, version)
        use(subscription, datetime(2026, 11, 5, tzinfo=UTC), calls=1)
        send(body(id="lost", subject="nobody"))
        make.draft()
        draft, *_ = close(NOW)
        issuing.issue_invoices(invoice_ids=[draft.pk], as_of=NOW, actor=SYSTEM)
        late = InvoiceLine.objects.exclude(snapshot=None).get()
        LateUsage.objects.create(
            **{name: getattr(late, name) for name in ("period", "price", "invoice", "snapshot")},
            currency="EUR", billed_quantity=1, quantity=2, amount=1,
            status="held", held_for="age", found_at=NOW,
        )  # fmt: skip
        User.objects.create_user("somebody")
        create_api_key(name="k", scopes=(), expires_at=None, actor=SYSTEM)
        Outbox.objects.create(kind="mail", key="1", due_at=NOW)
        make.coupon()
        TaxRate.objects.create(country="DE", percent=19, valid_from=NOW.date())
        ExchangeRate.objects.create(
            base="EUR", quote="USD", rate=1, date=NOW.date(), source="a bank"
        )
        some_money(buyer, draft)
        make.sold_add_on(subscription)
        preview(version, make.published(make.flat()))
        batches.start_batch(
            invoices=Invoice.objects.filter(status="draft"),
            action=BatchAction.HOLD,
            reason="x",
            at=NOW,
            actor=SYSTEM,
        )
        estimating.start_estimate(month=NOW.date(), customer=None, at=NOW, actor=SYSTEM)
        AccessAttempt.objects.create(username="x", ip_address="192.0.2.1", failures_since_start=1)
        yield


def some_money(buyer: Customer, invoice: Invoice) -> None:
    """A payment that pays some of an invoice and is paid back some of, and a write-off."""
    paid = make.payment(buyer, "100", portions={invoice: "10"}, at=NOW)
    refunds.refund_payment(
        payment_id=paid.pk, amount=Decimal(1), refunded_on=None, reference="", at=NOW, actor=SYSTEM
    )
    importing.upload_statement(
        name="bank.csv", content=b"date,amount,reference\n2026-11-30,5.00,x\n", at=NOW, actor=SYSTEM
    )
    Issuer.objects.update(email="billing@northlight.test")
    send_invoices(invoice_ids=[invoice.pk], to=["x@ada.io"], at=NOW, actor=SYSTEM)
    some_dunning(invoice)
    write_off(invoice_id=invoice.pk, amount=Decimal(1), reason="x", at=NOW, actor=SYSTEM)
    credit(invoice, "base 1", at=NOW)


def some_dunning(invoice: Invoice) -> None:
    """A dispute, an invoice that is left out of reminders, and a reminder."""
    open_dispute(invoice_id=invoice.pk, amount=Decimal(1), reason="x", at=NOW, actor=SYSTEM)
    stop_reminders(of=invoice, reason="x", at=NOW, actor=SYSTEM)
    Reminder.objects.create(
        customer=invoice.customer, issuer=invoice.issuer, currency="EUR", level=1,
        made_on=NOW.date(), made_at=NOW, made_by="x",
    )  # fmt: skip


def preview(before: PlanVersion, after: PlanVersion) -> PlanMove:
    move = moving.start_move(
        subscriptions=moving.on_version(before, today=NOW.date()),
        from_version=before,
        to_version=after,
        when=MoveWhen.BY_FEE,
        at=NOW,
        actor=SYSTEM,
    )
    moving.take_step(move_id=move.pk, now=NOW)
    return move


def routes() -> list[str]:
    def walk(patterns: Any, before: str) -> Iterator[str]:
        for pattern in patterns:
            route = f"{before}{pattern.pattern}"
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            elif route.startswith("admin/"):
                yield route

    return list(walk(get_resolver().url_patterns, ""))


ROUTES = [route for route in routes() if not route.startswith(LEADS_ON)]


def starred(route: str) -> str:
    """Write a route as "catalog/plan/*/change/"."""
    return re.sub(r"<[^>]+>", "*", route).removeprefix("admin/")


def address(route: str) -> str:
    """Return an address that the route leads to, of a row that is there."""
    if route.startswith("admin/^"):
        return "/admin/billing/"
    app, model = route.split("/")[1:3] if route.count("/") > 2 else ("", "")

    def value(match: re.Match[str]) -> str:
        kind = match[1].partition(":")[2] or match[1]
        if kind == "key":
            return KEYS[app]
        owners = {
            "contact_id": Contact,
            "issuer_id": Issuer,
            "customer_id": Customer,
            "invoice_id": OpenItem,
            "allocation_id": Allocation,
            "refund_id": Refund,
        }
        owner: Any = owners.get(kind) or apps.get_model(app, model)
        row = owner._default_manager.order_by("-pk").first()  # of versions, the draft
        assert row is not None, f"no {model} to open"
        return "issue" if kind == "name" else str(row.pk)

    return "/" + re.sub(r"<([^>]+)>", value, route) + ASKED.get(starred(route), "")


def test_every_page_of_our_own_says_what_it_needs() -> None:
    own = {starred(route) for route in ROUTES if route not in ANYBODYS}
    own = {route for route in own if not route.startswith("^")}
    plain = {
        route
        for route in own
        if re.fullmatch(r"\w+/\w+/(add/|\*/|\*/(change|history|delete)/)?", route)
    }
    assert own - plain == set(NEEDED)


def test_who_is_not_signed_in_is_led_to_sign_in() -> None:
    client = Client()
    for route in {*ROUTES, "admin/autocomplete/"} - {"admin/login/", "admin/logout/"}:
        for send_ in (client.get, client.post):
            response: Any = send_(address(route))
            assert response.status_code == 302, route
            assert response.headers["Location"].startswith("/admin/login/"), route


def test_who_is_no_staff_is_led_to_sign_in() -> None:
    client = person("customer")
    User.objects.filter(username="customer").update(is_staff=False)
    for route in set(ROUTES) - {"admin/login/", "admin/logout/"}:
        assert client.get(address(route)).status_code == 302, route


def test_staff_without_a_role_gets_in_nowhere() -> None:
    client = stranger()
    for route in set(ROUTES) - ANYBODYS:
        for send_ in (client.get, client.post):
            status = send_(address(route), follow=route.endswith("object_id>/")).status_code
            assert status in (403, 404, 405), route
    choices = {"app_label": "customers", "model_name": "subscription", "field_name": "customer"}
    assert client.get("/admin/autocomplete/", choices).status_code == 403


@pytest.mark.parametrize("name", ROLES)
def test_each_role_gets_in_where_its_grants_say(name: str) -> None:
    client = ROLES[name]()
    user = User.objects.get(username=name)
    for route in set(ROUTES) - ANYBODYS:
        path = starred(route)
        if path.startswith("^") or path.endswith("*/delete/"):
            continue  # the list of an app's models; what may be deleted depends on the row
        app, model, rest = path.split("/", 2)
        needed = NEEDED.get(path) or f"{app}.{PLAIN[rest]}_{model}"
        is_open = user.has_perm(needed) and path not in NOBODYS
        status = client.get(address(route), follow=rest == "*/").status_code
        if is_open:
            assert status in (200, 302, 405), (route, status)
        else:
            assert status in (403, 404), (route, status)


@pytest.mark.parametrize("name", ROLES)
def test_no_role_deletes_or_edits_what_is_history(name: str) -> None:
    client = ROLES[name]()
    invoice, run = Invoice.objects.get(status="issued"), BillingRun.objects.get()
    before = Invoice.objects.values().get(pk=invoice.pk)
    for base in (
        f"/admin/billing/invoice/{invoice.pk}",
        f"/admin/billing/billingrun/{run.pk}",
    ):
        for what in ("change", "delete"):
            response = client.post(f"{base}/{what}/", {"total": "0", "post": "yes"})
            assert response.status_code == 403
    assert Invoice.objects.values().get(pk=invoice.pk) == before


def test_looking_changes_nothing() -> None:
    client = nora()
    store_credit_note(CreditNote.objects.get().pk)  # as a worker has by then
    client.get("/admin/")
    for route in set(ROUTES) - {"admin/logout/"}:
        with CaptureQueriesContext(connection) as captured:
            client.get(address(route))
        for query in captured:
            statement = query["sql"].lstrip().upper()
            assert not statement.startswith(("INSERT", "UPDATE", "DELETE")), (route, statement)


# Texts that can't be seen


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\x07", "\u2028", "\x85"])
@pytest.mark.parametrize(
    ("page", "field"),
    [
        ("customers/customer/add/", "name"),
        ("customers/customer/add/", "legal_name"),
        ("customers/customer/add/", "segment"),
        ("customers/customer/add/", "contacts-0-name"),
        ("customers/issuer/add/", "legal_name"),
        ("billing/payment/add/", "reference"),
        ("billing/taxrate/add/", "source"),
        ("billing/exchangerate/add/", "source"),
        ("catalog/plan/add/", "name"),
        ("catalog/coupon/add/", "name"),
        ("catalog/addon/add/", "name"),
        ("catalog/valuemetric/add/", "unit"),
        ("base/apikey/add/", "name"),
        ("auth/user/add/", "username"),
        ("auth/group/add/", "name"),
    ],
)
def test_a_text_that_can_not_be_seen_is_refused(page: str, field: str, hidden: str) -> None:
    formset = {
        f"{prefix}-{name}": value
        for prefix in ("contacts",)
        for name, value in (("TOTAL_FORMS", "1"), ("INITIAL_FORMS", "0"))
    }
    response = nora().post(f"/admin/{page}", {**formset, field: f"evil{hidden}name"})
    assert response.status_code == 200
    assert "Control characters and bidirectional overrides are not allowed." in (
        response.content.decode()
    )
