"""Credit notes by e-mail: to whom, saying what, at least once; and what becomes of each mail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import transaction

from billing.credit_documents import store_credit_note
from billing.mail_books import MAIL_BOOKS
from billing.models import CreditNote, CreditNoteDocument, Delivery, Invoice
from billing.services import issuing, life, sending
from billing.services.life import When
from billing.services.sending import send_credit_notes
from config.base.audit import SYSTEM, Actor
from config.base.invariants import audit
from config.base.models import ActorKind, AuditEntry
from config.base.services import outbox
from customers.models import Contact, Customer, Issuer
from tests import factories as make
from tests.billing.crediting import NOV_20, credit
from tests.billing.months import close, contradictions, use
from tests.billing.test_books import change, unguarded
from tests.billing.test_sending import parts
from tests.conftest import Caller
from tests.customers import door
from tests.killing import killed_before
from tests.mail_server import MailServer, mail_server
from tests.staff import anna, leo, page, queries, said, sam

pytestmark = pytest.mark.django_db
AT = NOV_20
ANNA = Actor(ActorKind.USER, "anna")


@pytest.fixture(autouse=True)
def _november(settings: Any, tmp_path: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(
        name="Northlight", email="billing@northlight.test", sends_invoices=True,
        tax_status="standard", standard_tax_rate=19,
    )  # fmt: skip
    with time_machine.travel(AT, tick=False):
        yield
    assert not contradictions(AT, but=["periods_close_in_time"])


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        yield running


def buyer(*contacts: str, **fields: Any) -> Customer:
    made = make.customer(**{"email": "ap@acme.test", **fields})
    for address in contacts:
        Contact.objects.create(customer=made, email=address)
    return made


def billed(customer: Customer | None = None) -> Invoice:
    """An invoice of 1 November over 119.00 whose own mails went."""
    invoice = make.issued(customer or buyer())
    outbox.deliver_due(at=AT)
    mail.outbox.clear()
    return invoice


def deliver(at: datetime = AT) -> tuple[int, int]:
    return outbox.deliver_due(at=at, kind=sending.MAIL)


def only() -> Delivery:
    return Delivery.objects.get(kind="credit_note")


def text() -> str:
    [message] = mail.outbox
    return str(message.body)


# To whom


def test_each_address_gets_a_mail_of_its_own_as_it_is_issued(server: MailServer) -> None:
    note = credit(billed(buyer("x@acme.test")), "base 10")
    server.received.clear()
    assert deliver() == (2, 0)
    assert sorted(str(one["To"]) for one in server.received) == ["ap@acme.test", "x@acme.test"]
    assert set(note.deliveries.values_list("status", "at_issue")) == {("sent", True)}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"email": ""}, "no_address", id="no address"),
        pytest.param({"invoices_by_email": False}, "not_wanted", id="in another way"),
    ],
)
def test_what_goes_to_nobody_says_why(fields: dict[str, Any], why: str) -> None:
    credit(billed(buyer(**fields)))
    assert (only().status, only().why, only().address) == ("unsent", why, "")
    assert deliver() == (0, 0)


def test_an_issuer_who_sends_nothing_sends_no_credit_note() -> None:
    Issuer.objects.update(sends_invoices=False)
    credit(billed())
    assert not Delivery.objects.exists()


def test_the_credit_note_goes_though_all_of_its_invoice_is_credited() -> None:
    invoice = make.issued(buyer())
    credit(invoice, bill_anew=True)
    deliver()
    assert [message.subject[:11] for message in mail.outbox] == ["Credit note"]
    assert dict(Delivery.objects.values_list("kind", "status")) == {
        "invoice": "unsent", "credit_note": "sent",
    }  # fmt: skip


# Saying what


def test_a_mail_carries_the_kept_document_and_says_which_why_and_how_much(
    server: MailServer,
) -> None:
    reason = "Two hours of downtime <b>\non 12 November"
    note = credit(billed(buyer(locale="en-GB")), "base 10", reason=reason)
    server.received.clear()
    deliver()
    [message] = server.received
    assert message["From"] == "Northlight <billing@northlight.test>"
    assert " ".join(str(message["Subject"]).split()) == (
        "Credit note CN-2026-000001 from Northlight: €11.90 of invoice INV-2026-000001 credited"
    )
    assert message["Message-ID"] == only().message_id == f"<{only().uuid}@127.0.0.1>"
    [attached] = message.iter_attachments()
    assert attached.get_filename() == "CN-2026-000001.pdf"
    found = parts(message)
    assert len(found["application/pdf"]) == CreditNoteDocument.objects.get().size_bytes
    assert "&lt;b&gt;" in found["text/html"]
    told = found["text/plain"].replace("\r\n", "\n").replace("\xa0", " ")
    assert told.startswith(
        f"""Hello,

Attached is credit note CN-2026-000001 of 20 November 2026 from Northlight. \
It corrects invoice INV-2026-000001 of 1 November 2026.

Credited to you: €11.90

Reason
Two hours of downtime <b>
on 12 November

What becomes of it
Taken off what was open of INV-2026-000001: €11.90
€107.10 of invoice INV-2026-000001 is still open.

What is credited
- Base, 1–30 Nov 2026: 10.00
- Net total: 10.00
- VAT 19 % on 10.00: 1.90
- Credit total: €11.90

See it line by line:
http://127.0.0.1:8000/portal/credit-notes/{note.uuid}/
"""
    )


@pytest.mark.parametrize(
    ("paid", "refund", "expected"),
    [
        pytest.param(
            "0", False,
            ["Taken off what was open of INV-2026-000001: €119.00",
             "Nothing of invoice INV-2026-000001 is open any more."],
            id="all of it was open",
        ),
        pytest.param(
            "119", False,
            ["Paid already: your balance now: €119.00", "The balance comes off your next invoice."],
            id="all of it was paid",
        ),
        pytest.param(
            "119", True, ["Paid already: paid back to you: €119.00"], id="and is paid back"
        ),
        pytest.param(
            "100", False,
            ["Taken off what was open of INV-2026-000001: €19.00",
             "Paid already: your balance now: €100.00",
             "Nothing of invoice INV-2026-000001 is open any more.",
             "The balance comes off your next invoice."],
            id="some of it was paid",
        ),
    ],
)  # fmt: skip
def test_a_mail_says_what_becomes_of_the_amount(
    paid: str, refund: bool, expected: list[str]
) -> None:
    customer = buyer()
    invoice = billed(customer)
    if D(paid):
        make.payment(customer, paid, portions={invoice: paid}, at=AT)
    credit(invoice, refund=refund)
    deliver()
    _, _, after = text().partition("What becomes of it\n")
    assert after.partition("\n\n")[0].splitlines() == expected


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en-GB", ["Attached is credit note CN-2026-000001", "is still open."]),
        (
            "de-DE",
            [
                "anbei die Rechnungskorrektur CN-2026-000001",
                "sind noch 107,10\xa0€ offen.",
                "Grund",
            ],
        ),
        ("fr-FR", ["ci-joint l’avoir CN-2026-000001", "Il rectifie la facture", "Motif"]),
        ("es", ["la factura rectificativa CN-2026-000001", "Rectifica la factura", "Motivo"]),
        ("ja", ["Attached is credit note CN-2026-000001"]),
    ],
)
def test_a_mail_is_written_in_its_readers_language(locale: str, expected: list[str]) -> None:
    credit(billed(buyer(locale=locale)), "base 10")
    deliver()
    for words in expected:
        assert words in text()


def test_a_credit_note_issued_with_an_invoice_goes_in_a_mail_of_its_own() -> None:
    """Both mails name both documents, so that either can come first."""
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(300))
    plan = make.published(make.flat("base", "100"), calls)
    sold = make.subscription(buyer(), plan, starts_on=date(2026, 11, 1))
    close(datetime(2026, 11, 1, 12, tzinfo=UTC))
    ids = Invoice.objects.values_list("pk", flat=True)
    issuing.issue_invoices(
        invoice_ids=list(ids), as_of=datetime(2026, 11, 1, 12, tzinfo=UTC), actor=SYSTEM
    )
    make.payment(
        sold.customer, "119", portions={Invoice.objects.get(): "119"},
        at=datetime(2026, 11, 2, tzinfo=UTC),
    )  # fmt: skip
    use(sold, datetime(2026, 11, 5, tzinfo=UTC), calls=200)
    life.cancel(
        subscription_id=sold.pk, when=When.IMMEDIATE,
        at=datetime(2026, 11, 16, tzinfo=UTC), actor=SYSTEM,
    )  # fmt: skip
    last = close(datetime(2026, 11, 17, 1, tzinfo=UTC))[-1]
    mail.outbox.clear()
    issuing.issue_invoices(invoice_ids=[last.pk], as_of=AT, actor=SYSTEM)
    deliver()
    bodies = {message.subject.partition(" from")[0]: str(message.body) for message in mail.outbox}
    assert "CN-2026-000001 credits" in bodies["Invoice INV-2026-000002"]
    told = bodies["Credit note CN-2026-000001"]
    assert "It comes together with invoice INV-2026-000002." in told
    assert "The balance comes off that invoice first." in told
    assert "Fees that were paid in advance for days without service." in told


# At least once


def test_killed_at_any_step_of_the_issue_there_is_a_mail_exactly_with_a_credit_note() -> None:
    invoice = billed()
    step, is_killed = 1, True
    while is_killed:
        with transaction.atomic():
            is_killed = killed_before(step, lambda: credit(invoice))
            transaction.set_rollback(is_killed)
        noted = CreditNote.objects.values_list("pk", flat=True)
        assert set(Delivery.objects.filter(kind="credit_note").values_list("note", flat=True)) == {
            *noted
        }
        step += 1
    assert step > 20
    assert deliver() == (1, 0)
    assert len(mail.outbox) == 1


def test_killed_at_any_step_of_sending_it_goes_at_least_once_and_at_most_once_more(
    server: MailServer,
) -> None:
    store_credit_note(credit(billed()).pk)
    step, is_killed = 1, True
    while is_killed:
        server.received.clear()
        with transaction.atomic():
            is_killed = killed_before(step, deliver)
            deliver(AT + outbox.CLAIMED_FOR)
            assert only().status == "sent"
            assert 1 <= len(server.received) <= 2
            assert {one["Message-ID"] for one in server.received} == {only().message_id}
            deliver(AT + 2 * outbox.CLAIMED_FOR)
            assert 1 <= len(server.received) <= 2
            transaction.set_rollback(True)
        step += 1
    assert step > 10


def test_issuing_twice_sends_once(caller: Caller) -> None:
    invoice = billed()
    body = {"invoice": str(invoice.uuid), "reason": "x"}
    client = caller()
    answers = [
        client.post("/api/v1/credit-notes", body, format="json", headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 201]
    later = caller().post("/api/v1/credit-notes", body, format="json")
    assert (later.status_code, later.json()["code"]) == (409, "nothing_to_credit")
    assert CreditNote.objects.count() == 1
    assert deliver() == (1, 0)
    assert deliver(AT + timedelta(days=1)) == (0, 0)
    assert len(mail.outbox) == 1


# Again


def again(note: CreditNote, *to: str) -> list[Delivery]:
    made = send_credit_notes(note_ids=[note.pk], to=to, at=AT, actor=ANNA)
    deliver()
    return [Delivery.objects.get(pk=one.pk) for one in made]


def test_it_is_sent_again_and_that_answers_what_had_failed(server: MailServer) -> None:
    server.recipients["ap@acme.test"] = "550 5.1.1 No such user here"
    note = credit(billed())
    deliver()
    assert (only().status, only().why) == ("failed", "refused")
    [sent] = again(note, "boss@acme.test")
    assert (sent.status, sent.address, sent.at_issue) == ("sent", "boss@acme.test", False)
    assert only_failed().answer == "Sent again, as anna asked."
    entry = AuditEntry.objects.get(action="asked to send")
    assert (entry.subject_type, entry.note) == ("billing.creditnote", "To boss@acme.test.")


def only_failed() -> Delivery:
    return Delivery.objects.get(kind="credit_note", status="failed")


def test_what_waits_is_not_asked_for_twice() -> None:
    note = credit(billed())
    with pytest.raises(sending.WaitsAlready, match="CN-2026-000001 waits to be sent to ap@acme"):
        again(note)


def test_what_was_issued_before_is_sent_once_somebody_asks() -> None:
    Issuer.objects.update(sends_invoices=False)
    note = credit(billed())
    assert [one.status for one in again(note)] == ["sent"]
    Customer.objects.update(email="")
    with pytest.raises(sending.NobodyToSendTo, match="enter an e-mail address or a contact"):
        again(note)
    Issuer.objects.update(email="")
    with pytest.raises(sending.NobodyToSendFrom, match="enter it first"):
        again(note, "x@acme.test")


# Faces


class TestAdmin:
    def test_a_lead_reads_first_where_it_goes(self) -> None:
        invoice = billed()
        url = page("billing_creditnote", "of", invoice.pk)
        body = {"reason": "x", "then": "balance", "_all": ""}
        client = leo()
        assert "It goes by e-mail, with the PDF, to ap@acme.test." in said(client.post(url, body))
        Customer.objects.update(email="")
        assert "It can't be sent by e-mail: no address is known." in said(client.post(url, body))
        Customer.objects.update(invoices_by_email=False)
        assert "by e-mail" not in said(client.post(url, body))

    def test_its_page_says_what_became_of_each_mail(self) -> None:
        note = credit(billed())
        client, url = anna(), page("billing_creditnote", "change", note.pk)
        assert "By e-mail Waiting ap@acme.test since 20 Nov 2026" in said(client.get(url))
        deliver()
        assert "By e-mail Sent ap@acme.test 20 Nov 2026, 09:00 UTC as it was issued" in said(
            client.get(url)
        )
        assert "Send again…" in said(client.get(url))
        assert "Send again…" not in said(sam().get(url))

    def test_its_page_says_why_nothing_was_sent(self) -> None:
        Issuer.objects.update(sends_invoices=False)
        note = credit(billed())
        client, url = anna(), page("billing_creditnote", "change", note.pk)
        assert "Not sent: Northlight does not send credit notes by e-mail." in said(client.get(url))
        Issuer.objects.update(sends_invoices=True)
        assert "did not send credit notes by e-mail when it was issued" in said(client.get(url))

    def test_it_is_sent_after_a_look_at_the_mail(
        self, django_capture_on_commit_callbacks: Any
    ) -> None:
        note = credit(billed())
        deliver()
        mail.outbox.clear()
        client = anna()
        url = page("billing_creditnote", "send")
        shown = said(client.get(f"{url}?ids={note.pk}"))
        assert "Send CN-2026-000001 by e-mail?" in shown
        assert "It corrects invoice INV-2026-000001" in shown
        assert "can’t be voided" not in shown
        with django_capture_on_commit_callbacks(execute=True):
            done = client.post(url, {"ids": note.pk, "to": "boss@acme.test"}, follow=True)
        assert "1 mail on the way to boss@acme.test." in said(done)
        assert [one.to for one in mail.outbox] == [["boss@acme.test"]]
        assert sam().get(f"{url}?ids={note.pk}").status_code == 403

    def test_many_are_sent_from_the_list_and_from_the_mails_that_failed(self) -> None:
        notes = [credit(make.issued(buyer())), credit(make.issued(make.customer(name="Lost")))]
        client = anna()
        chosen = {"action": "send", "_selected_action": [one.pk for one in notes]}
        shown = said(client.post(page("billing_creditnote", "changelist"), chosen))
        assert "Send 1 credit note by e-mail?" in shown
        assert "Lost has no address for CN-2026-000002" in shown
        failed = Delivery.objects.get(kind="credit_note", status="unsent")
        Customer.objects.filter(name="Lost").update(email="lost@acme.test")
        mails = page("billing_delivery", "changelist")
        chosen = {"action": "send_again", "_selected_action": [failed.pk]}
        assert "1 mail on the way." in said(client.post(mails, chosen, follow=True))
        assert Delivery.objects.get(address="lost@acme.test").note == notes[1]
        assert "CN-2026-000002" in said(client.get(mails, {"q": "CN-2026-000002"}))

    def test_pages_cost_as_many_queries_for_many(self) -> None:
        client = anna()
        note = credit(billed())
        urls = [
            page("billing_creditnote", "change", note.pk),
            page("billing_delivery", "changelist"),
            f"{page('billing_creditnote', 'send')}?ids=",
        ]

        def costs() -> list[int]:
            ids = ",".join(map(str, CreditNote.objects.values_list("pk", flat=True)))
            addresses = [f"{url}{ids}" if url.endswith("=") else url for url in urls]
            return [queries(lambda url=url: client.get(url)) for url in addresses]  # type: ignore[misc]

        credit(make.issued(buyer()))
        costs()
        before = costs()
        for _ in range(3):
            credit(make.issued(buyer()))
        assert costs() == before


class TestApi:
    def test_it_says_what_became_of_each_mail_and_sends_again(self, caller: Caller) -> None:
        note = credit(billed())
        deliver()
        address = f"/api/v1/credit-notes/{note.uuid}"
        [told] = caller().get(address).json()["deliveries"]
        assert (told["kind"], told["to"], told["status"]) == ("credit_note", "ap@acme.test", "sent")
        answer = caller().post(f"{address}/send", {"to": ["boss@acme.test"]}, format="json")
        assert answer.status_code == 200
        assert [one["to"] for one in answer.json()["deliveries"]] == [
            "boss@acme.test", "ap@acme.test",
        ]  # fmt: skip
        again = caller().post(f"{address}/send", {"to": ["boss@acme.test"]}, format="json")
        assert (again.status_code, again.json()["code"]) == (409, "already_waiting")
        wrong = caller().post(f"{address}/send", {"to": ["nonsense"]}, format="json")
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/to/0")
        assert caller("billing:read").post(f"{address}/send", {}).status_code == 403
        assert "deliveries" not in caller().get("/api/v1/credit-notes").json()["results"][0]

    def test_it_is_there_as_soon_as_it_is_issued(self, caller: Caller) -> None:
        body = {"invoice": str(billed().uuid), "reason": "x"}
        tried = caller().post("/api/v1/credit-notes", {**body, "dry_run": True}, format="json")
        assert tried.json()["deliveries"] == []
        made = caller().post("/api/v1/credit-notes", body, format="json")
        assert [one["status"] for one in made.json()["deliveries"]] == ["waiting"]


def test_the_portal_says_when_it_was_sent() -> None:
    invoice = billed()
    note = credit(invoice)
    client = door.signed_in(door.contact(invoice.customer, "ada@acme.test"))
    address = f"/portal/credit-notes/{note.uuid}/"
    assert "Sent by e-mail" not in said(client.get(address))
    deliver()
    assert "Sent by e-mail on November 20, 2026." in said(client.get(address))


@pytest.mark.unaudited
def test_the_audit_finds_a_credit_note_of_which_no_mail_says_what_became() -> None:
    credit(billed())
    assert not contradictions(AT, but=["periods_close_in_time"])
    unguarded()
    change(only(), at_issue=False)
    names = [check.name for check in MAIL_BOOKS]
    found = [one for one in audit(at=AT, names=names) if one.findings]
    assert [one.invariant.name for one in found] == ["credit_notes_are_sent_or_say_why"]
    change(only(), at_issue=True)
