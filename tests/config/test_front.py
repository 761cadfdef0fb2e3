"""The address itself leads each reader to their door; what is nowhere says so in its own look."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import resolve

from tests import factories as make
from tests.customers import door
from tests.staff import said


def test_the_front_page_is_public_strict_and_asks_no_database() -> None:
    answer = Client().get("/", headers={"accept-language": "de"})
    assert (answer.status_code, answer.headers["Content-Language"]) == (200, "en")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|<script>", answer.content.decode())


@pytest.mark.parametrize(
    "path", ["/portal/", "/admin/", "/docs/", "/docs/integrators/", "/api/v1/docs"]
)
def test_the_front_page_leads_to_each_door(path: str) -> None:
    main = Client().get("/").content.decode().partition("<main")[2].partition("</main>")[0]
    assert f'href="{path}"' in main
    assert resolve(path)


def test_the_front_page_takes_no_post() -> None:
    assert Client().post("/").status_code == 405


@pytest.mark.parametrize(
    ("path", "look", "leads_to"),
    [
        pytest.param("/nope", "docs/docs.css", "/", id="nowhere at all"),
        pytest.param("/docs/nope/", "docs/docs.css", "/docs/", id="no page of the handbook"),
        pytest.param("/portal/nope/", "portal/portal.css", "/portal/", id="nothing in the portal"),
        pytest.param("/portal/terms/no/1/", "portal/portal.css", "/portal/", id="no such terms"),
    ],
)
@pytest.mark.django_db
def test_what_is_nowhere_has_the_look_of_its_place(path: str, look: str, leads_to: str) -> None:
    answer = Client().get(path)
    page = answer.content.decode()
    main = page.partition("<main")[2].partition("</main>")[0]
    assert answer.status_code == 404
    assert "There is nothing here" in main
    assert look in page
    assert f'href="{leads_to}"' in main
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.django_db
def test_who_is_signed_in_stays_so_where_nothing_is() -> None:
    client = door.signed_in(door.contact(make.customer(locale="de-DE")))
    answer: Any = client.get("/portal/nope/")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Hier ist nichts" in said(answer)
    assert "Rechnungen" in said(answer)


@pytest.mark.django_db
def test_nowhere_in_the_api_is_a_problem() -> None:
    answer = Client().get("/api/v1/nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
