"""French as it is set: with narrow no-break spaces, in every text of the project."""

from __future__ import annotations

import re

import pytest

from billing.portal import words as portal
from billing.presentation import credit_words, mail_words
from billing.presentation import words as papers
from catalog import plan_terms_words, wording
from catalog.typography import set_in_french
from customers import words as door

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("plain", "set_"),
    [
        pytest.param("Prix : 5", "Prix\u202f: 5", id="before a colon"),
        pytest.param("Sûr ? Oui !", "Sûr\u202f? Oui\u202f!", id="before ? and !"),
        pytest.param("un ; deux", "un\u202f; deux", id="before a semicolon"),
        pytest.param("« oui »", "«\u202foui\u202f»", id="inside guillemets"),
        pytest.param("à 12:30, oui.", "à 12:30, oui.", id="not within a time"),
        pytest.param("{name} : {value}", "{name}\u202f: {value}", id="around what is filled in"),
    ],
)
def test_french_is_set(plain: str, set_: str) -> None:
    assert set_in_french({"key": plain}) == {"key": set_}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(plan_terms_words.WORDS["fr"], id="plan terms"),
        pytest.param(wording.WORDS["fr"], id="steps"),
        pytest.param(papers.WORDS["fr"], id="papers"),
        pytest.param(credit_words.CREDIT_WORDS["fr"], id="credit notes"),
        pytest.param(mail_words.MAIL_WORDS["fr"], id="mails"),
        pytest.param(portal.of("fr"), id="the portal"),
        pytest.param(door.of("fr"), id="its door"),
    ],
)
def test_no_french_text_has_a_plain_space_there(words: dict[str, str]) -> None:
    wrong = re.compile(r"[ \u00a0][;:?!»]|«[ \u00a0]|[^\s\u202f][;?!»](?!\w)|«[^\u202f]")
    assert {key: text for key, text in words.items() if wrong.search(text)} == {}
