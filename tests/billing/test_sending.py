"""Invoices by e-mail: to whom, with what, at least once, and what is said where one does not go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import deliveries
from billing.models import Delivery, DeliveryStatus, Invoice, InvoiceDocument, Unsent
from billing.services import mailing, sending
from billing.services.issuing import InvoiceSent, issue_invoices, void_invoice
from billing.services.sending import MAIL, addresses_of, send_invoices
from billing.typesetting import PdfEngineMissing
from config.base.audit import SYSTEM, Actor
from config.base.errors import Invalid
from config.base.models import ActorKind, AuditEntry, Outbox
from config.base.services import outbox
from customers.models import Contact, Customer, Issuer
from tests import factories as make
from tests.billing.crediting import NOV_20, credit
from tests.billing.months import close, contradictions, use
from tests.mail_server import MailServer, mail_server
from tests.staff import anna, said

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ANNA = Actor(ActorKind.USER, "anna")


@pytest.fixture(autouse=True)
def _audited(settings: Any, tmp_path: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    yield
    assert not contradictions(AT)


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        yield running


def sends(is_on: bool = True, **fields: Any) -> None:
    Issuer.objects.update(
        **{"name": "Northlight", "email": "billing@northlight.test", **fields}, sends_invoices=is_on
    )


def buyer(*contacts: str, **fields: Any) -> Customer:
    made = make.customer(**{"email": "ap@acme.test", **fields})
    for address in contacts:
        Contact.objects.create(customer=made, email=address)
    return made


def deliver(at: datetime = AT) -> tuple[int, int]:
    return outbox.deliver_due(at=at)


def only() -> Delivery:
    return Delivery.objects.get()


# To whom


@pytest.mark.parametrize(
    ("email", "contacts", "expected"),
    [
        pytest.param("ap@a.test", {}, ["ap@a.test"], id="the customer's own address"),
        pytest.param("", {"x@a.test": True}, ["x@a.test"], id="a contact alone"),
        pytest.param(
            "ap@a.test", {"x@a.test": True}, ["ap@a.test", "x@a.test"], id="both, its own first"
        ),
        pytest.param(
            "ap@a.test", {"x@a.test": False}, ["ap@a.test"], id="not who receives no invoices"
        ),
        pytest.param("ap@a.test", {"AP@a.test": True}, ["ap@a.test"], id="one address once"),
        pytest.param("", {"x@a.test": False}, [], id="nobody"),
    ],
)
def test_who_gets_invoices(email: str, contacts: dict[str, bool], expected: list[str]) -> None:
    customer = make.customer(email=email)
    for address, receives in contacts.items():
        Contact.objects.create(customer=customer, email=address, receives_invoices=receives)
    assert addresses_of(customer) == expected


def test_a_fresh_installation_sends_nothing() -> None:
    make.issued(buyer())
    assert not Delivery.objects.exists()
    deliver()
    assert mail.outbox == []


def test_each_address_gets_a_mail_of_its_own() -> None:
    sends()
    invoice = make.issued(buyer("x@acme.test"))
    assert deliver() == (3, 0)
    assert sorted(one.to[0] for one in mail.outbox) == ["ap@acme.test", "x@acme.test"]
    assert {one.status for one in invoice.deliveries.all()} == {DeliveryStatus.SENT}
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"email": ""}, Unsent.NO_ADDRESS, id="no address"),
        pytest.param({"invoices_by_email": False}, Unsent.NOT_WANTED, id="in another way"),
    ],
)
def test_what_goes_to_nobody_says_why(fields: dict[str, Any], why: Unsent) -> None:
    sends()
    make.issued(buyer(**fields))
    assert (only().status, only().why, only().address) == (DeliveryStatus.UNSENT, why, "")
    deliver()
    assert mail.outbox == []
    assert Delivery.objects.to_look_at().exists() == (why == Unsent.NO_ADDRESS)


def test_the_cost_of_issuing_does_not_depend_on_how_many_are_sent() -> None:
    sends()

    def statements(count: int) -> int:
        version = make.published()
        for _ in range(count):
            make.subscription(buyer("x@acme.test", manual_approval=True), version)
        close(AT)
        drafts = Invoice.objects.filter(status="draft")
        with CaptureQueriesContext(connection) as captured:
            issue_invoices(invoice_ids=[one.pk for one in drafts], as_of=AT, actor=SYSTEM)
        return len(captured)

    statements(1)  # begins the year's numbers
    few = statements(2)
    assert statements(6) == few
    assert Delivery.objects.count() == 18


# With what


def parts(message: EmailMessage) -> dict[str, Any]:
    return {
        part.get_content_type(): part.get_content()
        for part in message.walk()
        if not part.is_multipart()
    }


def test_a_mail_carries_the_kept_document_and_says_the_amount(server: MailServer) -> None:
    sends(iban="DE89370400440532013000")
    invoice = make.issued(buyer(locale="de-DE"), "658.91")
    deliver()
    [message] = server.received
    assert message["From"] == "Northlight <billing@northlight.test>"
    assert message["To"] == "ap@acme.test"
    assert str(message["Subject"]).strip() == (
        "Rechnung INV-2026-000001 von Northlight: 658,91 €, zahlbar bis 01.12.2026"
    )
    assert message["Message-ID"] == only().message_id == f"<{only().uuid}@127.0.0.1>"
    found = parts(message)
    [attached] = message.iter_attachments()
    assert attached.get_filename() == "INV-2026-000001.pdf"
    document = InvoiceDocument.objects.get()
    assert len(found["application/pdf"]) == document.size_bytes
    for text in (found["text/plain"], found["text/html"]):
        assert "Zahlbar bis 1. Dezember 2026" in text
        assert "658,91" in text
        assert "DE89 3704 0044 0532 0130 00" in text
        assert f"/portal/invoices/{invoice.uuid}/" in text
        assert "schreiben Sie bis 1.\u00a0Dezember\u00a02026 an billing@northlight.test" in text
    assert only().settled_at == AT


def test_a_mail_tells_why_it_changed_and_what_was_used(server: MailServer) -> None:
    sends()
    metric = make.metric("calls")
    version = make.published(
        make.flat(amount="10"), make.graduated(metric, "rest @ 1", included_quantity=2)
    )
    subscription = make.subscription(buyer(), version)
    use(subscription, AT + timedelta(hours=1), calls=5)
    close(datetime(2026, 12, 3, tzinfo=UTC))
    later = datetime(2026, 12, 3, tzinfo=UTC)
    deliver(later)
    text = parts(server.received[-1])["text/plain"]
    assert "Net charges rose by €3.00 to €13.00." in text
    assert "- Usage: used 5 calls · included 2 · over 3" in text


HOSTILE = "<script>alert(1)</script> {{ 7*7 }} \u202eevil\r\nBcc: all@evil.test"


def test_no_name_gets_into_a_header_or_runs_in_a_mail(server: MailServer) -> None:
    sends(name=HOSTILE)
    customer = buyer()
    Customer.objects.update(name=HOSTILE, legal_name=HOSTILE[:200])
    metric = make.metric("calls")
    type(metric).objects.update(name=HOSTILE)
    version = make.published(make.graduated(metric, "rest @ 1"))
    use(make.subscription(customer, version), AT + timedelta(hours=1), calls=5)
    close(datetime(2026, 12, 3, tzinfo=UTC))
    assert deliver(datetime(2026, 12, 3, tzinfo=UTC))[1] == 0
    [message] = server.received
    assert message["Bcc"] is None
    assert message.get_all("To") == ["ap@acme.test"]
    html = parts(message)["text/html"]
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "Attached is invoice INV-2026-000001"),
        ("de", "anbei die Rechnung INV-2026-000001"),
        ("fr-FR", "ci-joint la facture INV-2026-000001"),
        ("es", "Adjuntamos la factura INV-2026-000001"),
        ("ja", "Attached is invoice INV-2026-000001"),
    ],
)
def test_a_mail_is_written_in_its_readers_language(locale: str, expected: str) -> None:
    sends()
    make.issued(buyer(locale=locale))
    deliver()
    assert expected in str(mail.outbox[0].body)


def test_nothing_to_pay_is_said_in_the_subject() -> None:
    sends()
    make.issued(buyer(), "0")
    deliver()
    assert mail.outbox[0].subject == "Invoice INV-2026-000001 from Northlight: nothing to pay"


def test_what_was_paid_since_is_said_when_it_is_sent_again() -> None:
    sends(is_on=False)
    customer = buyer()
    invoice = make.issued(customer)
    make.payment(customer, "40", portions={invoice: "40"})
    again(invoice)
    make.payment(customer, "60", portions={invoice: "60"})
    again(invoice)
    part, whole = (str(message.body) for message in mail.outbox)
    assert "Of this, €60.00 is still open." in part
    assert "Nothing of it is open any more." in whole


# At least once


def again(invoice: Invoice, *to: str, at: datetime = AT) -> list[Delivery]:
    made = send_invoices(invoice_ids=[invoice.pk], to=to, at=at, actor=ANNA)
    deliver(at)
    return [Delivery.objects.get(pk=one.pk) for one in made]


def test_a_mail_goes_once_however_often_it_is_delivered(server: MailServer) -> None:
    sends()
    make.issued(buyer())
    deliver()
    message = Outbox.objects.get(kind=MAIL)
    deliveries.send_mail(message, AT)
    assert len(server.received) == 1


def test_what_the_server_puts_off_is_tried_again_later(server: MailServer) -> None:
    sends()
    make.issued(buyer())
    server.recipients["ap@acme.test"] = "450 4.2.1 Try again later"
    assert deliver() == (1, 1)
    assert (only().status, only().said) == ("waiting", "450 4.2.1 Try again later")
    assert only().begun_at is None
    del server.recipients["ap@acme.test"]
    assert deliver(AT + timedelta(seconds=59)) == (0, 0)
    assert deliver(AT + timedelta(minutes=1)) == (1, 0)
    assert only().status == "sent"


def refuse(server: MailServer, who: str) -> None:
    match who:
        case "recipient":
            server.recipients["ap@acme.test"] = "550 5.1.1 No such user here"
        case "sender":
            server.sender = "553 5.7.1 Sender not allowed"
        case "message":
            server.data = "554 5.6.0 Too big"


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("recipient", "550 5.1.1 No such user here"),
        ("sender", "553 5.7.1 Sender not allowed"),
        ("message", "554 5.6.0 Too big"),
    ],
)
def test_what_the_server_refuses_for_good_has_failed_in_its_words(
    server: MailServer, who: str, said: str
) -> None:
    sends()
    make.issued(buyer())
    refuse(server, who)
    assert deliver() == (2, 0)
    assert (only().status, only().why, only().said) == ("failed", "refused", said)
    assert only().begun_at is None


def test_one_refused_address_keeps_no_other_from_its_mail(server: MailServer) -> None:
    sends()
    make.issued(buyer("x@acme.test"))
    refuse(server, "recipient")
    deliver()
    assert [message["To"] for message in server.received] == ["x@acme.test"]
    assert dict(Delivery.objects.values_list("address", "status")) == {
        "ap@acme.test": "failed",
        "x@acme.test": "sent",
    }


def test_a_server_that_can_not_be_reached_is_asked_once_each_time(settings: Any) -> None:
    sends()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    make.issued(buyer("x@acme.test", "y@acme.test"))
    assert deliver() == (1, 1)
    assert Outbox.objects.filter(kind=MAIL, attempts=0).count() == 2
    assert Delivery.objects.filter(status="waiting", begun_at=None).count() == 3
    assert Delivery.objects.exclude(said="").get().said.endswith("Connection refused")


def test_after_the_last_attempt_it_has_failed(settings: Any) -> None:
    sends()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    make.issued(buyer())
    at = AT
    for _ in range(outbox.MAX_ATTEMPTS):
        assert only().status == "waiting"
        deliver(at)
        at += timedelta(days=1)
    assert (only().status, only().why) == ("failed", "given_up")
    assert not Outbox.objects.exclude(status="done").exists()


class Killed(BaseException):
    """What no handler catches, as nothing catches SIGKILL."""


def killed(*args: Any, **kwargs: Any) -> None:
    raise Killed


def test_a_crash_after_sending_sends_the_same_mail_at_most_once_more(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends()
    make.issued(buyer())
    at = AT
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(mailing, "_settle", killed)
            with pytest.raises(Killed):
                deliver(at)
        at += outbox.CLAIMED_FOR
    deliver(at)
    assert len(server.received) == 2
    assert len({message["Message-ID"] for message in server.received}) == 1
    assert (only().status, only().why) == ("failed", "interrupted")


def test_a_crash_before_the_mark_is_one_attempt(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends()
    make.issued(buyer())
    with monkeypatch.context() as patch:
        patch.setattr(mailing, "_begin", killed)
        with pytest.raises(Killed):
            deliver()
    deliver(AT + outbox.CLAIMED_FOR)
    assert (len(server.received), only().status, only().interruptions) == (1, "sent", 0)


def test_a_server_that_hangs_up_may_have_the_mail(server: MailServer) -> None:
    sends()
    make.issued(buyer())
    server.hangs_up_after_data = True
    assert deliver() == (1, 1)
    assert only().begun_at == AT
    server.hangs_up_after_data = False
    deliver(AT + timedelta(minutes=1))
    assert (only().status, only().interruptions) == ("sent", 1)
    assert len({message["Message-ID"] for message in server.received}) == 1


def test_the_mail_waits_where_the_document_can_not_be_made(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_pango(invoice_id: int) -> None:
        raise PdfEngineMissing("PDFs need Pango.")

    sends()
    make.issued(buyer())
    with monkeypatch.context() as patch:
        patch.setattr("billing.mails.store_document", without_pango)
        patch.setattr("billing.deliveries.store_document", without_pango)
        assert deliver() == (0, 2)
    assert (only().status, only().said, only().begun_at) == ("waiting", "PDFs need Pango.", None)
    deliver(AT + timedelta(hours=1))
    assert only().status == "sent"


# Again


def test_it_is_sent_again_to_the_same_or_another_address(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    deliver()
    assert [one.status for one in again(invoice)] == ["sent"]
    assert [one.address for one in again(invoice, "boss@acme.test")] == ["boss@acme.test"]
    assert [message["To"] for message in server.received] == [
        "ap@acme.test",
        "ap@acme.test",
        "boss@acme.test",
    ]
    assert len({message["Message-ID"] for message in server.received}) == 3
    notes = AuditEntry.objects.filter(action="asked to send").values_list("actor_name", "note")
    assert set(notes) == {("anna", "To ap@acme.test."), ("anna", "To boss@acme.test.")}


def test_sending_again_answers_what_had_failed(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    refuse(server, "recipient")
    deliver()
    assert Delivery.objects.to_look_at().count() == 1
    again(invoice, "boss@acme.test")
    assert not Delivery.objects.to_look_at().exists()
    assert Delivery.objects.get(status="failed").answer == "Sent again, as anna asked."


def test_what_waits_is_not_asked_for_twice() -> None:
    sends()
    invoice = make.issued(buyer())
    with pytest.raises(sending.WaitsAlready, match="waits to be sent to ap@acme.test already"):
        again(invoice)


def draft() -> Invoice:
    make.subscription(buyer(manual_approval=True))
    return close(AT)[-1]


def voided() -> Invoice:
    invoice = make.issued(buyer())
    return void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=AT, actor=SYSTEM)


@pytest.mark.parametrize(
    ("which", "to", "refusal", "said"),
    [
        pytest.param(draft, (), sending.InvoiceNotSendable, "is not issued", id="a draft"),
        pytest.param(voided, (), sending.InvoiceNotSendable, "is not issued", id="a void one"),
        pytest.param(
            lambda: make.issued(make.customer()), (), sending.NobodyToSendTo,
            "enter an e-mail address or a contact", id="to nobody",
        ),
        pytest.param(
            lambda: make.issued(buyer()), ("a@b.test", "nonsense"), Invalid,
            "“nonsense” is no e-mail address", id="to no address",
        ),
        pytest.param(
            lambda: make.issued(buyer()), [f"a{n}@b.test" for n in range(11)], Invalid,
            "at most 10", id="to too many",
        ),
        pytest.param(
            lambda: make.issued(buyer()), ["a@b.test\nBcc: all@evil.test"], Invalid,
            "no e-mail address", id="with a header",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_sent_is_refused_by_name(
    which: Any, to: Any, refusal: type[Exception], said: str
) -> None:
    sends(is_on=False)
    invoice = which()
    with pytest.raises(refusal, match=said):
        again(invoice, *to)
    assert not Delivery.objects.exists()


def test_an_issuer_without_an_address_sends_nothing() -> None:
    invoice = make.issued(buyer())
    with pytest.raises(sending.NobodyToSendFrom, match="enter it first"):
        again(invoice)


def test_a_failure_is_answered_once_and_with_words(server: MailServer) -> None:
    sends()
    make.issued(buyer())
    refuse(server, "recipient")
    deliver()
    ids = [only().pk]
    with pytest.raises(Invalid, match="Say what was done"):
        sending.answer_failures(delivery_ids=ids, answer=" ", actor=ANNA)
    sending.answer_failures(delivery_ids=ids, answer="Sent by post.", actor=ANNA)
    assert only().answer == "Sent by post."
    with pytest.raises(sending.NothingToAnswer):
        sending.answer_failures(delivery_ids=ids, answer="Again.", actor=ANNA)


# Sent is not voided


def void(invoice: Invoice) -> None:
    void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=AT, actor=SYSTEM)


def test_what_was_sent_is_not_voided() -> None:
    sends()
    invoice = make.issued(buyer())
    deliver()
    with pytest.raises(InvoiceSent, match="sent to ap@acme.test on 1 November 2026: correct it"):
        void(invoice)


def test_what_only_waits_is_voided_and_never_sent(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    void(invoice)
    assert (only().status, only().why) == ("unsent", "void")
    deliver()
    assert server.received == []


@pytest.mark.parametrize(
    ("parts", "left", "bill_anew"),
    [
        pytest.param("", ("unsent", "credited"), False, id="all of it"),
        pytest.param("", ("unsent", "credited"), True, id="all of it, to be billed anew"),
        pytest.param("base 40", ("waiting", ""), False, id="some of it: the rest is asked for"),
    ],
)
def test_what_only_waits_is_called_off_where_all_of_it_is_credited(
    server: MailServer, parts: str, left: tuple[str, str], bill_anew: bool
) -> None:
    sends()
    invoice = make.issued(buyer())
    credit(invoice, parts, bill_anew=bill_anew)
    mine = invoice.deliveries.get()
    assert (mine.status, mine.why) == left
    deliver()
    assert len(server.received) == (left[0] == "waiting")
    listed = said(anna().get("/admin/billing/delivery/"))
    assert ("All of the invoice was credited before" in listed) == (left[1] == "credited")
    assert not Delivery.objects.to_look_at().exists()


def test_a_credited_invoice_is_sent_where_somebody_asks(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    deliver()
    credit(invoice)
    sending.send_invoices(invoice_ids=[invoice.pk], at=NOV_20, actor=SYSTEM)
    deliver(NOV_20)
    assert [one.status for one in invoice.deliveries.all()] == ["sent", "sent"]
    assert len(server.received) == 3  # with the credit note


def test_what_may_have_arrived_is_not_voided(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    server.hangs_up_after_data = True
    deliver()
    with pytest.raises(InvoiceSent, match="may have been sent"):
        void(invoice)


def test_what_was_refused_can_be_voided(server: MailServer) -> None:
    sends()
    invoice = make.issued(buyer())
    refuse(server, "recipient")
    deliver()
    void(invoice)
    assert only().why == "refused"
