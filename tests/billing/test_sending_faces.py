"""Sending as people meet it: in the admin, over the API, in the portal, and in the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.mail_books import MAIL_BOOKS
from billing.models import (
    Delivery,
    DeliveryStatus,
    Dispute,
    Invoice,
    Reminder,
    ReminderRow,
    ReminderStop,
    Unsent,
)
from billing.services.disputing import open_dispute
from billing.services.reminders import remind
from config.base.audit import SYSTEM
from config.base.groups import FINANCE
from config.base.invariants import audit
from config.base.models import Outbox
from config.base.services import outbox
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing.months import close, contradictions
from tests.billing.test_books import change, unguarded
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, person, sam

pytestmark = [pytest.mark.django_db, pytest.mark.once]
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 12, 8, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _november(settings: Any, tmp_path: Any) -> Any:
    settings.DATA_DIR = tmp_path
    with time_machine.travel(AT, tick=False):
        Issuer.objects.update(name="Northlight", email="billing@northlight.test")
        yield


def sends() -> None:
    Issuer.objects.update(sends_invoices=True)


def buyer(**fields: Any) -> Customer:
    return make.customer(**{"email": "ap@acme.test", **fields})


def deliver() -> None:
    outbox.deliver_due(at=AT)


def refused(invoice: Invoice) -> Delivery:
    """Let a mail of it have failed."""
    return Delivery.objects.create(
        customer=invoice.customer, invoice=invoice, address="gone@acme.test", asked_at=AT,
        asked_by="anna", status=DeliveryStatus.FAILED, why=Unsent.REFUSED,
        said="550 No such user", settled_at=AT,
    )  # fmt: skip


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def said(response: Any) -> str:
    return " ".join(str(one) for one in response.context["messages"])


# Admin


def test_an_issuer_who_sends_needs_an_address() -> None:
    issuer = Issuer.objects.get()
    Issuer.objects.update(email="")
    client = leo()
    form = client.get(f"/admin/customers/issuer/{issuer.pk}/change/").context["adminform"].form
    fields = {name: value for name, value in form.initial.items() if value not in (None, False)}
    response = client.post(
        f"/admin/customers/issuer/{issuer.pk}/change/",
        {**fields, "email": "", "sends_invoices": "on"},
    )
    errors = response.context["adminform"].form.errors
    assert errors == {"email": ["Enter the address that mails are sent from."]}


class TestTheInvoicePage:
    def test_says_that_nothing_is_sent_and_where_to_switch_it_on(self) -> None:
        invoice = make.issued(buyer())
        html = page(anna(), f"/admin/billing/invoice/{invoice.pk}/change/")
        assert "Not sent: Northlight does not send invoices by e-mail." in html
        assert f"/admin/customers/issuer/{invoice.issuer_id}/change/" in html

    def test_says_that_there_is_no_address_and_leads_to_the_customer(self) -> None:
        sends()
        invoice = make.issued(make.customer())
        html = page(anna(), f"/admin/billing/invoice/{invoice.pk}/change/")
        assert "Not sent: the customer has no address for invoices." in html
        assert f'href="/admin/customers/customer/{invoice.customer_id}/change/"' in html

    def test_says_in_the_servers_words_why_it_failed_and_what_to_do(self) -> None:
        invoice = make.issued(buyer())
        refused(invoice)
        html = page(anna(), f"/admin/billing/invoice/{invoice.pk}/change/")
        assert "“550 No such user”" in html
        assert "Correct the address with the customer, then send it again." in html

    def test_says_when_it_was_sent(self) -> None:
        sends()
        invoice = make.issued(buyer())
        deliver()
        html = page(anna(), f"/admin/billing/invoice/{invoice.pk}/change/")
        assert "1 Nov 2026, 12:00 UTC" in html
        assert "Send again…" in html

    def test_offers_no_sending_to_who_may_only_look(self) -> None:
        invoice = make.issued(buyer())
        assert "Send by e-mail…" in page(anna(), f"/admin/billing/invoice/{invoice.pk}/change/")
        assert "Send by e-mail…" not in page(sam(), f"/admin/billing/invoice/{invoice.pk}/change/")


class TestThePageThatSends:
    def test_shows_the_mail_and_changes_nothing(self) -> None:
        invoice = make.issued(buyer())
        html = page(anna(), f"/admin/billing/invoice/send/?ids={invoice.pk}")
        assert "Invoice INV-2026-000001 from Northlight: €100.00 due by" in html
        assert "ap@acme.test</textarea>" in html
        assert not Delivery.objects.exists()

    def test_sends_to_the_addresses_that_are_typed(
        self, django_capture_on_commit_callbacks: Any
    ) -> None:
        invoice = make.issued(buyer())
        body = {"ids": invoice.pk, "to": "boss@acme.test, ap@acme.test"}
        with django_capture_on_commit_callbacks(execute=True):
            response = anna().post("/admin/billing/invoice/send/", body, follow=True)
        assert said(response) == "2 mails on the way to boss@acme.test, ap@acme.test."
        assert sorted(one.to[0] for one in mail.outbox) == ["ap@acme.test", "boss@acme.test"]

    def test_says_at_the_field_what_is_no_address(self) -> None:
        invoice = make.issued(buyer())
        response = anna().post(
            "/admin/billing/invoice/send/", {"ids": invoice.pk, "to": "nonsense"}
        )
        assert "“nonsense” is no e-mail address." in response.content.decode()
        assert not Delivery.objects.exists()

    def test_sends_many_and_says_which_it_can_not(self) -> None:
        client = anna()
        one, two = make.issued(buyer()), make.issued(make.customer(name="Lost"))
        ids = f"{one.pk},{two.pk}"
        html = page(client, f"/admin/billing/invoice/send/?ids={ids}")
        assert "Lost has no address for INV-2026-000002" in html
        response = client.post("/admin/billing/invoice/send/", {"ids": ids}, follow=True)
        assert "1 mail on the way to ap@acme.test." in said(response)
        assert Delivery.objects.get().invoice == one

    def test_is_reached_from_the_list(self) -> None:
        invoice = make.issued(buyer())
        chosen = {"action": "send", "_selected_action": [invoice.pk]}
        response = anna().post("/admin/billing/invoice/", chosen)
        assert response.status_code == 200
        assert "by e-mail?" in response.content.decode()
        assert not Delivery.objects.exists()

    def test_is_nothing_for_who_may_only_look(self) -> None:
        client = sam()
        invoice = make.issued(buyer())
        for send in (client.get, client.post):
            assert send(f"/admin/billing/invoice/send/?ids={invoice.pk}").status_code == 403

    def test_costs_the_same_for_many(self) -> None:
        client = anna()

        def queries(ids: str) -> int:
            with CaptureQueriesContext(connection) as captured:
                page(client, f"/admin/billing/invoice/send/?ids={ids}")
            return len(captured)

        made = [make.issued(buyer()).pk for _ in range(6)]
        queries(f"{made[0]},{made[1]}")
        assert queries(f"{made[0]},{made[1]}") == queries(",".join(map(str, made)))


def test_issuing_says_first_how_many_mails_go_out() -> None:
    sends()
    version = make.published()
    make.subscription(buyer(manual_approval=True), version)
    make.subscription(make.customer(manual_approval=True), version)
    close(AT)
    ids = ",".join(str(pk) for pk in Invoice.objects.values_list("pk", flat=True))
    html = page(leo(), f"/admin/billing/invoice/step/issue/?ids={ids}")
    assert "1 mail with the PDF goes to customers" in html
    assert "1 invoice can&#x27;t be sent by e-mail: no address is known." in html


class TestTheListOfMails:
    def test_counts_and_lists_what_did_not_go(self) -> None:
        invoice = make.issued(buyer())
        refused(invoice)
        client = anna()
        assert "1 mail to a customer did not go." in page(client, "/admin/")
        html = page(client, "/admin/billing/delivery/?look=yes")
        assert "gone@acme.test" in html

    def test_sends_again_what_did_not_go(self) -> None:
        client = anna()
        row = refused(make.issued(buyer()))
        chosen = {"action": "send_again", "_selected_action": [row.pk]}
        response = client.post("/admin/billing/delivery/", chosen, follow=True)
        assert said(response) == "1 mail on the way."
        assert Delivery.objects.get(status="waiting").address == "ap@acme.test"
        response = client.post("/admin/billing/delivery/", chosen, follow=True)
        assert "Choose mails that did not go" in said(response)

    def test_takes_an_answer(self) -> None:
        client = anna()
        row = refused(make.issued(buyer()))
        chosen = {"action": "answer_many", "_selected_action": [row.pk]}
        assert (
            "What was done about it?"
            in client.post("/admin/billing/delivery/", chosen).content.decode()
        )
        response = client.post(
            "/admin/billing/delivery/", {**chosen, "reason": "By post."}, follow=True
        )
        assert said(response) == "Answered 1 mail."
        assert not Delivery.objects.to_look_at().exists()
        html = page(client, f"/admin/billing/delivery/{row.pk}/change/")
        assert "By post." in html

    def test_costs_the_same_for_many(self) -> None:
        client = anna()

        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                page(client, "/admin/billing/delivery/")
            return len(captured)

        refused(make.issued(buyer()))
        queries()
        few = queries()
        for _ in range(5):
            refused(make.issued(buyer()))
        assert queries() == few


# API


class TestTheApi:
    def test_says_what_became_of_each_mail(self, caller: Caller) -> None:
        sends()
        invoice = make.issued(buyer())
        deliver()
        [told] = caller().get(f"/api/v1/invoices/{invoice.uuid}").json()["deliveries"]
        row = Delivery.objects.get()
        assert told == {
            "id": str(row.uuid), "kind": "invoice", "to": "ap@acme.test", "status": "sent",
            "why": None, "detail": "", "at_issue": True, "asked_at": "2026-11-01T12:00:00Z",
            "settled_at": "2026-11-01T12:00:00Z", "message_id": row.message_id,
        }  # fmt: skip

    def test_sends_again(self, caller: Caller) -> None:
        invoice = make.issued(buyer())
        address = f"/api/v1/invoices/{invoice.uuid}/send"
        answer = caller().post(address, {"to": ["boss@acme.test"]}, format="json")
        assert (answer.status_code, answer.json()["deliveries"][0]["to"]) == (200, "boss@acme.test")
        answer = caller().post(address, {}, format="json")
        assert [one["to"] for one in answer.json()["deliveries"]] == [
            "ap@acme.test",
            "boss@acme.test",
        ]

    @pytest.mark.parametrize(
        ("body", "status", "pointer"),
        [
            pytest.param({"to": ["nonsense"]}, 400, "/to/0", id="no address"),
            pytest.param({"to": []}, 400, "/to", id="none at all"),
            pytest.param({"to": ["a@b.test\nBcc: x@y.test"]}, 400, "/to/0", id="a header"),
            pytest.param({"to": [f"a{n}@b.test" for n in range(11)]}, 400, "/to", id="too many"),
            pytest.param({"cc": ["a@b.test"]}, 400, "/cc", id="an unknown field"),
        ],
    )
    def test_refuses_what_is_wrong_at_its_field(
        self, caller: Caller, body: Any, status: int, pointer: str
    ) -> None:
        invoice = make.issued(buyer())
        answer = caller().post(f"/api/v1/invoices/{invoice.uuid}/send", body, format="json")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (status, pointer)

    def test_refuses_by_code(self, caller: Caller) -> None:
        sends()
        invoice, other = make.issued(buyer()), make.issued(make.customer())
        deliver()
        for address, body, code in (
            (f"{invoice.uuid}/void", {"reason": "x"}, "invoice_sent"),
            (f"{other.uuid}/send", {}, "no_address"),
        ):
            answer = caller().post(f"/api/v1/invoices/{address}", body, format="json")
            assert (answer.status_code, answer.json()["code"]) == (409, code)

    def test_a_reader_sends_nothing(self, caller: Caller) -> None:
        invoice = make.issued(buyer())
        client = caller("billing:read")
        assert client.post(f"/api/v1/invoices/{invoice.uuid}/send", {}).status_code == 403

    def test_a_customer_can_be_left_out(self, caller: Caller) -> None:
        sends()
        body = {"key": "ada", "name": "Ada", "currency": "EUR", "email": "ada@ada.test"}
        answer = caller().post("/api/v1/customers", {**body, "invoices_by_email": False}, "json")
        assert answer.json()["invoices_by_email"] is False
        make.issued(Customer.objects.get(key="ada"))
        assert Delivery.objects.get().why == "not_wanted"


# Portal


def test_the_portal_says_when_it_was_sent() -> None:
    sends()
    invoice = make.issued(buyer())
    client = door.signed_in(door.contact(invoice.customer, "ada@acme.test"))
    assert "Sent by e-mail" not in page(client, f"/portal/invoices/{invoice.uuid}/")
    deliver()
    html = page(client, f"/portal/invoices/{invoice.uuid}/")
    assert "Sent by e-mail on November 1, 2026." in html
    assert "ap@acme.test" not in html


# Reminders and disputes


def reminds() -> None:
    Issuer.objects.update(sends_reminders=True)


class TestTheReminderPage:
    def test_says_that_nobody_sends_and_where_to_switch_it_on(self) -> None:
        assert "Nobody sends reminders." in page(anna(), "/admin/billing/reminder/next/")

    def test_shows_whom_at_which_level_how_much_and_why_not(self) -> None:
        reminds()
        make.issued(buyer(name="Ada"))
        make.issued(make.customer(name="Lost"))
        held = make.issued(buyer(name="Bob"))
        open_dispute(invoice_id=held.pk, amount=None, reason="x", at=AT, actor=SYSTEM)
        with time_machine.travel(LATER, tick=False):
            html = page(anna(), "/admin/billing/reminder/next/")
        for told in (
            "First, friendly", "100.00 EUR", "7 days", "The customer has no address.",
            "All of it is in dispute.",
        ):  # fmt: skip
            assert told in html
        assert not Reminder.objects.exists()

    def test_shows_what_is_not_set_off_and_who_is_held_by_it(self) -> None:
        reminds()
        ada, bob = buyer(name="Ada"), buyer(name="Bob")
        make.issued(ada)
        make.payment(ada, "30", at=LATER)
        make.issued(bob)
        make.payment(bob, "100", at=LATER)
        with time_machine.travel(LATER, tick=False):
            client = anna()
            html = page(client, "/admin/billing/reminder/next/")
            client.post("/admin/billing/reminder/next/", {"customer": [ada.pk, bob.pk]})
        assert "Credit balance, not yet set off: −30.00 EUR" in html
        assert '<td class="pb-number" data-label="Asked">70.00 EUR</td>' in html
        held = "Nothing remains to be paid: 100.00 EUR lies on the account, not yet set off."
        assert held in html
        made = Reminder.objects.get()
        assert made.customer == ada
        html = page(leo(), f"/admin/billing/reminder/{made.pk}/change/")
        assert "Credit balance, not yet set off: −30.00 EUR." in html
        assert "The mail asks for 70.00 EUR" in html

    def test_sends_to_those_who_are_chosen(self) -> None:
        reminds()
        ada, bob = buyer(), buyer()
        make.issued(ada)
        make.issued(bob)
        with time_machine.travel(LATER, tick=False):
            response = anna().post(
                "/admin/billing/reminder/next/", {"customer": [bob.pk]}, follow=True
            )
        assert "1 reminder on the way." in said(response)
        assert Reminder.objects.get().customer == bob
        html = page(leo(), f"/admin/billing/reminder/{Reminder.objects.get().pk}/change/")
        assert "INV-2026-000002" in html

    def test_lets_who_may_only_look_send_nothing(self) -> None:
        client = sam()
        assert client.get("/admin/billing/reminder/next/").status_code == 200
        assert client.post("/admin/billing/reminder/next/", {"customer": 1}).status_code == 403

    def test_costs_the_same_for_many(self) -> None:
        reminds()

        names = iter(("nina", "nils", "nele"))

        def queries() -> int:
            with time_machine.travel(LATER, tick=False):
                client = person(next(names), FINANCE)
                with CaptureQueriesContext(connection) as captured:
                    page(client, "/admin/billing/reminder/next/")
            return len(captured)

        make.issued(buyer())
        queries()
        few = queries()
        for _ in range(5):
            make.issued(buyer())
        assert queries() == few


def test_an_invoices_page_notes_a_dispute_and_closes_it() -> None:
    invoice = make.issued(buyer())
    client = anna()
    address = f"/admin/billing/dispute/of/{invoice.pk}/"
    assert "100.00 EUR of it is open." in page(client, address)
    client.post(address, {"amount": "40", "reason": "Line 3"}, follow=True)
    found = Dispute.objects.get()
    assert (found.amount, found.reason, found.by_customer) == (40, "Line 3", False)
    assert "40.00 EUR" in page(client, f"/admin/billing/invoice/{invoice.pk}/change/")
    assert "1 invoice is in dispute." in page(client, "/admin/")
    client.post(f"/admin/billing/dispute/{found.pk}/close/", {"reason": "Credited."})
    assert Dispute.objects.get().closed_because == "Credited."
    assert "Credited." in page(client, f"/admin/billing/dispute/{found.pk}/change/")


@pytest.mark.parametrize("what", ["customer", "invoice"])
def test_a_page_leaves_out_of_reminders_and_takes_that_back(what: str) -> None:
    invoice = make.issued(buyer(name="Ada"))
    pk = invoice.pk if what == "invoice" else invoice.customer_id
    client = anna()
    client.post(f"/admin/billing/reminderstop/{what}/{pk}/", {"reason": "Pays by hand."})
    found = ReminderStop.objects.get()
    assert found.reason == "Pays by hand."
    where = "billing/invoice" if what == "invoice" else "customers/customer"
    assert "Pays by hand." in page(client, f"/admin/{where}/{pk}/change/")
    client.post(f"/admin/billing/reminderstop/{found.pk}/end/")
    assert ReminderStop.objects.get().ended_by == "anna"
    assert "Ended" in page(client, "/admin/billing/reminderstop/")


def test_the_api_notes_a_dispute_and_tells_of_reminders(caller: Caller) -> None:
    reminds()
    invoice = make.issued(buyer())
    address = f"/api/v1/invoices/{invoice.uuid}"
    client = caller()
    answer = client.post(f"{address}/dispute", {"amount": "40", "reason": "Line 3"}, "json")
    assert answer.json()["dispute"] == {
        "amount": "40.00", "reason": "Line 3", "opened_on": "2026-11-01", "by_customer": False,
    }  # fmt: skip
    again = client.post(f"{address}/dispute", {"reason": "x"}, "json")
    assert (again.status_code, again.json()["code"]) == (409, "already_disputed")
    make.payment(invoice.customer, "15", at=LATER)
    remind(at=LATER, actor=SYSTEM)
    assert client.get(address).json()["reminders"] == [
        {
            "level": 1, "on": "2026-12-08", "asked": "60.00", "disputed": "40.00",
            "not_set_off": "15.00", "to_pay": "45.00",
        }
    ]  # fmt: skip
    answer = client.post(f"{address}/close-dispute", {"reason": "Credited."}, "json")
    assert answer.json()["dispute"] is None
    answer = client.post(f"{address}/dispute", {"amount": "1000", "reason": "x"}, "json")
    assert (answer.status_code, answer.json()["code"]) == (409, "more_than_open")


class TestDisputingInThePortal:
    @pytest.fixture
    def invoice(self) -> Invoice:
        return make.issued(buyer())

    @pytest.fixture
    def ada(self, invoice: Invoice) -> Client:
        return door.signed_in(door.contact(invoice.customer, "ada@acme.test"))

    def test_says_who_disputes_how_much_and_why(self, ada: Client, invoice: Invoice) -> None:
        address = f"/portal/invoices/{invoice.uuid}/dispute/"
        assert "Dispute an amount" in page(ada, f"/portal/invoices/{invoice.uuid}/")
        assert "€100.00 is open." in page(ada, address)
        response = ada.post(address, {"amount": "40,50", "reason": "Line 3 <b>"})
        assert response.status_code == 302
        found = Dispute.objects.get()
        assert (found.amount, found.opened_by) == (Decimal("40.50"), "ada@acme.test")
        assert found.by_customer
        html = page(ada, f"/portal/invoices/{invoice.uuid}/")
        assert "You dispute €40.50 since Nov 1, 2026: Line 3 &lt;b&gt;" in html
        assert ada.get(address).status_code == 302

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            pytest.param({"amount": "100.01", "reason": "x"}, "up to €100.00", id="too much"),
            pytest.param({"amount": "0", "reason": "x"}, "above 0", id="nothing"),
            pytest.param({"amount": "1e2", "reason": "x"}, "such as 100.00", id="no amount"),
            pytest.param({"amount": "0.001", "reason": "x"}, "such as 100.00", id="too fine"),
            pytest.param({"amount": "1", "reason": " "}, "Write what is wrong.", id="no reason"),
            pytest.param({"amount": "1", "reason": "\u202ex"}, "invisible", id="unseen"),
            pytest.param({"amount": "1", "reason": "x" * 2001}, "at most 2,000", id="too long"),
        ],
    )
    def test_says_at_the_field_what_is_wrong(
        self, ada: Client, invoice: Invoice, body: Any, said: str
    ) -> None:
        response = ada.post(f"/portal/invoices/{invoice.uuid}/dispute/", body)
        assert response.status_code == 400
        assert said in response.content.decode()
        assert not Dispute.objects.exists()


# Audit


def no_mail_left() -> None:
    change(Delivery.objects.get(status="waiting", kind="invoice"), at_issue=False)


def no_message_left() -> None:
    Outbox.objects.filter(kind="billing.mail").delete()


def a_firmer_letter() -> None:
    change(Reminder.objects.get(), level=3)


def a_letter_nobody_gets() -> None:
    Delivery.objects.filter(kind="reminder").delete()


def too_much_asked() -> None:
    change(ReminderRow.objects.get(), asked=101)


def too_much_disputed() -> None:
    change(Dispute.objects.get(), amount=101)


@pytest.mark.unaudited
@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        pytest.param(no_mail_left, "invoices_are_sent_or_say_why", id="neither mail nor reason"),
        pytest.param(no_message_left, "mails_that_wait_are_sent", id="a mail nobody sends"),
        pytest.param(
            a_firmer_letter, "reminders_are_as_firm_as_their_invoices", id="a firmer letter"
        ),
        pytest.param(
            a_letter_nobody_gets, "reminders_are_as_firm_as_their_invoices", id="to nobody"
        ),
        pytest.param(too_much_asked, "reminders_ask_for_what_is_owed", id="asking too much"),
        pytest.param(too_much_disputed, "disputes_are_of_what_is_owed", id="disputing too much"),
    ],
)
def test_the_audit_finds_what_is_spoilt(spoil: Callable[[], None], name: str) -> None:
    sends()
    Issuer.objects.update(sends_reminders=True)
    invoice = make.issued(buyer())
    make.issued(make.customer())
    open_dispute(invoice_id=invoice.pk, amount=Decimal(10), reason="x", at=AT, actor=SYSTEM)
    remind(at=LATER, actor=SYSTEM)
    assert not contradictions(AT)
    unguarded()
    spoil()
    names = [check.name for check in MAIL_BOOKS]
    assert {one.invariant.name for one in audit(at=AT, names=names) if one.findings} == {name}
