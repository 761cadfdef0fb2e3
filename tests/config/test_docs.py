"""The handbook says what the software does: its commands are run, its links and names resolve."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import Resolver404, resolve

from config.docs import PAGES
from tests.config import handbook
from tests.installation import ROOT, Installation, environment, free_port

pytestmark = pytest.mark.once

ADDRESS = "http://127.0.0.1:8000"
SLUGS = [page.slug for page in PAGES]
ALL = ["/docs/", *(f"/docs/{slug}/" for slug in SLUGS)]


def served(path: str) -> str:
    response = Client().get(path)
    assert response.status_code == 200, path
    return response.content.decode()


# What anybody sees


@pytest.mark.parametrize("path", ALL)
def test_a_page_is_public_strict_and_asks_no_database(path: str) -> None:
    response = Client().get(path, headers={"accept-language": "de"})
    assert response.status_code == 200
    assert response.headers["Content-Language"] == "en"
    assert "max-age=300" in response.headers["Cache-Control"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert not response.cookies
    page = response.content.decode()
    assert not re.search(r"\sstyle=|<style|<script(?![^>]+src=)|\son[a-z]+=", page)
    assert page.count("<h1") == 1


@pytest.mark.parametrize("path", ["/docs/nobody/", "/docs/finance/x"])
def test_a_page_that_is_not_there_is_404(path: str) -> None:
    assert Client().get(path).status_code == 404


def test_a_page_only_answers_reading() -> None:
    assert Client().post("/docs/finance/").status_code == 405


@pytest.mark.parametrize("slug", SLUGS)
def test_the_contents_list_leads_to_every_section(slug: str) -> None:
    page = served(f"/docs/{slug}/")
    listed = re.findall(r'<a href="#([a-z0-9-]+)">', page.partition("<h2")[0])
    sections = re.findall(r'<h2 id="([a-z0-9-]+)">', page)
    assert listed == sections
    assert len(set(sections)) == len(sections) >= 5
    assert page.count("<h2") == len(sections), "a section without an anchor"


# Names and links


def test_every_link_inside_resolves() -> None:
    anchors = {path: set(re.findall(r'id="([^"]+)"', served(path))) for path in ALL}
    for path in ALL:
        for target in re.findall(r'(?:href|src)="([^"]+)"', served(path)):
            if target.startswith(("https://", "mailto:")):
                continue
            place, _, anchor = target.partition("#")
            place = place or path
            if place.startswith("/static/"):
                assert finders.find(place.removeprefix("/static/")), target
                continue
            _resolves(place)
            if anchor:
                assert anchor in anchors[place], f"{path} links to {target}"


def test_every_font_of_the_style_sheet_is_there() -> None:
    sheet = Path(str(finders.find("docs/docs.css"))).read_text()
    fonts = re.findall(r'url\("\.\./([^"]+)"\)', sheet)
    assert fonts
    assert all(finders.find(font) for font in fonts)


def test_every_path_that_is_named_resolves() -> None:
    for path in ALL:
        for text in re.findall(r"<code>(.*?)</code>", served(path), re.DOTALL):
            for named in re.findall(r"(?:^|\s)(/(?:admin|portal|docs|api)/[^\s?]*)", text):
                _resolves(re.sub(r"\{[a-z]+\}", "00000000-0000-0000-0000-000000000000", named))


def _resolves(path: str) -> None:
    try:
        resolve(path)
    except Resolver404:
        pytest.fail(f"{path} is named, and leads nowhere")


def test_every_setting_that_is_named_exists_and_every_one_is_named() -> None:
    source = (ROOT / "config" / "settings.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source))
    table = served("/docs/operators/").partition('id="settings"')[2].partition("<h2")[0]
    named = re.findall(r'<th scope="row">(.*?)</th>', table, re.DOTALL)
    assert set(re.findall(r"<code>([A-Z_]+)</code>", " ".join(named))) == read


def test_every_management_command_that_is_named_exists() -> None:
    help_text = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for path in ALL:
        named = set(re.findall(r"manage\.py ([a-z_]+)", served(path)))
        assert named <= set(help_text.split()), path


@pytest.mark.parametrize("path", ["/docs/finance/", "/docs/customers/"])
def test_every_worked_sum_adds_up(path: str) -> None:
    tables = re.findall(r'<table class="sums">(.*?)</table>', served(path), re.DOTALL)
    assert tables
    for table in tables:
        *rows, total = [
            re.findall(r"<td>(.*?)</td>", row, re.DOTALL)[-3:]
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
        ]
        for quantity, price, amount in rows:
            each, _, per = price.partition(" per ")
            assert _number(quantity) * _number(each) / _number(per or "1") == _number(amount), price
        for place in (0, 2):
            assert sum(_number(row[place]) for row in rows) == _number(total[place])


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


# Commands


@pytest.mark.parametrize("path", ALL)
def test_every_block_is_a_command_or_what_one_answers(path: str) -> None:
    for attributes, text in handbook.blocks(served(path)):
        assert attributes.keys() & {"data-run", "data-answer", "data-file"}, text


def test_the_integrators_commands_do_what_the_page_says(demo: Installation, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        _missing("curl is missing")
    now = datetime.now(UTC)
    if now.day == 1 and now.hour < 2:
        pytest.skip("last month is not closed before an hour has gone by")
    page = served("/docs/integrators/").replace(ADDRESS, demo.url)
    _run(handbook.commands(page), env=demo.env, folder=tmp_path)


@pytest.mark.postgresql
@pytest.mark.broker
def test_the_operators_commands_set_up_save_and_restore_an_installation(tmp_path: Path) -> None:
    """Its own role, databases, folders and port stand in for the ones that the page names."""
    server = urlsplit(os.environ.get("TEST_DATABASE_URL", ""))
    broker = os.environ.get("TEST_BROKER_URL", "")
    if not server.scheme.startswith("postgres") or not broker:
        _missing("production is set up where TEST_DATABASE_URL and TEST_BROKER_URL are given")
    name, place = f"handbook{os.getpid()}", f"{server.hostname}:{server.port or 5432}"
    stand_ins = {
        "sh config/install.sh": "sh -n config/install.sh",  # on a clean checkout, the gate runs it
        "sudo -u postgres ": "",
        "/var/lib/plainbill": f"{tmp_path}/lib",
        "/var/backups/plainbill": f"{tmp_path}/backups",
        "/etc/plainbill.env": f"{tmp_path}/env",
        "127.0.0.1:8000": f"127.0.0.1:{free_port()}",
        "@127.0.0.1/": f"@{place}/",
        "redis://127.0.0.1:6379/0": broker,
        "rediscache://127.0.0.1:6379/1": broker.replace("redis:", "rediscache:"),
        "plainbill": name,
    }
    page = served("/docs/operators/")
    for named, stand_in in stand_ins.items():
        page = page.replace(named, stand_in)
    user = {"PGHOST": server.hostname or "", "PGPORT": str(server.port or 5432)}
    user |= {"PGUSER": server.username or "", "PGPASSWORD": server.password or ""}
    env = environment(tmp_path) | user | {"PGDATABASE": "postgres"}
    listed = [one for one in handbook.commands(page) if "data-on" not in one.attributes]
    try:
        _run(listed, env=env, folder=tmp_path)
        with psycopg.connect(server._replace(path=f"/{name}_restored").geturl()) as restored:
            assert restored.execute("SELECT username FROM auth_user").fetchall() == [("admin",)]
    finally:
        with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as admin:
            for database in (name, f"{name}_restored"):
                admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            admin.execute(f'DROP ROLE IF EXISTS "{name}"')


def test_the_demo_contradicts_nothing_that_must_always_hold(demo: Installation) -> None:
    assert "FAIL" not in demo.manage("audit")


def test_a_sqlite_database_is_copied_while_it_is_served(demo: Installation, tmp_path: Path) -> None:
    page = served("/docs/operators/").replace("/var/backups/plainbill", str(tmp_path))
    [copying] = [one for one in handbook.commands(page) if one.attributes.get("data-on")]
    _run([copying], env=demo.env, folder=tmp_path)
    with closing(sqlite3.connect(tmp_path / "plainbill.sqlite3")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM billing_invoice").fetchone() > (0,)


def test_the_units_start_what_the_page_started(tmp_path: Path) -> None:
    page = served("/docs/operators/")
    started = [one.text for one in handbook.commands(page) if "data-until" in one.attributes]
    [unit] = [
        text for shown, text in handbook.blocks(page) if "service" in shown.get("data-file", "")
    ]
    [line] = re.findall("^ExecStart=/srv/plainbill/(.+)$", unit, re.MULTILINE)
    assert line in started


def _run(listed: list[handbook.Command], *, env: dict[str, str], folder: Path) -> None:
    ran = handbook.run(listed, env=env, folder=folder)
    for command, done in zip(listed, ran, strict=True):
        refused = command.attributes.get("data-status")
        for status in done.statuses:
            assert status == int(refused) if refused else status < 400, (command.text, done.output)
        for shown in command.answers:
            assert handbook.differs(shown, done.output) == "", command.text


def _missing(reason: str) -> NoReturn:
    """Skip; where everything is promised to be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


# The reader of answers itself


@pytest.mark.parametrize(
    ("shown", "output", "agrees"),
    [
        pytest.param('{"a": "1"}', '{"a": "1", "b": 2}', True, id="fields may be left out"),
        pytest.param('{"a": "1"}', '{"a": "2"}', False, id="another value"),
        pytest.param('{"a": "1"}', '{"b": "1"}', False, id="a field that is not there"),
        pytest.param('{"a": "…", "b": […]}', '{"a": 1, "b": [2, 3]}', True, id="anything"),
        pytest.param('{"a": ["1"]}', '{"a": ["1", "2"]}', False, id="one item more"),
        pytest.param('{"a": "2026-10-03"}', '{"a": "2027-01-31"}', True, id="another date"),
        pytest.param('{"a": null}', '{"a": null}', True, id="null is shown as null"),
        pytest.param('{"b": 1}', '{"a": 1} {"b": 1}', True, id="the last of two answers"),
        pytest.param("2 rows: … kept", "x\n2 rows: 2 kept\n", True, id="a line among others"),
        pytest.param("2 rows", "3 rows", False, id="no such line"),
    ],
)
def test_answers_are_compared(shown: str, output: str, agrees: bool) -> None:
    assert (handbook.differs(shown, output) == "") == agrees
