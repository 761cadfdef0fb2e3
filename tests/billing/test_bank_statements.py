"""Banks' statements: read, matched, taken once; hostile files get nothing."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from billing.bank.camt import read_camt
from billing.bank.lines import BankLine, StatementUnreadable, named
from billing.bank.table import Mapped, Table, guess, read_lines, read_table
from billing.models import BankImport, Invoice, Payment
from billing.money import Candidate, propose
from billing.services import importing
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from tests import factories as make
from tests.staff import anna, said, sam

NOV_20 = datetime(2026, 11, 20, 9, tzinfo=UTC)
GERMAN = """Kontoauszug;;;;
Buchungstag;Auftraggeber;Verwendungszweck;Betrag;Währung
03.11.2026;Ada GmbH;Rechnung INV-2026-000001;"1.234,50";EUR
04.11.2026;Strom AG;Abschlag;-80,00;EUR
04.11.2026;Bob;danke;100,00;EUR
04.11.2026;Bob;danke;100,00;EUR
morgen;Bob;danke;1,00;EUR
"""
CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Ntry><Amt Ccy="EUR">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
 <BookgDt><Dt>2026-11-03</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef>
 <NtryDtls><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs>
  <RltdPties><Dbtr><Pty><Nm>Ada GmbH</Nm></Pty></Dbtr></RltdPties>
  <RmtInf><Ustrd>INV-2026-</Ustrd><Ustrd>000001</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
 <BookgDt><DtTm>2026-11-04T08:00:00</DtTm></BookgDt><AcctSvcrRef>B2</AcctSvcrRef><NtryDtls>
 <TxDtls><Amt Ccy="EUR">10.00</Amt><RmtInf><Ustrd>a</Ustrd></RmtInf></TxDtls>
 <TxDtls><AmtDtls><TxAmt><Amt Ccy="EUR">20.00</Amt></TxAmt></AmtDtls></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts></Ntry>
<Ntry><Amt Ccy="EUR">NaN</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-11-03</Dt></BookgDt></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><RvslInd>true</RvslInd></Ntry>
</Stmt></BkToCstmrStmt></Document>"""

DAY = "<BookgDt><Dt>2026-11-03</Dt></BookgDt>"


def open_(number: str, amount: str, pk: int = 1, due: int = 1) -> Candidate:
    return Candidate(pk, number, date(2026, 12, due), D(amount))


A, B = open_("INV-2026-000001", "100", 1), open_("INV-2026-000012", "50", 2, due=2)


@pytest.mark.parametrize(
    ("amount", "reference", "portions"),
    [
        pytest.param("100", "INV-2026-000001", {1: "100"}, id="named and exact"),
        pytest.param("120", "inv 2026 000001 thanks", {1: "100"}, id="spaced, and too much"),
        pytest.param("120", "INV2026000001/INV2026000012", {1: "100", 2: "20"}, id="two are named"),
        pytest.param("50", "INV-2026-000001", {1: "50"}, id="the name counts before the amount"),
        pytest.param("50", "INV-2026-0000012", {2: "50"}, id="no such number, but the amount"),
        pytest.param("100", "INV-2026-0000011", {1: "100"}, id="a longer number is another"),
        pytest.param("150", "", {1: "100", 2: "50"}, id="all that is open"),
        pytest.param("70", "thanks", {}, id="nothing tells"),
    ],
)
def test_a_proposal(amount: str, reference: str, portions: dict[int, str]) -> None:
    found = propose(D(amount), reference, [B, A])
    assert found.portions == {pk: D(part) for pk, part in portions.items()}
    assert bool(found.because) == bool(portions)


def test_of_one_amount_the_longest_due_is_proposed() -> None:
    later = open_("INV-2026-000002", "100", 3, due=9)
    assert propose(D(100), "", [later, A]).portions == {1: D(100)}


def test_a_german_csv_is_read_by_what_its_columns_are_called() -> None:
    table = read_table(GERMAN.encode("latin-1"))
    reading = read_lines(table, guess(table))
    assert [(one.on.day, one.amount, one.payer) for one in reading.lines] == [
        (3, D("1234.50"), "Ada GmbH"),
        (4, D(100), "Bob"),
        (4, D(100), "Bob"),
    ]
    assert [one.number for one in reading.unread] == [2, 5]
    assert len({one.key for one in reading.lines}) == 3
    again = read_lines(table, guess(table))
    assert [one.key for one in again.lines] == [one.key for one in reading.lines]


WENT_OUT, BOTH = "no money that came in", "money in and money out in one line: record it by hand"


@pytest.mark.parametrize(
    ("heads", "taken", "left_out"),
    [
        pytest.param("Datum;Soll;Haben", "3.11.2026;;12,50", "3.11.2026;80,00;", id="German"),
        pytest.param("Date;Paid out;Paid in", "3.11.2026;;12.50", "3.11.2026;80.00;", id="British"),
        pytest.param(
            "Transaction Date;Debit Amount;Credit Amount", "3.11.2026;0.00;12.50",
            "3.11.2026;80.00;0.00", id="naughts in the other column",
        ),
        pytest.param("Date;Débit;Crédit", "3.11.2026;;12,50", "3.11.2026;-80,00;", id="with a sign"),
        pytest.param("Fecha date;Haber;Debe", "3.11.2026;12,50;", "3.11.2026;;80,00", id="Spanish"),
        pytest.param("Datum;Betrag;Soll/Haben", "3.11.2026;12,50;H", "3.11.2026;80,00;S", id="S, H"),
        pytest.param(
            "Date;Debit/Credit;Amount", "3.11.2026;CRDT;12.50", "3.11.2026;DBIT;80.00", id="a word",
        ),
    ],
)  # fmt: skip
def test_money_out_has_a_column_of_its_own(heads: str, taken: str, left_out: str) -> None:
    table = read_table(f"{heads}\n{left_out}\n{taken}\n".encode())
    reading = read_lines(table, guess(table))
    assert [(one.number, one.amount) for one in reading.lines] == [(2, D("12.50"))]
    assert [(one.number, one.because) for one in reading.unread] == [(1, WENT_OUT)]


@pytest.mark.parametrize(
    ("amount", "out", "because"),
    [
        pytest.param("5", "7", BOTH, id="both ways"),
        pytest.param("-5", "7", WENT_OUT, id="out, said twice"),
        pytest.param("-5", "C", WENT_OUT, id="a credit taken back"),
        pytest.param("", "", "“” is no amount", id="neither"),
        pytest.param("5", "fee", "“fee” is no amount", id="no amount and no way"),
        pytest.param("x", "0", "“x” is no amount", id="an amount that is none"),
    ],
)
def test_a_row_of_two_amounts_is_taken_or_says_why_not(amount: str, out: str, because: str) -> None:
    table = Table(["date", "in", "out"], [["2026-11-03", amount, out]])
    columns = {"date": 0, "amount": 1, "out": 2}
    reading = read_lines(table, Mapped(columns, "%Y-%m-%d", False, "EUR"))
    assert (reading.lines, [one.because for one in reading.unread]) == ([], [because])


def test_of_a_savings_banks_columns_the_amount_is_not_that_of_a_returned_debit() -> None:
    heads = (
        '"Buchungstag";"Lastschrift Ursprungsbetrag";"Beguenstigter/Zahlungspflichtiger";"Betrag"'
    )
    table = read_table(f"{heads}\n03.11.26;;Ada GmbH;5,00\n".encode())
    assert [(one.amount, one.payer) for one in read_lines(table, guess(table)).lines] == [
        (D(5), "Ada GmbH")
    ]


def test_a_camt_statement_gives_each_booked_credit() -> None:
    reading = read_camt(CAMT.encode())
    assert [(one.number, one.amount, one.reference, one.payer) for one in reading.lines] == [
        (1, D("100.00"), "INV-2026- 000001", "Ada GmbH"),
        (2, D("10.00"), "a", ""),
        (3, D("20.00"), "", ""),
    ]
    assert [one.number for one in reading.unread] == [4, 5, 6, 7]


def entry(parts: str = "", *, amount: str = "30.00", about: str = "", day: str = DAY) -> str:
    return (
        f'<Document><BkToCstmrStmt><Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        f"<Sts>BOOK</Sts>{about}{day}<NtryDtls>{parts}</NtryDtls></Ntry></BkToCstmrStmt></Document>"
    )


def part(amount: str, currency: str = "EUR", about: str = "") -> str:
    return f'<TxDtls><Amt Ccy="{currency}">{amount}</Amt>{about}</TxDtls>'


RETURNED = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
OUT = "<CdtDbtInd>DBIT</CdtDbtInd>"
NOT_IN_PARTS = "its parts don't add up to what was booked: record it by hand"


@pytest.mark.parametrize(
    ("written", "taken", "because"),
    [
        pytest.param(entry(), ["30.00"], [], id="an entry without parts"),
        pytest.param(entry(part("10") + part("20")), ["10", "20"], [], id="parts that add up"),
        pytest.param(
            entry(part("50") + part("20", about=OUT)), ["50"], ["money that went out"],
            id="a part that went out",
        ),
        pytest.param(entry(part("10") + part("25")), [], [NOT_IN_PARTS], id="parts that don't"),
        pytest.param(
            entry(part("10", "USD") + part("20", "USD")), [], [NOT_IN_PARTS],
            id="parts in another currency",
        ),
        pytest.param(entry("<TxDtls/>" * 2), [], [NOT_IN_PARTS], id="parts without amounts"),
        pytest.param(
            entry(about="<RvslInd>1</RvslInd>"), [], ["a reversal of money that went out"],
            id="a fee given back",
        ),
        pytest.param(
            entry(about="<RvslInd>true</RvslInd>").replace("CRDT", "DBIT"), [],
            ["a payment was taken back: reverse it"], id="a debit that bounced",
        ),
        pytest.param(
            entry(part("30", about=RETURNED)).replace("CRDT", "DBIT"), [],
            ["a payment was taken back: reverse it"], id="a debit that bounced, with why",
        ),
        pytest.param(
            entry(part("40") + part("10", about=OUT + RETURNED)), ["40"],
            ["a payment was taken back: reverse it"], id="one of several that bounced",
        ),
        pytest.param(
            entry(part("20") + part("10", about=RETURNED)), ["20"],
            ["a reversal of money that went out"], id="a transfer of ours that came back",
        ),
        pytest.param(
            entry().replace("BOOK", "<Prtry>HOLD</Prtry>"), [], ["not booked yet"],
            id="a state of the bank's own",
        ),
        pytest.param(
            entry(day="<ValDt><Dt>2026-11-03+01:00</Dt></ValDt>"), ["30.00"], [],
            id="only the day it counts from",
        ),
        *(
            pytest.param(
                entry(amount=amount), [], ["its date or amount can't be read"], id=amount
            )
            for amount in ("1_000", "٣٤", "1e3", "-5", "")
        ),
        *(
            pytest.param(
                entry(day=f"<BookgDt><Dt>{day}</Dt></BookgDt>"), [],
                ["its date or amount can't be read"], id=day,
            )
            for day in ("0001-01-01", "2026-W45-2", "2026-02-30", "")
        ),
    ],
)  # fmt: skip
def test_of_an_entry_is_taken_what_came_in(
    written: str, taken: list[str], because: list[str]
) -> None:
    reading = read_camt(written.encode())
    assert [one.amount for one in reading.lines] == [D(amount) for amount in taken]
    assert [one.because for one in reading.unread] == because


def test_a_line_that_is_not_taken_says_what_it_is() -> None:
    whose = "<RltdPties><Dbtr><Nm>Ada\u202e GmbH</Nm></Dbtr></RltdPties>"
    text = "<RmtInf><Ustrd>Retoure INV-1</Ustrd></RmtInf>"
    bounced = entry(part("30", about=RETURNED + whose + text)).replace("CRDT", "DBIT")
    [one] = read_camt(bounced.encode()).unread
    assert one.about == "2026-11-03 · 30.00 EUR · Ada GmbH · Retoure INV-1"
    table = read_table(GERMAN.encode())
    out, undated = read_lines(table, guess(table)).unread
    assert out.about == "04.11.2026 · -80,00 · EUR · Strom AG · Abschlag"
    assert undated.about == "morgen · 1,00 · EUR · Bob · danke"


def test_what_can_not_be_seen_is_not_read() -> None:
    hidden = "<TxDtls><RmtInf><Ustrd>INV\u202e-1\x85</Ustrd></RmtInf></TxDtls>"
    assert read_camt(entry(hidden).encode()).lines[0].reference == "INV -1"
    table = read_table("Datum;Betrag;Zweck\n03.11.2026;5,00;INV\u202e-1\x07\n".encode())
    assert read_lines(table, guess(table)).lines[0].reference == "INV -1"


LINE = BankLine(1, date(2026, 11, 3), D(5), "EUR", "rent", "Ada", "NONREF")


@pytest.mark.parametrize(
    ("other", "is_another"),
    [
        pytest.param(LINE._replace(on=date(2026, 12, 3)), True, id="a standing order's next month"),
        pytest.param(LINE._replace(amount=D(7)), True, id="a name that is none, such as NONREF"),
        pytest.param(LINE._replace(key="B1"), True, id="named otherwise by the bank"),
        pytest.param(LINE._replace(amount=D("5.00"), payer="A."), False, id="as the bank names it"),
        pytest.param(LINE._replace(number=7), False, id="in another place of another file"),
    ],
)
def test_the_banks_name_counts_with_day_and_amount(other: BankLine, is_another: bool) -> None:
    [[first], [second]] = named([LINE]), named([other])
    assert (first.key != second.key) == is_another
    assert len({one.key for one in named([LINE, other])}) == 2, "in one file they are two"


@pytest.mark.parametrize(
    ("text", "comma", "amount"),
    [
        pytest.param("1.234,50", True, "1234.50", id="German"),
        pytest.param("1 234,50 EUR", True, "1234.50", id="French"),
        pytest.param("1'234.50", False, "1234.50", id="Swiss"),
        pytest.param("1,23,456.7", False, "123456.7", id="Indian"),
        pytest.param("80,00-", True, "-80", id="the sign after it"),
        pytest.param("12,50", False, None, id="a decimal comma, read as thousands"),
        pytest.param("12.50", True, None, id="a decimal point, read as thousands"),
        pytest.param("1.234.56", True, None, id="neither"),
        pytest.param("123456789012", False, None, id="more than anybody pays"),
    ],
)
def test_an_amount_is_read_as_it_is_written_or_not_at_all(
    text: str, comma: bool, amount: str | None
) -> None:
    table = Table(["date", "amount"], [["2026-11-03T10:00:00Z", text]])
    reading = read_lines(table, Mapped({"date": 0, "amount": 1}, "%Y-%m-%d", comma, "EUR"))
    if amount and D(amount) > 0:
        assert [(one.on, one.amount) for one in reading.lines] == [(date(2026, 11, 3), D(amount))]
    else:
        because = "no money that came in" if amount else f"“{text}” is no amount"
        assert [one.because for one in reading.unread] == [because]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_read_in_the_encodings_that_banks_write(encoding: str) -> None:
    table = read_table("Datum;Betrag (€)\n03.11.2026;5,00\n".encode(encoding))
    assert table.heads == ["Datum", "Betrag (€)"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_do_anywhere(end: str) -> None:
    assert len(read_table(f"Datum;Betrag{end}03.11.2026;5,00{end}".encode()).rows) == 1


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param('3.11.;"Miete ""Nord""";5', 1, id="doubled quotes"),
        pytest.param('3.11.;"Miete\nNord";5', 1, id="a cell of two lines"),
        pytest.param('3.11.;"Miete "Nord" 4";5\n4.11.;x;6', 2, id="quotes that nobody doubled"),
        pytest.param('3.11.;Miete "Nord;5\n4.11.;x;6', 2, id="a quote within a cell"),
    ],
)
def test_quotes_are_read_as_banks_write_them(text: str, rows: int) -> None:
    assert len(read_table(f"Datum;Zweck;Betrag\n{text}\n".encode()).rows) == rows


def test_no_line_hides_behind_a_quote_left_open() -> None:
    text = 'Datum;Zweck;Betrag\n3.11.;"Miete;5\n4.11.;x;6\n5.11.;y;7\n'
    with pytest.raises(StatementUnreadable, match="not closed in the line “3.11. Miete;5”"):
        read_table(text.encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(f"a;b\n1;{'x' * 200_000}\n", "Line 2 can’t be read", id="a cell too large"),
        pytest.param(";".join("ab" * 150) + "\n" + "1;" * 299 + "1\n", "has 300", id="too wide"),
    ],
)
def test_too_much_is_refused_with_where(text: str, why: str) -> None:
    with pytest.raises(StatementUnreadable, match=why):
        read_table(text.encode())


def test_commas_in_a_text_do_not_make_the_columns() -> None:
    text = "Datum;Betrag;Zweck\n03.11.2026;1.190,00;INV-1, INV-2, INV-3, with, many, thanks\n"
    assert read_table(text.encode()).heads == ["Datum", "Betrag", "Zweck"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>',
            id="an external entity",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><Document>&y;</Document>',
            id="entities that grow",
        ),
        pytest.param('<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><Document/>', id="a DTD"),
        pytest.param("<Document><Other/></Document>", id="another message"),
        pytest.param("<Document", id="cut off"),
        pytest.param('<?xml version="1.0" encoding="x-none"?><Document/>', id="no such encoding"),
    ],
)
def test_hostile_xml_gets_nothing(content: str) -> None:
    with pytest.raises(StatementUnreadable):
        read_camt(content.encode())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"just a text", id="no table"),
        pytest.param(b"a,b\n", id="no rows"),
        pytest.param(b"\x89PNG\0\0,\n\0,\0", id="a picture"),
        pytest.param(b"\xff\xfe\x00\xd8", id="half a character"),
    ],
)
def test_what_is_no_csv_is_refused(content: bytes) -> None:
    with pytest.raises(StatementUnreadable):
        read_table(content)


@pytest.fixture
def invoice() -> Invoice:
    return make.issued(make.customer("ada", legal_name="Ada GmbH"), "100")


def upload(content: str) -> BankImport:
    return importing.upload_statement(
        name="bank", content=content.encode(), at=NOV_20, actor=SYSTEM
    )


def take(statement: BankImport, **chosen: str) -> importing.Outcome:
    lines = importing.read_statement(statement).lines
    return importing.take_lines(
        import_id=statement.pk,
        numbers=[one.number for one in lines],
        chosen={int(number[1:]): key for number, key in chosen.items()},
        at=NOV_20,
        actor=SYSTEM,
    )


@pytest.mark.django_db
class TestTaking:
    def test_a_line_pays_the_invoice_it_names_once(self, invoice: Invoice) -> None:
        outcome = take(upload(CAMT))
        assert outcome.taken == 1
        assert [why for _, why in outcome.refused] == ["Say whom it is from."] * 2
        assert Invoice.objects.in_payment_status("paid").get() == invoice
        assert take(upload(CAMT)).taken == 0
        assert Payment.objects.count() == 1

    def test_who_paid_can_be_said(self, invoice: Invoice) -> None:
        make.customer("bob")
        outcome = take(upload(CAMT), n2="bob", n3="bob")
        assert outcome.taken == 3
        assert Payment.objects.filter(customer__key="bob", available__gt=0).count() == 2

    def test_a_customer_that_does_not_exist_is_told_by_name(self, invoice: Invoice) -> None:
        outcome = take(upload(CAMT), n2="bbo", n3="")
        assert outcome.refused == [
            (2, "There is no customer “bbo”."),
            (3, "Say whom it is from."),
        ]

    def test_two_lines_are_not_proposed_the_same_invoice(self, invoice: Invoice) -> None:
        text = (
            "date,amount,currency,payer\n2026-11-03,100,EUR,Ada GmbH\n2026-11-04,100,EUR,Ada GmbH\n"
        )
        statement = upload(text)
        importing.map_columns(import_id=statement.pk, mapped=guess(read_table(text.encode())))
        statement.refresh_from_db()
        first, second = importing.match(importing.read_statement(statement).lines)
        assert (first.proposal.portions, second.proposal.portions) == ({invoice.pk: D(100)}, {})
        assert take(statement).taken == 2

    def test_a_payer_with_anothers_name_is_doubtful(self, invoice: Invoice) -> None:
        make.customer("bob", legal_name="Bob Ltd")
        [line, *_] = importing.match(read_camt(CAMT.replace("Ada GmbH", "Bob Ltd").encode()).lines)
        assert (line.customer, line.is_doubtful) == (invoice.customer, True)

    def test_columns_are_remembered_for_the_next_file(self, invoice: Invoice) -> None:
        first = upload(GERMAN)
        assert first.mapping is None
        table, mapped = importing.table_of(first)
        importing.map_columns(import_id=first.pk, mapped=mapped._replace(currency="EUR"))
        assert importing.table_of(upload(GERMAN))[1].currency == "EUR"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_xml_is_known_in_whichever_encoding(self, encoding: str) -> None:
        made = importing.upload_statement(
            name="x.xml", content=entry().encode(encoding), at=NOV_20, actor=SYSTEM
        )
        assert [one.amount for one in importing.read_statement(made).lines] == [D(30)]

    def test_too_large_a_file_is_refused(self) -> None:
        with pytest.raises(Invalid):
            upload("x" * (importing.LARGEST + 1))


@pytest.mark.django_db
class TestThePages:
    def send(self, client: Any, content: str) -> Any:
        file = SimpleUploadedFile("bank.csv", content.encode())
        return client.post(reverse("admin:billing_bankimport_add"), {"file": file}, follow=True)

    def test_from_a_file_to_a_payment(self, invoice: Invoice) -> None:
        client = anna()
        page = self.send(client, GERMAN.replace("1.234,50", "100,00"))
        assert "Which column is what?" in said(page)
        fields = page.context["form"]
        entered = {name: fields[name].initial or "" for name in fields.fields}
        page = client.post(page.request["PATH_INFO"], entered, follow=True)
        assert "INV-2026-000001: 100.00 named in the reference" in said(page)
        body = {"take": "1", "t1": "on", "c1": "ada"}
        page = client.post(page.request["PATH_INFO"], body, follow=True)
        assert "Recorded 1 payment." in said(page)
        assert Invoice.objects.in_payment_status("paid").get() == invoice

    def test_of_two_columns_what_went_out_is_left_out_with_why(self, invoice: Invoice) -> None:
        client = anna()
        page = self.send(
            client, "Datum;Soll;Haben;Zweck\n3.11.2026;80,00;;Strom\n3.11.2026;;100,00;\n"
        )
        entered = {
            "date": "0", "amount": "2", "out": "1", "reference": "3", "date_format": "%d.%m.%Y",
            "decimal_comma": "1", "only_currency": "EUR",
        }  # fmt: skip
        page = client.post(page.request["PATH_INFO"], entered, follow=True)
        assert "INV-2026-000001: 100.00" in said(page)
        assert "Line 1, 3.11.2026 · 80,00 · Strom : no money that came in" in said(page)

    def test_money_in_a_currency_that_nothing_is_billed_in_is_asked_about(
        self, invoice: Invoice
    ) -> None:
        client = anna()
        page = self.send(client, CAMT.replace('Ccy="EUR">100', 'Ccy="USD">100'))
        text = page.content.decode()
        assert "has no invoice in USD" in text
        assert not re.search(r'name="t1"[^>]*checked', text)
        body = {"take": "1", "t1": "on", "c1": "ada"}
        page = client.post(page.request["PATH_INFO"], body, follow=True)
        assert "Line 1: Ada is billed in EUR and has no invoice in USD" in said(page)
        client.post(page.request["PATH_INFO"], {**body, "o1": "on"})
        assert Payment.objects.get().currency == "USD"

    def test_a_hostile_file_is_refused_by_name(self) -> None:
        page = self.send(anna(), '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><Document/>')
        assert "not an XML file that can be read safely" in said(page)
        assert not BankImport.objects.exists()

    def test_support_may_look_but_import_nothing(self) -> None:
        assert self.send(sam(), GERMAN).status_code == 403
