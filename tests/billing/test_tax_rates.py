"""Tax rates as finance's data: what is refused, by whom, and which rate a line bears (R29)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import IntegrityError, close_old_connections, connection, transaction
from rest_framework.test import APIClient

from billing.models import Invoice, InvoiceLine, TaxRate
from billing.rate_tables import packaged
from billing.rates import TaxRateMissing, taxation
from billing.services import issuing, life, tax_rates
from billing.services.changing import When
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing.months import close, use
from tests.customers.test_api import faults
from tests.staff import anna, said, sam

pytestmark = pytest.mark.django_db
Caller = Callable[..., APIClient]
RATES = "/api/v1/tax-rates"


def rate(text: str) -> TaxRate:
    """Read "DE standard 19 2021-01-01 [2026-12-31]"; save it."""
    return tax_rates.add_tax_rate(rate=unsaved(text), actor=SYSTEM)


def unsaved(text: str) -> TaxRate:
    country, category, percent, first, *last = text.split()
    return TaxRate(
        country=country,
        category=category,
        percent=D(percent),
        valid_from=date.fromisoformat(first),
        valid_until=date.fromisoformat(last[0]) if last else None,
    )


class TestOverlap:
    """Of one country and category no two rates hold on one day, whoever writes them."""

    OVERLAPS = pytest.mark.parametrize(
        ("there", "new", "refused"),
        [
            ("DE standard 19 2021-01-01", "DE standard 20 2027-01-01", True),
            ("DE standard 19 2021-01-01 2026-12-31", "DE standard 20 2027-01-01", False),
            ("DE standard 19 2021-01-01 2027-01-01", "DE standard 20 2027-01-01", True),
            ("DE standard 19 2021-01-01", "DE standard 16 2020-07-01 2020-12-31", False),
            ("DE standard 19 2021-01-01", "DE standard 16 2020-07-01 2021-01-01", True),
            ("DE standard 19 2021-01-01", "DE standard 16 2020-07-01", True),
            ("DE standard 19 2021-01-01 2030-12-31", "DE standard 16 2022-01-01 2022-06-30", True),
            ("DE standard 16 2022-01-01 2022-06-30", "DE standard 19 2021-01-01 2030-12-31", True),
            ("DE standard 19 2021-01-01", "DE reduced 7 2021-01-01", False),
            ("DE standard 19 2021-01-01", "AT standard 20 2021-01-01", False),
        ],
    )

    @OVERLAPS
    def test_is_refused_by_name(self, there: str, new: str, refused: bool) -> None:
        rate(there)
        if not refused:
            rate(new)
            return
        with pytest.raises(tax_rates.TaxRatesOverlap, match="let it end before this one begins"):
            rate(new)

    @OVERLAPS
    def test_is_refused_by_the_database(self, there: str, new: str, refused: bool) -> None:
        unsaved(there).save()
        if not refused:
            unsaved(new).save()
            return
        with pytest.raises(IntegrityError), transaction.atomic():
            unsaved(new).save()

    def test_is_refused_when_a_rate_is_prolonged(self) -> None:
        first = rate("DE standard 19 2021-01-01 2026-12-31")
        rate("DE standard 20 2027-01-01")
        with pytest.raises(IntegrityError), transaction.atomic():
            TaxRate.objects.filter(pk=first.pk).update(valid_until=None)
        with pytest.raises(tax_rates.TaxRatesOverlap):
            tax_rates.change_tax_rate(rate_id=first.pk, fields={"valid_until": None}, actor=SYSTEM)

    def test_a_rate_is_not_in_its_own_way(self) -> None:
        first = rate("DE standard 19 2021-01-01")
        tax_rates.change_tax_rate(rate_id=first.pk, fields={"percent": D(20)}, actor=SYSTEM)
        first.refresh_from_db()
        assert first.percent == 20


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_enter_rates_of_the_same_days_at_once_one_is_told() -> None:
    barrier, told = Barrier(2), []

    def enter(percent: int) -> None:
        barrier.wait()
        try:
            rate(f"DE standard {percent} 2021-01-{percent}")
        except tax_rates.TaxRatesOverlap as overlap:
            told.append(str(overlap))
        finally:
            close_old_connections()
            connection.close()

    threads = [Thread(target=enter, args=(percent,)) for percent in (19, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert TaxRate.objects.count() == 1
    assert len(told) == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "de"}, "country"),
        ({"category": "cheap"}, "category"),
        ({"percent": D(101)}, "percent"),
        ({"percent": D(-1)}, "percent"),
        ({"category": "zero"}, "percent"),
        ({"category": "exempt"}, "percent"),
        ({"valid_until": date(2020, 12, 31)}, "valid_until"),
    ],
)
def test_what_is_no_rate_is_refused_by_field(fields: dict[str, Any], path: str) -> None:
    faulty = unsaved("DE standard 19 2021-01-01")
    for name, value in fields.items():
        setattr(faulty, name, value)
    with pytest.raises(Invalid) as invalid:
        tax_rates.add_tax_rate(rate=faulty, actor=SYSTEM)
    assert [fault.path for fault in invalid.value.faults] == [(path,)]
    if path != "country":  # which countries there are is not the database's to know
        with pytest.raises(IntegrityError), transaction.atomic():
            faulty.save()


class TestOfALine:
    """The rate of the sale's country on the last day of the line's service."""

    @pytest.fixture(autouse=True)
    def germany(self) -> None:
        Issuer.objects.update(
            tax_status="standard", standard_tax_rate=D(18), country="DE", vat_id="DE136695976"
        )

    def percent(self, service_end: str, category: str = "standard", **buyer: Any) -> str:
        customer = Customer(name="Ada", **{"country": "DE", "tax_status": "automatic", **buyer})
        found = taxation(Issuer.objects.get(), customer)
        tax = found.on(category, date.fromisoformat(service_end))
        return f"{tax.category} {tax.rate.normalize():f}"

    @pytest.mark.parametrize(
        ("rates", "service_end", "category", "expected"),
        [
            ([], "2027-01-01", "standard", "S 18"),
            (["FR standard 20 2014-01-01"], "2027-01-01", "standard", "S 18"),
            (["DE standard 19 2021-01-01"], "2027-01-01", "standard", "S 19"),
            (["DE standard 19 2021-01-01"], "2021-01-01", "standard", "S 18"),
            (["DE standard 19 2021-01-01"], "2021-01-02", "standard", "S 19"),
            (
                ["DE standard 19 2021-01-01 2026-12-31", "DE standard 20 2027-01-01"],
                "2027-01-01",
                "standard",
                "S 19",
            ),
            (
                ["DE standard 19 2021-01-01 2026-12-31", "DE standard 20 2027-01-01"],
                "2027-01-02",
                "standard",
                "S 20",
            ),
            (["DE reduced 7 2021-01-01"], "2027-01-01", "reduced", "S 7"),
            (["DE reduced 0 2021-01-01"], "2027-01-01", "reduced", "Z 0"),
            ([], "2027-01-01", "zero", "Z 0"),
            ([], "2027-01-01", "exempt", "E 0"),
        ],
    )
    def test_is_that_of_its_last_day(
        self, rates: list[str], service_end: str, category: str, expected: str
    ) -> None:
        for text in rates:
            rate(text)
        assert self.percent(service_end, category) == expected

    def test_an_own_rate_holds_at_home_alone(self) -> None:
        Issuer.objects.update(uses_oss=True)
        with pytest.raises(TaxRateMissing, match="No standard rate of France is known for 31 Dec"):
            self.percent("2027-01-01", country="FR")
        rate("FR standard 20 2014-01-01")
        assert self.percent("2027-01-01", country="FR") == "S 20"

    def test_none_is_guessed_for_another_category(self) -> None:
        rate("DE standard 19 2021-01-01")
        with pytest.raises(TaxRateMissing, match="No reduced rate of Germany is known"):
            self.percent("2027-01-01", "reduced")

    def test_nor_for_a_day_before_all_rates_where_there_is_no_own(self) -> None:
        Issuer.objects.update(standard_tax_rate=D(0))
        assert self.percent("2021-01-01") == "Z 0"
        rate("DE standard 19 2021-01-01")
        with pytest.raises(TaxRateMissing):
            self.percent("2021-01-01")

    def test_where_no_tax_is_due_no_rate_is_asked_for(self) -> None:
        assert self.percent("2027-01-01", "reduced", country="US") == "O 0"
        assert self.percent("2027-01-01", "reduced", vat_id="FR40303265045", country="FR") == "AE 0"
        assert self.percent("2027-01-01", country="FR", vat_id="FR40303265046") == "S 18"


class TestInvoices:
    @pytest.fixture(autouse=True)
    def germany(self) -> None:
        Issuer.objects.update(tax_status="standard", country="DE", vat_id="DE136695976")
        rate("DE standard 19 2021-01-01 2026-11-30")
        rate("DE standard 20 2026-12-01")
        rate("DE reduced 7 2021-01-01")

    def taxes(self, *, month: int) -> list[tuple[str, str, str, str]]:
        *_, invoice = close(datetime(2026 + (month == 1), month, 1, 9, tzinfo=UTC))
        return self.told(invoice)

    def told(self, invoice: Invoice) -> list[tuple[str, str, str, str]]:
        return [
            (tax.category, f"{tax.rate.normalize():f}", f"{tax.base:.2f}", f"{tax.amount:.2f}")
            for tax in invoice.taxes.all()
        ]

    def test_usage_of_november_and_the_fee_of_december_are_taxed_each_by_its_own_days(self) -> None:
        calls = make.metric()
        version = make.published(make.flat(amount="100"), make.graduated(calls, "rest @ 1"))
        sold = make.subscription(make.customer("ada", country="DE"), version)
        use(sold, datetime(2026, 11, 5, tzinfo=UTC), calls=50)
        assert self.taxes(month=12) == [
            ("S", "20", "100.00", "20.00"),
            ("S", "19", "50.00", "9.50"),
        ]

    def test_a_period_across_the_change_is_taxed_whole_by_its_last_day(self) -> None:
        """15 November to 14 December: all of it at the rate since 1 December."""
        calls = make.metric()
        version = make.published(
            make.flat(amount="30", timing="arrears"), make.graduated(calls, "rest @ 1")
        )
        sold = make.subscription(
            make.customer("ada", country="DE"),
            version,
            starts_on=date(2026, 11, 15),
            alignment="anniversary",
        )
        use(sold, datetime(2026, 11, 20, tzinfo=UTC), calls=50)
        *_, invoice = close(datetime(2026, 12, 15, 9, tzinfo=UTC))
        assert self.told(invoice) == [("S", "20", "80.00", "16.00")]

    def test_a_period_that_ends_the_day_before_is_taxed_as_it_was(self) -> None:
        version = make.published(make.flat(amount="30"))
        sold = make.subscription(
            make.customer("ada", country="DE"),
            version,
            starts_on=date(2026, 10, 31),
            alignment="anniversary",
        )
        life.cancel(
            subscription_id=sold.pk,
            when=When.IMMEDIATE,
            at=datetime(2026, 11, 30, 9, tzinfo=UTC),
            actor=SYSTEM,
        )
        [first, *_] = close(datetime(2026, 12, 1, 9, tzinfo=UTC))
        assert self.told(first) == [("S", "19", "30.00", "5.70")]

    def test_parts_of_a_period_whose_plan_changed_bear_each_its_own(self) -> None:
        """From 15 November; the plan changes on 1 December, as the rate does."""
        old = make.published(make.flat(amount="30", timing="arrears"))
        new = make.published(make.flat(amount="60", timing="arrears"))
        sold = make.subscription(
            make.customer("ada", country="DE"),
            old,
            starts_on=date(2026, 11, 15),
            alignment="anniversary",
        )
        close(datetime(2026, 11, 16, 9, tzinfo=UTC))
        life.change_plan(
            subscription_id=sold.pk,
            version=new,
            when=When.IMMEDIATE,
            at=datetime(2026, 12, 1, 9, tzinfo=UTC),
            actor=SYSTEM,
        )
        *_, invoice = close(datetime(2026, 12, 15, 9, tzinfo=UTC))
        # 30 × 16/30 until 30 November, 60 × 14/30 since
        assert self.told(invoice) == [("S", "20", "28.00", "5.60"), ("S", "19", "16.00", "3.04")]

    def test_a_credit_and_late_usage_after_the_change_keep_the_rate_before(self) -> None:
        calls = make.metric()
        version = make.published(make.flat(amount="30"), make.graduated(calls, "rest @ 1"))
        sold = make.subscription(make.customer("ada", country="DE"), version)
        use(sold, datetime(2026, 11, 5, tzinfo=UTC), calls=50)
        close(datetime(2026, 12, 1, 9, tzinfo=UTC))
        close(datetime(2026, 12, 3, 9, tzinfo=UTC))
        late = datetime(2026, 12, 9, tzinfo=UTC)
        use(sold, datetime(2026, 11, 6, tzinfo=UTC), received_at=late, calls=7)
        use(sold, datetime(2026, 12, 9, tzinfo=UTC), calls=100)
        assert self.taxes(month=1) == [("S", "20", "130.00", "26.00"), ("S", "19", "7.00", "1.33")]

    def test_prices_with_tax_stay_and_what_of_them_is_tax_changes(self) -> None:
        version = make.published(make.flat(amount="11.90"), prices_include_tax=True)
        make.subscription(make.customer("ada", country="DE"), version)
        assert self.taxes(month=11) == [("S", "19", "10.00", "1.90")]
        assert self.taxes(month=12) == [("S", "20", "9.92", "1.98")]
        assert set(Invoice.objects.values_list("total", flat=True)) == {D("11.90")}

    def test_a_price_an_add_on_and_the_commitment_each_have_their_category(self) -> None:
        calls = make.metric()
        version = make.published(
            make.flat(amount="100", tax_category="standard"),
            make.graduated(calls, "rest @ 1"),
            tax_category="reduced",
            minimum_commitment=D(150),
        )
        sold = make.subscription(make.customer("ada", country="DE"), version)
        make.sold_add_on(sold, make.add_on(unit_amount=D(10), tax_category="exempt"))
        close(datetime(2026, 11, 1, 9, tzinfo=UTC))
        use(sold, datetime(2026, 11, 5, tzinfo=UTC), calls=20)
        make.sold_add_on(sold, make.add_on(unit_amount=D(10), tax_category="zero"))
        assert self.taxes(month=12) == [
            ("S", "20", "100.00", "20.00"),
            ("S", "7", "50.00", "3.50"),
            ("Z", "0", "10.00", "0.00"),
        ]
        kinds = InvoiceLine.objects.filter(invoice__number=None).values_list(
            "kind", "rate_category"
        )
        assert set(kinds) == {
            ("fee", "standard"),
            ("usage", "reduced"),
            ("commitment", "reduced"),
            ("add_on", "zero"),
        }

    def test_why_is_kept_with_the_invoice(self) -> None:
        make.subscription(make.customer("ada", country="DE"), make.published())
        [opening] = close(datetime(2026, 11, 1, 9, tzinfo=UTC))
        tax = opening.taxes.get()
        assert (tax.country, tax.rate_category) == ("DE", "standard")
        assert tax.basis == (
            "Seller and buyer are both in Germany. The standard rate of Germany applies."
        )

    def test_a_rate_that_is_missing_holds_back_who_needs_it_and_says_which(self) -> None:
        Issuer.objects.update(uses_oss=True)
        make.subscription(make.customer("ada", country="DE"), make.published())
        sold = make.subscription(make.customer("bob", country="FR"), make.published())
        run = close(datetime(2026, 11, 1, 9, tzinfo=UTC))
        assert [invoice.customer.key for invoice in run] == ["ada"]
        [parked] = sold.billing_periods.all()
        assert parked.trouble.startswith("No standard rate of France is known for 30 November")

    def test_a_draft_of_another_rate_is_redrawn_before_it_is_issued(self) -> None:
        make.subscription(make.customer("ada", country="DE"), make.published(make.flat()))
        [opening] = close(datetime(2026, 11, 1, 9, tzinfo=UTC))
        november = TaxRate.objects.get(percent=19)
        tax_rates.change_tax_rate(rate_id=november.pk, fields={"percent": D(16)}, actor=SYSTEM)
        with pytest.raises(issuing.DraftOutdated, match="19 % tax, but S 16 % applies now"):
            issuing.issue_invoices(
                invoice_ids=[opening.pk], as_of=datetime(2026, 11, 1, 9, tzinfo=UTC), actor=SYSTEM
            )
        [issued] = close(datetime(2026, 11, 3, tzinfo=UTC))
        assert (issued.status, issued.tax_total) == ("issued", D("79.84"))


class TestImport:
    HEAD = "country,category,percent,valid_from,valid_until,source\n"

    def outcomes(self, *rows: str) -> list[str]:
        found = tax_rates.preview_tax_rates(self.HEAD + "\n".join(rows))
        return [row.outcome for row in found]

    def test_the_packaged_rates_are_sound_and_can_be_imported_twice(self) -> None:
        tax_rates.import_tax_rates(text=packaged(), actor=SYSTEM)
        assert TaxRate.objects.filter(category="standard", valid_until=None).count() == 27
        again = tax_rates.import_tax_rates(text=packaged(), actor=SYSTEM)
        assert {row.outcome for row in again} == {"unchanged"}
        assert AuditEntry.objects.filter(subject_type="billing.taxrate").count() == len(again)

    def test_a_table_ends_a_rate_and_begins_the_next(self) -> None:
        rate("DE standard 19 2021-01-01")
        rows = ["DE,standard,19,2021-01-01,2026-12-31,", "DE,standard,20,2027-01-01,,"]
        assert self.outcomes(*rows) == ["changed", "new"]
        assert self.outcomes(*reversed(rows)) == ["new", "changed"]
        tax_rates.import_tax_rates(text=self.HEAD + "\n".join(reversed(rows)), actor=SYSTEM)
        assert self.outcomes(*rows) == ["unchanged", "unchanged"]

    def test_a_preview_saves_nothing(self) -> None:
        assert self.outcomes("DE,standard,19,2021-01-01,,") == ["new"]
        assert not TaxRate.objects.exists()

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("DE,standard,19 %,2021-01-01,,", "“19 %” is no percentage"),
            ("DE,standard,-1,2021-01-01,,", "no percentage"),
            ("DE,standard,1e1,2021-01-01,,", "no percentage"),
            ("DE,standard,101,2021-01-01,,", "from 0 to 100"),
            ("DE,standard,19,1.1.2021,,", "“1.1.2021” is no day"),
            ("DE,standard,19,2021-02-30,,", "no day"),
            ("DE,standard,19,2021-01-01,later,", "“later” is no day"),
            ("DE,standard,19,2021-01-01,2020-01-01,", "its first day or later"),
            ("XX,standard,19,2021-01-01,,", "ISO 3166"),
            ("DE,cheap,19,2021-01-01,,", "Choose one of standard"),
            ("DE,zero,19,2021-01-01,,", "has the rate 0"),
            ("AT,standard,19,2022-01-01,,", "holds from 1 January 2021 until further notice"),
            ("AT,standard,19,2020-01-01,,", "holds from 1 January 2021 until further notice"),
        ],
    )
    def test_a_row_is_refused_with_its_reason_and_so_is_all(self, row: str, words: str) -> None:
        rate("AT standard 20 2021-01-01")
        text = self.HEAD + "FR,standard,20,2014-01-01,,\n" + row
        *_, last = tax_rates.preview_tax_rates(text)
        assert (last.line, last.outcome) == (3, "refused")
        assert words in last.message
        with pytest.raises(Invalid, match="Line 3: "):
            tax_rates.import_tax_rates(text=text, actor=SYSTEM)
        assert TaxRate.objects.count() == 1

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "There is no country"),
            ("country,percent\n", "There is no category"),
            ("country,category,percent,valid_from,colour\n", "Nobody knows “colour”"),
            (HEAD, "no rows"),
            (HEAD + 'DE,"standard', "can’t be read"),
            (HEAD + "DE,standard,19,2021-01-01,,,,,", "has 9 cells"),
            ("country,country,category,percent,valid_from\nDE", "Name each once"),
            (HEAD + "DE,standard,19,2021-01-01,,\n" * 5001, "at most 5,000 rows"),
        ],
    )
    def test_what_is_no_table_is_refused_whole(self, text: str, words: str) -> None:
        with pytest.raises(Invalid, match=words):
            tax_rates.preview_tax_rates(text)

    def test_semicolons_a_bom_and_decimal_commas_are_understood(self) -> None:
        text = "\ufeffCountry;Category;Percent;Valid_from\r\nFI;standard;25,5;2024-09-01\r\n\r\n"
        [row] = tax_rates.import_tax_rates(text=text, actor=SYSTEM)
        assert TaxRate.objects.get().percent == D("25.5")


class TestApi:
    BODY = {"country": "DE", "percent": "19", "valid_from": "2021-01-01"}

    def test_enter_read_find_and_end(self, caller: Caller) -> None:
        client = caller()
        made = client.post(RATES, self.BODY)
        assert (made.status_code, made.json()["category"]) == (201, "standard")
        one = f"{RATES}/{made.json()['id']}"
        assert client.get(one).json() == made.json()
        assert (
            client.patch(one, {"valid_until": "2026-12-31"}).json()["valid_until"] == "2026-12-31"
        )
        assert client.post(RATES, {**self.BODY, "valid_from": "2027-01-01"}).status_code == 201
        for asked, count in (("", 2), ("?valid_on=2026-12-31", 1), ("?country=AT", 0)):
            assert len(client.get(RATES + asked).json()["results"]) == count

    def test_an_overlap_is_a_conflict(self, caller: Caller) -> None:
        caller().post(RATES, self.BODY)
        again = caller().post(RATES, {**self.BODY, "valid_from": "2022-01-01"})
        assert (again.status_code, again.json()["code"]) == (409, "tax_rates_overlap")
        assert again.json()["errors"][0]["pointer"] == "/valid_from"

    @pytest.mark.parametrize(
        ("fields", "pointer", "code"),
        [
            ({"country": "XX"}, "/country", "unknown_country"),
            ({"category": "cheap"}, "/category", "invalid_choice"),
            ({"percent": "101"}, "/percent", "too_large"),
            ({"percent": "1e1"}, "/percent", "invalid"),
            ({"valid_from": "soon"}, "/valid_from", "invalid"),
            ({"valid_until": "2020-01-01"}, "/valid_until", "before_start"),
            ({"id": "x"}, "/id", "read_only"),
        ],
    )
    def test_faults_are_named(
        self, caller: Caller, fields: dict[str, Any], pointer: str, code: str
    ) -> None:
        assert faults(caller().post(RATES, {**self.BODY, **fields})) == {(pointer, code)}

    def test_a_stranger_sees_nothing(self, caller: Caller) -> None:
        assert caller("events:read").get(RATES).status_code == 403
        assert caller("billing:read").post(RATES, self.BODY).status_code == 403


class TestAdmin:
    LIST = "/admin/billing/taxrate/"

    def test_anna_imports_a_table_after_a_preview(self) -> None:
        client = anna()
        text = TestImport.HEAD + "DE,standard,19,2021-01-01,,UStG"
        asked = said(client.get(f"{self.LIST}import/?table=eu"))
        assert "Luxembourg" not in asked
        assert "LU,parking,14" in asked
        preview = said(client.post(f"{self.LIST}import/", {"table": text}))
        assert "DE, standard rate: 19 % from 1 Jan 2021" in preview
        assert not TaxRate.objects.exists()
        client.post(f"{self.LIST}import/", {"table": text, "confirmed": "1"})
        assert TaxRate.objects.get().source == "UStG"
        assert "Germany" in said(client.get(self.LIST))

    def test_a_refused_row_stands_with_its_reason(self) -> None:
        text = TestImport.HEAD + "DE,standard,x,2021-01-01,,"
        preview = said(anna().post(f"{self.LIST}import/", {"table": text}))
        assert "“x” is no percentage" in preview
        assert "Nothing can be imported while a row is refused" in preview

    def test_an_overlap_stands_at_its_field(self) -> None:
        rate("DE standard 19 2021-01-01")
        form = {"country": "DE", "category": "standard", "percent": "20"}
        page = said(anna().post(f"{self.LIST}add/", {**form, "valid_from": "2027-01-01"}))
        assert "let it end before this one begins" in page

    def test_sam_reads_and_changes_nothing(self) -> None:
        client = sam()
        assert client.get(self.LIST).status_code == 200
        assert client.get(f"{self.LIST}import/").status_code == 403
