"""The demo company: what it tells holds on any day, adds up by hand, and is told once."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from billing import demo
from billing.demo import company, doors, papers, report, story, usage
from billing.demo.company import BUYERS
from billing.documents import store_document
from billing.models import BillingPeriod, BillingRun, CreditNote, Invoice, InvoiceLine
from billing.services import runs
from billing.tax_listing import summed, tax_entries
from billing.typesetting import PdfEngineMissing
from config.base.models import ApiKey, AuditEntry, Outbox
from customers.models import Contact, Customer, Subscription, SubscriptionQuantity
from metering.models import QuarantinedEvent
from tests import factories as make

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 25, 14, tzinfo=UTC)
DAY = NOW.date()


def shorten(patched: pytest.MonkeyPatch) -> None:
    """Make the story as short as it can be, and its days less busy."""
    patched.setattr(company, "MONTHS", 2)
    patched.setattr(usage, "HOURS", {2: 30, 12: 70})


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


@pytest.fixture(scope="class")
def told(django_db_setup: None, django_db_blocker: Any) -> Iterator[demo.Told]:
    """Tell a short story once for all tests of a class; what each does to it is taken back."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patched, transaction.atomic():
        shorten(patched)
        yield demo.build(now=NOW)
        transaction.set_rollback(True)


def buyer(key: str) -> company.Buyer:
    return next(one for one in BUYERS if one.key == key)


def calls_of(key: str, first: date, last: date) -> int:
    """Add up the calls of a customer's local days, both inclusive, as its senders count them."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    events = [event for day in days for event in usage.used_on(day, buyer(key), reference=DAY)]
    return sum(event.data["calls"] for event in events if event.type == "api.usage")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def everything() -> dict[str, Any]:
    """Return all that must be the same however often the story is told, and by whatever detours."""
    return {
        "invoices": list(
            Invoice.objects.order_by("pk").values_list(
                "status", "number", "issue_date", "customer__key", "net_total", "total"
            )
        ),
        "lines": list(
            InvoiceLine.objects.order_by("invoice", "position").values_list(
                "description", "quantity", "net", "service_start"
            )
        ),
        "periods": list(
            BillingPeriod.objects.order_by("subscription", "number").values_list(
                "subscription__key", "start_date", "end_date", "status"
            )
        ),
        "runs": list(
            BillingRun.objects.order_by("pk").values_list("as_of", "status", "invoices_issued")
        ),
        "quantities": list(
            SubscriptionQuantity.objects.order_by("pk").values_list("price_key", "quantity")
        ),
        "quarantine": list(QuarantinedEvent.objects.order_by("pk").values_list("code", "event_id")),
        "audit": Counter(AuditEntry.objects.values_list("action", flat=True)),
        "outbox": Outbox.objects.count(),
    }


@pytest.mark.django_db
class TestTheStory:
    def test_adds_up_by_hand(self, told: demo.Told) -> None:
        """October of Fernwood: its fee for November, and what it used above the allowance."""
        used = calls_of("fernwood", date(2026, 10, 1), date(2026, 10, 31))
        over = Decimal(used - 100_000)
        first = min(over, Decimal(50_000))
        charged = cents(first * Decimal("0.002") + (over - first) * Decimal("0.0015"))
        assert over > 0
        invoice = Invoice.objects.get(customer__key="fernwood", issue_date=date(2026, 11, 2))
        fee, calls, storage = invoice.lines.all()
        assert (fee.net, calls.quantity, calls.net) == (499, used, charged)
        assert invoice.net_total == 499 + charged + storage.net
        assert invoice.tax_total == cents(invoice.net_total * Decimal("0.19"))
        assert "\n".join(report.worked_example(told)).endswith(f"{charged} EUR")

    def test_has_every_case_that_is_worth_a_look(self, told: demo.Told) -> None:
        customers = Customer.objects.all()
        assert customers.count() == 13
        assert set(customers.values_list("currency", flat=True)) == {"EUR", "USD", "GBP", "JPY"}
        assert set(Invoice.objects.values_list("taxes__category", flat=True)) == {"S", "AE", "O"}
        assert not BillingPeriod.objects.filter(status="parked").exists()
        [review] = Invoice.objects.exclude(status="issued")
        assert (review.customer.key, review.status) == ("meridian", "review")
        trial = BillingPeriod.objects.get(is_trial=True)
        assert (trial.subscription.key, trial.status) == ("oakline-team", "open")
        assert Subscription.objects.get(key="tidewater-team").ends_on == date(2026, 10, 1)
        prorated = InvoiceLine.objects.filter(invoice__customer__key="cascade").earliest("pk")
        assert prorated.net == cents(Decimal(549) * 14 / 30)
        moved = Subscription.objects.with_terms().get(key="meridian-team")
        assert [phase.plan_version.plan.key for phase in moved.phases.all()] == ["team", "scale"]
        added = InvoiceLine.objects.filter(invoice__customer__key="polder", quantity=8).get()
        assert (added.service_start, added.net) == (
            date(2026, 10, 4),
            cents(Decimal(232) * 28 / 31),
        )
        assert Subscription.objects.filter(customer__key="sundby").count() == 2
        [note] = CreditNote.objects.all()
        assert (note.invoice.customer.key, note.total < note.invoice.total) == ("harborline", True)
        assert set(note.deliveries.values_list("kind", flat=True)) == {"credit_note"}
        sums = summed(tax_entries(since=date(2026, 1, 1), until=DAY))
        assert {one.alike.currency for one in sums} == {"EUR", "USD", "GBP", "JPY"}
        assert all(one.tax_in_books is not None for one in sums)
        shared = Contact.objects.filter(email=company.ADVISER[1])
        assert {contact.customer.key for contact in shared} == {"fernwood", "brenner"}

    def test_keeps_what_its_senders_got_wrong(self, told: demo.Told) -> None:
        waiting = QuarantinedEvent.objects.order_by("code")
        assert [event.code for event in waiting] == ["bad_value", "conflict", "unknown_customer"]
        assert report.quarantine().count("1 ×") == 3
        used = calls_of("fernwood", date(2026, 11, 1), DAY - timedelta(days=1))
        table = "\n".join(report.overview(told))
        today = sum(
            event.data["calls"]
            for event in usage.used_on(DAY, buyer("fernwood"), reference=DAY)
            if event.type == "api.usage" and event.time and event.time <= NOW
        )
        assert f"API calls at {round((used + today) / 1000)} %" in table  # none of them counted

    def test_is_told_once(self, told: demo.Told) -> None:
        before, shown = everything(), list(report.overview(told))
        assert demo.build(now=NOW + timedelta(days=40)) == told
        assert everything() == before
        assert list(report.overview(told)) == shown

    def test_asks_little_of_the_database(
        self, told: demo.Told, django_assert_max_num_queries: Callable[..., Any]
    ) -> None:
        with django_assert_max_num_queries(56):  # ten of them for what came late
            list(report.overview(told))
        with django_assert_max_num_queries(2):
            list(report.totals(told))


class TestTelling:
    def test_is_told_to_its_end_after_any_interruption(
        self, db: None, short: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with transaction.atomic():
            demo.build(now=NOW)
            smooth = everything()
            transaction.set_rollback(True)
        breaks: list[tuple[Any, str, int]] = [
            (story, "_subscribe", 5),
            (story, "issue_invoices", 1),
            (story, "ingest", 12),
            (runs, "close_chunk", 2),
            (runs, "finish_if_done", 9),
            (story, "_end", 1),
        ]
        for module, name, count in breaks:
            with monkeypatch.context() as patched:
                patched.setattr(module, name, _killed_at(count, getattr(module, name)))
                with pytest.raises(KeyboardInterrupt):
                    demo.build(now=NOW)
        assert demo.build(now=NOW + timedelta(days=1)).reference == NOW
        assert everything() == smooth

    def test_stays_out_of_a_database_with_other_customers(self, db: None, short: None) -> None:
        make.customer("acme")
        with pytest.raises(demo.OtherCustomers):
            demo.build(now=NOW)
        assert Customer.objects.count() == 1
        assert not AuditEntry.objects.filter(action=story.BEGUN).exists()

    def test_bills_nobody_else_when_it_is_among_others(self, db: None, short: None) -> None:
        make.subscription(make.customer("acme"), starts_on=date(2026, 9, 1))
        demo.build(now=NOW, among_others=True)
        assert not Invoice.objects.filter(customer__key="acme").exists()
        assert Invoice.objects.filter(customer__key="fernwood", status="issued").count() == 3
        assert not BillingRun.objects.filter(customer=None).exists()
        make.customer("later")
        demo.build(now=NOW)  # it is there already, so nobody is in its way


def _killed_at(count: int, works: Callable[..., Any]) -> Callable[..., Any]:
    """Return what works until it is called for that time, and then is killed."""
    calls = iter(range(1, count))

    def until(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return works(*args, **kwargs)

    return until


DAYS = [
    *(date(2026, 12, 1) + timedelta(days=n) for n in range(31)),
    date(2028, 2, 28),
    date(2028, 2, 29),
    date(2028, 3, 1),
    date(2027, 2, 28),
    date(2027, 3, 31),
]


@pytest.mark.parametrize("reference", DAYS, ids=str)
def test_on_any_day_some_are_near_their_allowance_and_some_beyond(reference: date) -> None:
    shares = {}
    for key in ("sundby", "alder-row"):
        anchor = buyer(key).deals[0].start.anchor(reference)
        assert anchor is not None
        days = [anchor + timedelta(days=n) for n in range((reference - anchor).days)]
        events = [e for day in days for e in usage.used_on(day, buyer(key), reference=reference)]
        used = sum(event.data["calls"] for event in events if event.type == "api.usage")
        shares[key] = used / 100_000
    assert 0.65 < shares["sundby"] < 0.95
    assert shares["alder-row"] > 1.1


@pytest.mark.parametrize("reference", DAYS, ids=str)
def test_on_any_day_everybody_began_before_and_periods_count_from_the_same_day(
    reference: date,
) -> None:
    for one in BUYERS:
        for deal in one.deals:
            start, anchor = deal.start.on(reference), deal.start.anchor(reference)
            assert start < reference
            if anchor and not deal.has_trial:
                assert start.day == min(anchor.day, monthrange(start.year, start.month)[1])


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(datetime(2027, 2, 28, 23, 30, tzinfo=UTC), id="the 1st has begun in Berlin"),
        pytest.param(datetime(2028, 2, 29, 9, tzinfo=UTC), id="a leap day"),
        pytest.param(datetime(2026, 12, 31, 1, tzinfo=UTC), id="the 31st"),
    ],
)
def test_the_story_can_be_told_on_any_day(db: None, short: None, now: datetime) -> None:
    told = demo.build(now=now)
    assert not BillingPeriod.objects.filter(status="parked").exists()
    assert not BillingRun.objects.exclude(status="finished").exists()
    assert not runs.anything_due(as_of=now)
    assert Invoice.objects.filter(status="review", customer__key="meridian").exists()
    dates = list(
        Invoice.objects.exclude(number=None)
        .order_by("year", "sequence")
        .values_list("year", "issue_date")
    )
    assert dates == sorted(dates)
    table = "\n".join(report.overview(told))
    assert "in trial until" in table
    assert "ended on" in table


@pytest.fixture
def folder(tmp_path: Path, settings: LazySettings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "demo"


@pytest.mark.django_db
class TestTheCommand:
    @pytest.mark.unaudited
    def test_shows_the_same_twice(
        self, told: demo.Told, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep = Invoice.objects.filter(status="issued").order_by("pk")[:3]
        kept = [*keep, *CreditNote.objects.all()]
        Outbox.objects.exclude(key__in=[str(one.uuid) for one in kept]).delete()
        monkeypatch.setattr(papers, "store_document", _only({one.pk for one in keep}))
        first, said, again = StringIO(), StringIO(), StringIO()
        call_command("demo", stdout=first, stderr=said)
        assert not Outbox.objects.exclude(status="done").exists()
        before = everything()
        call_command("demo", stdout=again)
        assert again.getvalue() == first.getvalue()
        assert everything() == before
        assert "PDFs written" in said.getvalue()
        assert len(list(folder.glob("INV-2026-*.pdf"))) == 3
        assert (folder / "INV-2026-000001.pdf").read_bytes().startswith(b"%PDF")
        shown = first.getvalue().splitlines()
        assert max(map(len, shown if folder.is_relative_to(Path.cwd()) else shown[:30])) <= 100
        assert "Northlight Data on 25 November 2026" in shown

    def test_opens_the_doors_it_names(self, told: demo.Told, folder: Path) -> None:
        password, key = doors.administrator(folder), doors.api_key(folder)
        assert User.objects.get(username="demo").check_password(password)
        assert [path.stat().st_mode & 0o777 for path in sorted(folder.iterdir())] == [0o600, 0o600]
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.read_text().strip()}")
        asked = client.get("/api/v1/customers/fernwood/usage?metric=api_calls")
        assert asked.status_code == 200
        key.unlink()
        assert doors.api_key(folder).exists()
        assert ApiKey.objects.count() == 2

    def test_lets_customers_in_once_per_link(self, told: demo.Told, folder: Path) -> None:
        url = "http://127.0.0.1:8003"

        def links(now: datetime, url: str = url) -> list[str]:
            kept = doors.sign_in_links(folder, url=url, now=now)
            assert kept.stat().st_mode & 0o777 == 0o600
            return [line for line in kept.read_text().splitlines() if line.startswith(url)]

        at = timezone.now()
        first = links(at)
        assert len(first) == 3
        assert links(at + timedelta(hours=23)) == first
        shown = (folder / doors.LINKS_FILE).read_text()
        assert "Ines Hartmann, Fernwood Analytics and Brenner Logistik" in shown
        assert "until" in shown.splitlines()[0]
        visitor = Client()
        asked = visitor.get(first[1].removeprefix(url))
        assert visitor.post(asked["Location"]).status_code == 302
        assert "Brenner Logistik" in visitor.get("/portal/").content.decode()
        assert not set(links(at)) & set(first)  # one is used, so all are made anew
        expired = links(at)
        assert not set(links(at + timedelta(days=1))) & set(expired)
        assert links(at, "http://127.0.0.1:8004") != []
        Contact.objects.filter(email=company.ADVISER[1]).delete()
        assert len(links(at + timedelta(days=9))) == 2

    @pytest.mark.unaudited
    def test_names_the_address_it_is_reached_at(
        self, told: demo.Told, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(papers, "store_document", lambda pk: None)
        Outbox.objects.all().delete()
        out = StringIO()
        call_command("demo", port=8765, stdout=out, stderr=StringIO())
        assert "http://127.0.0.1:8765/portal/" in out.getvalue()
        monkeypatch.setenv("PUBLIC_URL", "https://billing.example.com/")
        out = StringIO()
        call_command("demo", port=8765, stdout=out, stderr=StringIO())
        assert "https://billing.example.com/portal/" in out.getvalue()

    def test_without_pango_shows_everything_and_says_what_is_missing(
        self, told: demo.Told, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(_: int) -> None:
            raise PdfEngineMissing("apt-get install libpangoft2-1.0-0")

        monkeypatch.setattr(papers, "store_document", missing)
        out = StringIO()
        with pytest.raises(CommandError, match="apt-get install"):
            call_command("demo", stdout=out, stderr=StringIO())
        assert "Fernwood Analytics" in out.getvalue()
        assert "/admin/" in out.getvalue()


class TestRefusals:
    def test_leaves_somebody_of_its_administrators_name_alone(self, db: None, folder: Path) -> None:
        User.objects.create_user("demo", password="own")
        assert doors.administrator(folder) == ""
        assert User.objects.get().check_password("own")

    def test_refuses_a_database_with_other_customers(self, db: None, folder: Path) -> None:
        make.customer("acme")
        with pytest.raises(CommandError, match="--among-others"):
            call_command("demo", stdout=StringIO())

    def test_says_which_name_is_taken(self, db: None, folder: Path) -> None:
        make.plan("scale")
        with pytest.raises(CommandError, match="The key “scale” is taken by another plan"):
            call_command("demo", stdout=StringIO())
        assert not Customer.objects.exists()


def _only(wanted: set[int]) -> Callable[[int], Any]:
    """Return what stores the documents of these invoices and leaves the rest, which take long."""
    return lambda pk: store_document(pk) if pk in wanted else None
