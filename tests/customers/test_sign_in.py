"""Signing in to the portal: links, codes, sessions, limits; and what a stranger learns: nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.base.audit import SYSTEM
from config.base.models import AuditEntry, Outbox
from config.base.services import outbox
from config.base.tasks import deliver_outbox
from customers.models import Contact, PortalSession, SignInLink
from customers.services import make_sign_in_link, signing_in
from tests import factories as make
from tests.customers import door
from tests.customers.door import SIGN_IN, ask, enter, last_mail

pytestmark = [pytest.mark.django_db, pytest.mark.once]
HOME = "/portal/"


@pytest.fixture
def ada() -> Contact:
    """Ada of Fernwood, who reads English."""
    return door.contact(make.customer("fernwood", locale="en-GB"), "Ada@Fernwood.example")


def status(client: Client) -> int:
    return int(client.get(HOME).status_code)


class TestTheMail:
    def test_its_link_signs_in_after_a_button(self, ada: Contact) -> None:
        client = Client()
        assert ask("ada@fernwood.example", client).headers["Location"] == f"{SIGN_IN}sent/"
        assert mail.outbox[-1].to == ["Ada@Fernwood.example"]
        path, _ = last_mail()
        opened = client.get(path, follow=True)
        assert b"You are about to sign in as Ada@Fernwood.example" in opened.content
        assert status(client) == 302
        assert enter(client, path).headers["Location"] == HOME
        assert status(client) == 200

    def test_it_is_in_the_language_of_the_customer(self) -> None:
        door.contact(make.customer(locale="de-DE"), "bob@brenner.example", name="Bob")
        ask("bob@brenner.example")
        assert mail.outbox[-1].subject.startswith("Anmeldung bei")
        assert "Guten Tag Bob" in mail.outbox[-1].body

    def test_it_names_our_own_address_whatever_host_was_asked(self, ada: Contact) -> None:
        ask(ada.email, HTTP_HOST="localhost")
        assert last_mail()[0].startswith("/portal/")
        assert "localhost" not in mail.outbox[-1].body
        assert ask(ada.email, HTTP_HOST="evil.example").status_code == 400

    def test_in_another_browser_its_code_is_needed(self, ada: Contact) -> None:
        ask(ada.email)
        path, code = last_mail()
        elsewhere = Client()
        opened = elsewhere.get(path, follow=True)
        assert b"another browser" in opened.content
        assert ada.email.encode() not in opened.content
        assert enter(elsewhere, path).status_code == 400
        assert enter(elsewhere, path, code="AAAA-AAAA").status_code == 400
        assert enter(elsewhere, path, code=code.lower().replace("-", " ")).status_code == 302
        assert status(elsewhere) == 200

    def test_its_code_alone_signs_in_where_it_was_asked_for(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        _, code = last_mail()
        assert Client().post(f"{SIGN_IN}sent/", {"code": code}).status_code == 400
        assert client.post(f"{SIGN_IN}sent/", {"code": code}).status_code == 302
        assert status(client) == 200

    def test_asked_twice_in_two_tabs_either_link_works_once(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        first, _ = last_mail()
        ask(ada.email, client)
        second, _ = last_mail()
        assert enter(client, first).status_code == 302
        assert enter(Client(), first).status_code == 410
        assert second != first
        assert enter(Client(), second).status_code == 400

    def test_delivered_again_only_the_new_one_works(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        first, _ = last_mail()
        Outbox.objects.update(status="pending", done_at=None, due_at=timezone.now())
        outbox.deliver_due(at=timezone.now())
        second, _ = last_mail()
        assert enter(client, first).status_code == 410
        assert enter(client, second).status_code == 302

    def test_a_used_or_stale_request_is_not_mailed(self, ada: Contact) -> None:
        ask(ada.email)
        link = SignInLink.objects.get()
        later = timezone.now() + signing_in.UNDELIVERED_AFTER
        assert signing_in.write_sign_in_mail(link_id=link.pk, at=later) is None


def test_where_there_is_a_broker_a_worker_sends_it(
    ada: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(current_app.conf, "task_always_eager", False)
    nudged: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "customers.portal.sign_in.nudge", lambda task, kind: nudged.append((task.name, kind))
    )
    for email in ("ada@fernwood.example", "nobody@fernwood.example"):
        ask(email)
    assert nudged == [("config.base.tasks.deliver_outbox", signing_in.MAIL)] * 2
    assert mail.outbox == []
    deliver_outbox(signing_in.MAIL)
    assert len(mail.outbox) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_pressed_many_times_at_once_it_signs_in_once() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL: set TEST_DATABASE_URL")
    person = door.contact(make.customer())
    url = make_sign_in_link(contact_id=person.pk, at=timezone.now(), actor=SYSTEM)
    token = url.rstrip("/").rsplit("/", 1)[-1]

    def press(_: int) -> bool:
        try:
            signing_in.sign_in_with_link(token=token, browser="", code="", at=timezone.now())
        except signing_in.LinkUnusable:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(press, range(16))) == 1
    assert PortalSession.objects.count() == 1


class TestALink:
    def test_looking_at_it_uses_nothing_up(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        path, _ = last_mail()
        for _ in range(3):
            assert client.head(path, follow=True).status_code == 200
            assert client.get(path, follow=True).status_code == 200
        assert client.post(path).status_code == 405
        assert SignInLink.objects.get().used_at is None
        assert enter(client, path).status_code == 302

    def test_it_opens_nothing_twice(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        path, code = last_mail()
        enter(client, path)
        assert enter(Client(), path, code=code).status_code == 410
        client.post("/portal/sign-out/")
        assert enter(client, path, code=code).status_code == 410

    def test_used_up_it_leads_whom_it_let_in_to_the_portal(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        path, _ = last_mail()
        enter(client, path)
        key = client.cookies["portal_session"].value
        for _ in range(2):
            assert client.get(path, follow=True).redirect_chain[-1] == (HOME, 302)
            assert enter(client, path).headers["Location"] == HOME
        assert client.cookies["portal_session"].value == key
        assert PortalSession.objects.count() == 1

    def test_anothers_dead_link_shows_the_way_back(self, ada: Contact) -> None:
        bob = door.contact(make.customer("brenner"), "bob@brenner.example")
        url = make_sign_in_link(contact_id=bob.pk, at=timezone.now(), actor=SYSTEM)
        path = url.removeprefix("http://127.0.0.1:8000")
        enter(Client(), path)
        opened = door.signed_in(ada).get(path, follow=True)
        assert opened.status_code == 410
        assert "Back to your usage" in opened.content.decode()

    def test_the_button_of_a_second_tab_leads_to_the_portal(self, ada: Contact) -> None:
        """The first tab's button made the second tab's form worthless."""
        client = Client(enforce_csrf_checks=True)
        url = make_sign_in_link(contact_id=ada.pk, at=timezone.now(), actor=SYSTEM)
        opened = client.get(url.removeprefix("http://127.0.0.1:8000"), follow=True)
        form = {"csrfmiddlewaretoken": str(opened.context["csrf_token"])}
        first, second = (client.post(f"{SIGN_IN}confirm/", form) for _ in range(2))
        assert [one.headers.get("Location") for one in (first, second)] == [HOME, HOME]
        assert PortalSession.objects.count() == 1

    def test_a_form_from_elsewhere_signs_nobody_else_in(self, ada: Contact) -> None:
        bob = door.contact(make.customer("brenner"), "bob@brenner.example")
        careful = Client(enforce_csrf_checks=True)
        careful.cookies = door.signed_in(ada).cookies
        url = make_sign_in_link(contact_id=bob.pk, at=timezone.now(), actor=SYSTEM)
        careful.get(url.removeprefix("http://127.0.0.1:8000"))
        assert careful.post(f"{SIGN_IN}confirm/").status_code == 403

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(
                lambda: SignInLink.objects.update(
                    created_at=timezone.now() - timedelta(minutes=16),
                    expires_at=timezone.now() - timedelta(minutes=1),
                ),
                id="its time is over",
            ),
            pytest.param(
                lambda: Contact.objects.update(email="new@fernwood.example"),
                id="the contact has another address now",
            ),
            pytest.param(lambda: Contact.objects.all().delete(), id="the contact is gone"),
        ],
    )
    def test_it_is_dead_once(self, ada: Contact, spoil: Any) -> None:
        client = Client()
        ask(ada.email, client)
        path, code = last_mail()
        spoil()
        assert enter(client, path).status_code == 410
        assert client.post(f"{SIGN_IN}sent/", {"code": code}).status_code in (400, 410)
        assert status(client) == 302

    def test_the_page_that_holds_the_token_tells_nobody(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        path, _ = last_mail()
        opened = client.get(path)
        assert opened.headers["Referrer-Policy"] == "no-referrer"
        assert opened.headers["Cache-Control"] == "private, no-store"
        assert opened.content == b""
        assert path.split("/")[-2] not in opened.headers["Location"]

    def test_nothing_in_the_database_opens_anything(self, ada: Contact) -> None:
        client = Client()
        ask(ada.email, client)
        path, code = last_mail()
        token = path.split("/")[-2]
        row = str(list(SignInLink.objects.values()) + list(Outbox.objects.values()))
        for secret in (token, code, code.replace("-", ""), client.cookies["portal_browser"].value):
            assert secret not in row

    def test_staff_make_one_that_works_anywhere_and_it_is_on_record(self, ada: Contact) -> None:
        url = make_sign_in_link(contact_id=ada.pk, at=timezone.now(), actor=SYSTEM)
        entry = AuditEntry.objects.get(action="made a sign-in link")
        assert entry.subject_name == ada.email
        assert url not in str(entry.changes)
        client = Client()
        assert enter(client, url.removeprefix("http://127.0.0.1:8000")).status_code == 302
        assert status(client) == 200

    @pytest.mark.parametrize("token", ["x", "a" * 43, "..", "%00", "ä" * 43])
    def test_what_is_no_token_leads_nowhere(self, token: str) -> None:
        opened = Client().get(f"{SIGN_IN}link/{token}/", follow=True)
        assert opened.status_code == 410


class TestGuessing:
    def test_five_codes_may_be_tried(self, ada: Contact) -> None:
        ask(ada.email)
        path, code = last_mail()
        elsewhere = Client()
        for _ in range(signing_in.GUESSES):
            assert enter(elsewhere, path, code="WRNG-WRNG").status_code == 400
        assert enter(elsewhere, path, code=code).status_code == 410
        assert status(elsewhere) == 302

    def test_who_asks_in_anothers_name_has_five_guesses_too(self, ada: Contact) -> None:
        attacker = Client()
        ask(ada.email, attacker)
        _, code = last_mail()
        for _ in range(signing_in.GUESSES):
            attacker.post(f"{SIGN_IN}sent/", {"code": "WRNG-WRNG"})
        assert attacker.post(f"{SIGN_IN}sent/", {"code": code}).status_code == 400
        assert status(attacker) == 302

    def test_a_hundred_thousand_guesses_come_to_nothing(self) -> None:
        """So many codes can be tried within a quarter of an hour, out of so many that there are."""
        tried = signing_in.ALTOGETHER.links * signing_in.GUESSES
        there_are = len(signing_in.CODE_LETTERS) ** signing_in.CODE_LENGTH
        assert tried < 100_000
        assert there_are / tried > 100_000_000


@pytest.fixture(params=["ada@fernwood.example", "nobody@fernwood.example"])
def address(request: pytest.FixtureRequest, ada: Contact) -> str:
    """A known address, and one that nobody has."""
    return str(request.param)


class TestEnumeration:
    def test_known_and_unknown_get_the_same_answer_by_the_same_work(self, ada: Contact) -> None:
        seen = []
        for email in ("ada@fernwood.example", "nobody@fernwood.example"):
            Outbox.objects.all().delete()
            client = Client()
            client.get(SIGN_IN)
            with CaptureQueriesContext(connection) as captured:
                signing_in.request_sign_in_link(
                    email=email, browser="b", network="192.0.2.1", at=timezone.now()
                )
            answer = ask(email, client)
            page = client.get(answer.headers["Location"])
            wrong = client.post(answer.headers["Location"], {"code": "WRNG-WRNG"})
            cookies = {name: dict(morsel) for name, morsel in client.cookies.items()}
            for morsel in cookies.values():
                morsel.pop("expires", None)
            seen.append(
                (
                    answer.status_code,
                    dict(answer.headers),
                    sorted(cookies),
                    page.content.partition(b"csrfmiddlewaretoken")[0],
                    wrong.status_code,
                    [query["sql"].split()[0] for query in captured],
                    list(Outbox.objects.values_list("kind", "status")),
                )
            )
        assert seen[0] == seen[1]

    def test_only_a_known_one_is_mailed(self, address: str) -> None:
        ask(address)
        assert len(mail.outbox) == (address == "ada@fernwood.example")

    def test_what_is_no_address_is_said_to_be_none(self) -> None:
        answer = ask("not an address")
        assert answer.status_code == 400
        assert b"That is no e-mail address" in answer.content
        assert not SignInLink.objects.exists()


class TestLimits:
    def test_of_an_address_known_or_not(self, address: str) -> None:
        for number in range(signing_in.PER_ADDRESS.links):
            assert ask(address, REMOTE_ADDR=f"192.0.2.{number}").status_code == 302
        refused = ask(address.upper(), REMOTE_ADDR="192.0.2.99")
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "900"
        assert b"Too many links were asked for" in refused.content
        assert ask("other@fernwood.example", REMOTE_ADDR="192.0.2.99").status_code == 302

    def test_of_a_network_whatever_it_forwards(self, ada: Contact) -> None:
        for number in range(signing_in.PER_NETWORK.links):
            ask(f"guess{number}@fernwood.example", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        assert ask(ada.email, HTTP_X_FORWARDED_FOR="203.0.113.1").status_code == 429

    def test_altogether(self, ada: Contact, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signing_in, "ALTOGETHER", signing_in.Limit(2, timedelta(minutes=15)))
        for number in range(2):
            ask(f"g{number}@x.example", REMOTE_ADDR=f"192.0.2.{number}")
        assert ask(ada.email, REMOTE_ADDR="192.0.2.50").status_code == 429

    def test_they_pass_with_time(self, ada: Contact) -> None:
        now = timezone.now()
        for _ in range(signing_in.PER_ADDRESS.links):
            signing_in.request_sign_in_link(email="a@b.example", browser="b", network="", at=now)
        with pytest.raises(signing_in.TooManyRequests):
            signing_in.request_sign_in_link(email="a@b.example", browser="b", network="", at=now)
        later = now + signing_in.PER_ADDRESS.within
        signing_in.request_sign_in_link(email="a@b.example", browser="b", network="", at=later)


class TestTheSession:
    def test_its_cookie_is_the_portals_own(self, ada: Contact) -> None:
        client = door.signed_in(ada)
        cookie = client.cookies["portal_session"]
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (HOME, True, "Lax")
        assert "sessionid" not in client.cookies
        assert client.get("/admin/").status_code == 302

    def test_it_is_secure_where_the_portal_is(self, ada: Contact, settings: Any) -> None:
        settings.SESSION_COOKIE_SECURE = True
        assert door.signed_in(ada).cookies["portal_session"]["secure"]

    def test_staff_are_no_contacts(self, admin_client: Client) -> None:
        assert status(admin_client) == 302

    def test_a_key_from_before_is_worth_nothing(self, ada: Contact) -> None:
        client = Client()
        client.cookies["portal_session"] = "chosen-by-somebody-else"
        door.signed_in(ada, client)
        first = client.cookies["portal_session"].value
        assert first != "chosen-by-somebody-else"
        door.signed_in(ada, client)
        replayed = Client()
        replayed.cookies["portal_session"] = first
        assert status(replayed) == 302

    def test_signed_out_its_key_opens_nothing(self, ada: Contact) -> None:
        client = door.signed_in(ada)
        replayed = Client()
        replayed.cookies["portal_session"] = client.cookies["portal_session"].value
        assert status(replayed) == 200
        client.post("/portal/sign-out/")
        assert (status(client), status(replayed)) == (302, 302)
        assert not PortalSession.objects.exists()

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(
                {"seen_at": timezone.now() - timedelta(hours=12, minutes=1)}, id="idle for 12 hours"
            ),
            pytest.param(
                {"created_at": timezone.now() - timedelta(days=7, minutes=1)}, id="7 days old"
            ),
        ],
    )
    def test_it_ends_by_itself(self, ada: Contact, end: dict[str, Any]) -> None:
        client = door.signed_in(ada)
        PortalSession.objects.update(**end)
        assert status(client) == 302
        assert signing_in.prune_sign_ins(at=timezone.now()) == 1

    def test_a_page_read_keeps_it_alive(self, ada: Contact) -> None:
        client = door.signed_in(ada)
        long_ago = timezone.now() - timedelta(hours=11)
        PortalSession.objects.update(seen_at=long_ago)
        assert status(client) == 200
        assert PortalSession.objects.get().seen_at > long_ago

    def test_it_ends_with_the_contact_or_its_address(self, ada: Contact) -> None:
        client = door.signed_in(ada)
        Contact.objects.update(email="eve@elsewhere.example")
        assert status(client) == 302
        Contact.objects.update(email=ada.email)
        assert status(client) == 200
        Contact.objects.all().delete()
        assert status(client) == 302

    def test_a_person_of_two_customers_chooses_and_switches(self, ada: Contact) -> None:
        door.contact(make.customer("brenner"), "ada@fernwood.example")
        other = door.contact(make.customer("foreign"), "bob@foreign.example")
        client = door.signed_in(ada)
        page = client.get("/portal/choose/")
        assert [choice["name"] for choice in page.context["choices"]] == ["Fernwood", "Brenner"]
        brenner = page.context["choices"][1]["contact"]
        assert client.post("/portal/choose/", {"contact": brenner}).status_code == 302
        assert b"Brenner" in client.get("/portal/account/").content
        for wrong in (other.pk, 999_999, "x", "", "9" * 30):
            assert client.post("/portal/choose/", {"contact": wrong}).status_code == 404
        assert b"Brenner" in client.get("/portal/account/").content


class TestLanguage:
    def test_it_is_the_customers_until_another_is_chosen(self, ada: Contact) -> None:
        client = door.signed_in(ada)
        assert client.get(HOME).headers["Content-Language"] == "en"
        answer = client.post("/portal/language/", {"language": "de", "back": "/portal/plan/"})
        assert answer.headers["Location"] == "/portal/plan/"
        page = client.get(HOME)
        assert page.headers["Content-Language"] == "de"
        assert '<html lang="de">' in page.content.decode()

    @pytest.mark.parametrize(
        "back", ["//evil.example", "https://evil.example", "/portal//evil", "/portal/\\evil", "/x"]
    )
    def test_it_leads_nowhere_else(self, ada: Contact, back: str) -> None:
        answer = door.signed_in(ada).post("/portal/language/", {"language": "de", "back": back})
        assert answer.headers["Location"] == HOME

    def test_the_door_follows_the_browser(self) -> None:
        page = Client().get(SIGN_IN, headers={"Accept-Language": "de-AT"})
        assert b"Link zuschicken" in page.content


def test_old_links_are_pruned(ada: Contact) -> None:
    ask(ada.email)
    now = timezone.now()
    assert signing_in.prune_sign_ins(at=now + timedelta(hours=23)) == 0
    assert signing_in.prune_sign_ins(at=now + timedelta(hours=25)) == 1
