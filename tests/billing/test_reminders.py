"""Reminders: when each level comes, what is asked, what holds and stops them; and disputes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader
from rest_framework.test import APIClient

from billing.accounts import positions
from billing.models import Delivery, Dispute, Invoice, Reminder, ReminderRow
from billing.overdue import letters
from billing.reminding import Next, Reminded, next_level
from billing.services import disputing, reminders
from billing.services.disputing import close_dispute, open_dispute
from billing.services.issuing import void_invoice
from billing.services.payments import MoreThanOpen, NotPayable, reverse_payment
from billing.services.reminders import remind, resume_reminders, stop_reminders
from billing.services.write_offs import write_off
from config.base.audit import SYSTEM, Actor
from config.base.errors import Invalid
from config.base.models import ActorKind
from config.base.services import outbox
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import contradictions

ISSUED = date(2026, 11, 1)
DUE = date(2026, 12, 1)
ANNA = Actor(ActorKind.USER, "anna")

# When a level comes


@pytest.mark.parametrize(
    ("days", "last", "expected"),
    [
        pytest.param((7, 14, 28), None, Next(1, date(2026, 12, 8)), id="the first after a week"),
        pytest.param(
            (7, 14, 28), Reminded(1, date(2026, 12, 8)), Next(2, date(2026, 12, 15)),
            id="the second after two",
        ),
        pytest.param(
            (7, 14, 28), Reminded(2, date(2026, 12, 15)), Next(3, date(2026, 12, 29)),
            id="the last after four",
        ),
        pytest.param((7, 14, 28), Reminded(3, date(2026, 12, 29)), None, id="none after the last"),
        pytest.param(
            (7, 14, 28), Reminded(1, date(2027, 3, 1)), Next(2, date(2027, 3, 8)),
            id="a late first one puts the second off",
        ),
        pytest.param((None, 14, 28), None, Next(2, date(2026, 12, 15)), id="the first is off"),
        pytest.param(
            (7, None, 28), Reminded(1, date(2026, 12, 8)), Next(3, date(2026, 12, 29)),
            id="the second is off",
        ),
        pytest.param((7, 14, None), Reminded(2, date(2026, 12, 15)), None, id="the last is off"),
        pytest.param((None, None, None), None, None, id="all are off"),
        pytest.param(
            (None, 14, 28), Reminded(1, date(2026, 12, 8)), Next(2, date(2026, 12, 22)),
            id="one that was sent is off since",
        ),
    ],
)  # fmt: skip
def test_the_level_that_comes_next(days: Any, last: Any, expected: Any) -> None:
    assert next_level(days, due_date=DUE, last=last) == expected


@given(
    days=st.tuples(*(st.none() | st.integers(1, 365) for _ in range(3))),
    waits=st.lists(st.integers(0, 400), min_size=3, max_size=3),
)
def test_levels_only_rise_and_never_come_on_one_day(days: Any, waits: list[int]) -> None:
    last: Reminded | None = None
    for wait in waits:
        coming = next_level(days, due_date=DUE, last=last)
        if coming is None:
            break
        assert coming.on > DUE
        if last:
            assert coming.level > last.level
            assert coming.on > last.on
        last = Reminded(coming.level, coming.on + timedelta(days=wait))


# Whom a run reminds


@pytest.fixture
def reminding(db: None, settings: Any, tmp_path: Any) -> Iterator[None]:
    """An issuer who reminds, and books that hold at the end."""
    settings.DATA_DIR = tmp_path
    Issuer.objects.update(
        name="Northlight", email="billing@northlight.test", sends_reminders=True,
        iban="DE89370400440532013000",
    )  # fmt: skip
    yield
    assert not contradictions(datetime(2026, 11, 1, 12, tzinfo=UTC))


def day(overdue: int, hour: int = 12) -> datetime:
    return datetime(2026, 12, 1, hour, tzinfo=UTC) + timedelta(days=overdue)


def buyer(**fields: Any) -> Customer:
    return make.customer(**{"email": "ap@acme.test", **fields})


def run(overdue: int) -> list[Reminder]:
    made = remind(at=day(overdue), actor=SYSTEM)
    outbox.deliver_due(at=day(overdue))
    return made


def levels() -> list[int]:
    return list(ReminderRow.objects.order_by("pk").values_list("level", flat=True))


@pytest.mark.usefixtures("reminding")
class TestARun:
    def test_reminds_once_per_level_however_often_it_runs(self) -> None:
        make.issued(buyer())
        sent = {overdue for overdue in range(40) for _ in range(3) if run(overdue)}
        assert sent == {7, 14, 28}
        assert levels() == [1, 2, 3]
        subjects = [message.subject for message in mail.outbox]
        assert subjects == [
            "A friendly reminder from Northlight: €100.00",
            "Second reminder from Northlight: €100.00 is overdue",
            "Last reminder from Northlight: €100.00",
        ]

    def test_does_nothing_for_who_sends_none(self) -> None:
        Issuer.objects.update(sends_reminders=False)
        make.issued(buyer())
        assert run(30) == []

    def test_writes_one_letter_for_all_that_is_overdue(self) -> None:
        ada = buyer()
        make.issued(ada)
        make.issued(ada, "50", on=date(2026, 11, 5))
        [letter] = run(7)
        assert [row.item.invoice.number for row in letter.rows.all()] == ["INV-2026-000001"]
        body = str(mail.outbox[0].body)
        assert "To pay now: €150.00" in body
        assert "- INV-2026-000001 of Nov 1, 2026, due Dec 1, 2026, 7 days ago: €100.00" in body
        assert "- INV-2026-000002 of Nov 5, 2026, due Dec 5, 2026, 3 days ago: €50.00" in body
        assert "Reference: INV-2026-000001, INV-2026-000002" in body

    def test_is_never_kinder_about_an_invoice_than_before(self) -> None:
        ada = buyer()
        make.issued(ada)
        assert [run(overdue)[0].to_pay for overdue in (7, 14, 28)] == [100] * 3
        make.issued(ada, "50", on=date(2026, 11, 30))  # due on 30 December
        told = [(one.level, one.to_pay) for overdue in (36, 43, 57) for one in run(overdue)]
        assert told == [(1, 50), (2, 50), (3, 150)]
        friendly, _, last = (str(message.body) for message in mail.outbox[-3:])
        assert "INV-2026-000002" in friendly
        assert "INV-2026-000001" not in friendly
        assert "INV-2026-000001" in last

    def test_writes_a_letter_for_each_customer_and_a_mail_to_each_address(self) -> None:
        ada = buyer()
        ada.contacts.create(email="x@acme.test")
        make.issued(ada)
        make.issued(buyer(email="bob@bob.test"))
        assert len(run(7)) == 2
        assert sorted(message.to[0] for message in mail.outbox) == [
            "ap@acme.test", "bob@bob.test", "x@acme.test",
        ]  # fmt: skip

    def test_asks_for_what_is_left(self) -> None:
        ada = buyer()
        invoice = make.issued(ada)
        make.payment(ada, "40", portions={invoice: "40"})
        [letter] = run(7)
        assert letter.rows.get().asked == 60

    @pytest.mark.parametrize("kind", ["payment", "deposit"])
    def test_never_asks_for_more_than_the_account_owes(self, kind: str) -> None:
        ada = buyer()
        make.issued(ada, "39.98")
        make.issued(ada, "30", on=date(2026, 11, 5))
        make.payment(ada, "30", kind=kind, at=day(2))
        [letter] = run(7)
        assert (letter.not_set_off, letter.to_pay) == (30, D("39.98"))
        assert letter.rows.get().asked == D("39.98")
        account = positions(as_of=day(7).date())[ada.pk, "EUR"]
        assert account.total == D("39.98")
        [message] = mail.outbox
        assert isinstance(message, EmailMultiAlternatives)
        text, html = str(message.body), str(message.alternatives[0][0])
        assert message.subject.endswith("€39.98")
        assert "we have not seen your payment of €39.98 yet" in text
        assert "69.98" not in text + html
        for told in (
            "INV-2026-000001 of Nov 1, 2026, due Dec 1, 2026, 7 days ago: €39.98",
            "INV-2026-000002 of Nov 5, 2026, due Dec 5, 2026, 3 days ago: €30.00",
            "Credit balance, not yet set off: −€30.00",
            "To pay now: €39.98",
        ):
            assert f"- {told}" in text
            assert f"<li>{told}</li>" in html

    def test_calls_a_credit_no_payment(self) -> None:
        ada = buyer()
        paid = make.issued(ada, "50")
        make.payment(ada, "50", portions={paid: "50"}, at=day(2))
        credit(paid, at=day(3))
        make.issued(ada, on=date(2026, 11, 5))
        run(12)
        body = str(mail.outbox[-1].body)
        assert "- Credit balance, not yet set off: −€50.00\n- To pay now: €50.00\n" in body

    @pytest.mark.parametrize(
        ("locale", "told", "to_pay"),
        [
            ("de", "Guthaben, noch nicht verrechnet: −30,00 €", "Jetzt zu zahlen: 70,00 €"),
            ("fr", "Solde créditeur, pas encore imputé : −30,00 €", "À payer maintenant : 70,00 €"),
            ("es", "Saldo a favor, aún sin aplicar: −30,00 €", "A pagar ahora: 70,00 €"),
        ],
    )
    def test_says_what_is_not_set_off_in_the_customers_language(
        self, locale: str, told: str, to_pay: str
    ) -> None:
        ada = buyer(locale=locale)
        make.issued(ada)
        make.payment(ada, "30", at=day(2))
        run(7)
        body = re.sub(
            "[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]", " ", str(mail.outbox[0].body)
        )
        assert f"- {told}\n- {to_pay}\n" in body

    @pytest.mark.parametrize(
        ("amount", "fields"),
        [
            pytest.param("100", {}, id="as much"),
            pytest.param("100.01", {}, id="more"),
            pytest.param("100", {"kind": "deposit"}, id="a deposit"),
        ],
    )
    def test_holds_where_nothing_remains_to_be_paid(self, amount: str, fields: Any) -> None:
        ada = buyer()
        make.issued(ada)
        payment = make.payment(ada, amount, at=day(2), **fields)
        assert run(7) == []
        assert levels() == []
        reverse_payment(payment_id=payment.pk, reason="Bounced.", at=day(8), actor=SYSTEM)
        assert [(one.not_set_off, one.to_pay) for one in run(8)] == [(0, 100)]

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"currency": "USD", "in_other_currency": True}, id="in another currency"),
            pytest.param({"whose": "bob"}, id="of another customer"),
        ],
    )
    def test_takes_off_only_what_lies_on_that_account(self, fields: dict[str, Any]) -> None:
        ada, bob = buyer(), buyer()
        make.issued(ada)
        payer = bob if fields.pop("whose", "") else ada
        make.payment(payer, "100", at=day(2), **fields)
        [letter] = run(7)
        assert (letter.not_set_off, letter.to_pay) == (0, 100)

    def test_takes_off_what_is_not_set_off_beside_what_is_in_dispute(self) -> None:
        ada = buyer()
        dispute(make.issued(ada), "40")
        make.payment(ada, "35.50", at=day(2))
        [letter] = run(7)
        assert letter.to_pay == D("24.50")
        assert "To pay now: €24.50" in str(mail.outbox[0].body)

    def test_is_called_off_by_a_payment_that_nobody_set_off_yet(self) -> None:
        ada = buyer()
        make.issued(ada)
        assert remind(at=day(7), actor=SYSTEM)
        make.payment(ada, "100", at=day(7))
        outbox.deliver_due(at=day(7))
        assert mail.outbox == []
        assert Delivery.objects.values_list("status", "why").get() == ("unsent", "settled")

    @pytest.mark.parametrize("how", ["paid", "written off", "void"])
    def test_stops_when_nothing_is_open(self, how: str) -> None:
        ada = buyer()
        invoice = make.issued(ada)
        settle(invoice, how)
        assert run(30) == []

    @pytest.mark.parametrize("how", ["paid", "written off"])
    def test_does_not_send_what_was_settled_while_it_waited(self, how: str) -> None:
        invoice = make.issued(buyer())
        assert remind(at=day(7), actor=SYSTEM)
        settle(invoice, how)
        outbox.deliver_due(at=day(7))
        assert mail.outbox == []
        assert Delivery.objects.values_list("status", "why").get() == ("unsent", "settled")
        assert not Delivery.objects.to_look_at().exists()

    def test_begins_kindly_however_long_it_is_overdue(self) -> None:
        make.issued(buyer())
        assert [run(overdue)[0].level for overdue in (100, 107, 121)] == [1, 2, 3]

    def test_leaves_out_who_has_no_address(self) -> None:
        make.issued(make.customer())
        make.issued(buyer(invoices_by_email=False))
        assert run(7) == []
        assert levels() == []

    def test_counts_days_where_the_issuer_is(self) -> None:
        make.issued(buyer())
        Issuer.objects.update(time_zone="Pacific/Auckland")
        assert remind(at=day(6, hour=10), actor=SYSTEM) == []
        assert len(remind(at=day(6, hour=12), actor=SYSTEM)) == 1

    @pytest.mark.parametrize(
        ("locale", "said"),
        [
            ("de", "Ihre Zahlung über 100,00 € ist noch nicht"),
            ("fr", "votre paiement de 100,00 € ne nous est pas"),
            ("es", "aún no hemos recibido su pago de 100,00 €"),
        ],
    )
    def test_speaks_the_customers_language(self, locale: str, said: str) -> None:
        make.issued(buyer(locale=locale))
        run(7)
        assert said in str(mail.outbox[0].body)

    @pytest.mark.parametrize(
        ("is_on", "attached"),
        [
            pytest.param(True, [0, 1, 1], id="to the second and the last"),
            pytest.param(False, [0, 0, 0], id="unless the issuer wants none"),
        ],
    )
    def test_attaches_the_account_statement(self, is_on: bool, attached: list[int]) -> None:
        Issuer.objects.update(reminds_with_statement=is_on)
        make.issued(buyer())
        for overdue in (7, 14, 28):
            run(overdue)
        assert [len(message.attachments) for message in mail.outbox] == attached
        for message in mail.outbox:
            told = "The statement of your account is attached." in str(message.body)
            assert told == bool(message.attachments)
            for name, content, kind in message.attachments:
                assert (name[:15], kind) == ("statement-2026-", "application/pdf")
                [page] = PdfReader(BytesIO(content)).pages
                assert "INV-2026-000001" in page.extract_text()

    @pytest.mark.parametrize(
        ("locale", "told"),
        [
            ("de", "Ihr Kontoauszug liegt bei."),
            ("fr", "Le relevé de votre compte est joint."),
            ("es", "Se adjunta el extracto de su cuenta."),
        ],
    )
    def test_says_so_in_the_customers_language(self, locale: str, told: str) -> None:
        Issuer.objects.update(reminds_with_statement=True, first_reminder_days=None)
        make.issued(buyer(locale=locale))
        run(14)
        assert told in str(mail.outbox[0].body)

    def test_costs_the_same_for_many(self) -> None:
        def statements() -> int:
            with CaptureQueriesContext(connection) as captured:
                remind(at=day(7), actor=SYSTEM)
            return len(captured)

        counts = []
        for many in (2, 6):
            for _ in range(many):
                make.issued(buyer())
            counts.append(statements())
        assert counts[0] == counts[1]
        assert Reminder.objects.count() == 8

    def test_is_a_command(self) -> None:
        out = StringIO()
        call_command("remind_customers", stdout=out)
        assert out.getvalue() == "0 reminded.\n"


def settle(invoice: Invoice, how: str) -> None:
    match how:
        case "paid":
            make.payment(invoice.customer, "100", portions={invoice: "100"})
        case "written off":
            write_off(invoice_id=invoice.pk, amount=None, reason="x", at=day(7), actor=SYSTEM)
        case "void":
            from_issue = datetime(2026, 11, 1, 13, tzinfo=UTC)
            void_invoice(
                invoice_id=invoice.pk, reason="x", reopen=False, at=from_issue, actor=SYSTEM
            )


# Left out


@pytest.mark.usefixtures("reminding")
class TestAStop:
    @pytest.mark.parametrize("what", ["customer", "invoice"])
    def test_leaves_out_until_it_is_ended(self, what: str) -> None:
        invoice = make.issued(buyer())
        of = invoice.customer if what == "customer" else invoice
        stop_reminders(of=of, reason="Pays next week.", at=day(1), actor=ANNA)
        assert run(7) == []
        [letter] = letters(at=day(7))
        assert letter.rows[0].stopped == "Pays next week."
        resume_reminders(of=of, at=day(8), actor=ANNA)
        assert len(run(8)) == 1

    def test_of_one_invoice_leaves_the_others(self) -> None:
        ada = buyer()
        invoice = make.issued(ada)
        make.issued(ada, "50")
        stop_reminders(of=invoice, reason="x", at=day(1), actor=ANNA)
        [letter] = run(7)
        assert letter.rows.get().asked == 50
        assert "INV-2026-000001" not in str(mail.outbox[0].body)

    def test_is_made_once_with_a_reason_and_ended_once(self) -> None:
        ada = buyer()
        with pytest.raises(Invalid):
            stop_reminders(of=ada, reason=" ", at=day(1), actor=ANNA)
        with pytest.raises(reminders.NotStopped):
            resume_reminders(of=ada, at=day(1), actor=ANNA)
        stop_reminders(of=ada, reason="x", at=day(1), actor=ANNA)
        with pytest.raises(reminders.StoppedAlready):
            stop_reminders(of=ada, reason="x", at=day(1), actor=ANNA)

    @pytest.mark.parametrize("what", ["customer", "invoice"])
    def test_is_made_over_the_api(self, caller: Callable[..., APIClient], what: str) -> None:
        invoice = make.issued(buyer(key="ada"))
        what = "customers/ada" if what == "customer" else f"invoices/{invoice.uuid}"
        url, client = f"/api/v1/{what}", caller("billing:write", "billing:read")

        def post(step: str, **body: Any) -> Any:
            return client.post(f"{url}/{step}-reminders", body, format="json")

        assert client.get(f"{url}/reminders").json() == {"stopped": None}
        assert post("stop").status_code == 400
        answer = post("stop", reason="Pays next week.").json()
        assert answer["stopped"]["reason"] == "Pays next week."
        assert client.get(f"{url}/reminders").json() == answer
        again = post("stop", reason="x")
        assert (again.status_code, again.json()["code"]) == (409, "already_stopped")
        assert run(7) == []
        assert post("resume").json() == {"stopped": None}
        assert post("resume").json()["code"] == "not_stopped"
        assert len(run(8)) == 1
        reader = caller("billing:read")
        assert reader.post(f"{url}/stop-reminders", {"reason": "x"}).status_code == 403


# Disputes


def dispute(invoice: Invoice, amount: str | None = None, **fields: Any) -> Dispute:
    told: dict[str, Any] = {"reason": "Line 3 is wrong.", "at": day(2), "actor": ANNA, **fields}
    return open_dispute(invoice_id=invoice.pk, amount=D(amount) if amount else None, **told)


@pytest.mark.usefixtures("reminding")
class TestADispute:
    def test_holds_reminders_for_its_part(self) -> None:
        invoice = make.issued(buyer())
        dispute(invoice, "40")
        [letter] = run(7)
        row = letter.rows.get()
        assert (row.asked, row.disputed) == (60, 40)
        body = str(mail.outbox[0].body)
        assert "To pay now: €60.00" in body
        assert "INV-2026-000001: €40.00 more is in dispute, and not asked for." in body

    def test_of_all_holds_all_until_it_is_closed(self) -> None:
        invoice = make.issued(buyer())
        dispute(invoice)
        assert run(7) == []
        close_dispute(invoice_id=invoice.pk, reason="It was right.", at=day(8), actor=ANNA)
        assert len(run(8)) == 1

    def test_counts_first_against_what_is_still_open(self) -> None:
        ada = buyer()
        invoice = make.issued(ada)
        dispute(invoice, "40")
        make.payment(ada, "70", portions={invoice: "70"})
        assert run(7) == []

    def test_is_a_dated_fact(self) -> None:
        invoice = make.issued(buyer())
        made = dispute(invoice, "40", by_customer=True)
        assert (made.amount, made.opened_on, made.opened_by) == (40, date(2026, 12, 3), "anna")
        closed = close_dispute(invoice_id=invoice.pk, reason="Agreed.", at=day(9), actor=ANNA)
        assert (closed.closed_on, closed.closed_because) == (date(2026, 12, 10), "Agreed.")
        assert dispute(invoice).amount == 100

    def test_is_opened_once(self) -> None:
        invoice = make.issued(buyer())
        dispute(invoice)
        with pytest.raises(disputing.DisputedAlready):
            dispute(invoice)

    @pytest.mark.parametrize(
        ("amount", "reason", "refusal"),
        [
            pytest.param("100.01", "x", MoreThanOpen, id="more than is open"),
            pytest.param("0", "x", Invalid, id="nothing"),
            pytest.param("-1", "x", Invalid, id="less than nothing"),
            pytest.param("0.001", "x", Invalid, id="less than a cent"),
            pytest.param(None, " ", Invalid, id="without a reason"),
        ],
    )
    def test_that_makes_no_sense_is_refused(
        self, amount: str | None, reason: str, refusal: type[Exception]
    ) -> None:
        invoice = make.issued(buyer())
        with pytest.raises(refusal):
            dispute(invoice, amount, reason=reason)
        assert not Dispute.objects.exists()

    def test_of_what_is_not_owed_is_refused(self) -> None:
        ada = buyer()
        invoice, gone = make.issued(ada), make.issued(ada, "5")
        settle(invoice, "paid")
        settle(gone, "void")
        with pytest.raises(disputing.NothingOpen):
            dispute(invoice)
        with pytest.raises(NotPayable):
            dispute(gone)
        with pytest.raises(disputing.NotDisputed):
            close_dispute(invoice_id=invoice.pk, reason="x", at=day(3), actor=ANNA)
