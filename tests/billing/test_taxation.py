"""Where a sale is taxed: one sentence per row, the seller's status first, a stated one next."""

from __future__ import annotations

import pytest

from billing.taxation import Buyer, Seller, Treatment, treat, vat_country
from customers.parties import COUNTRIES

pytestmark = pytest.mark.once

OSS = "by the One-Stop-Shop"


def decided(seller: str, buyer: str) -> Treatment:
    """Read "DE [no VAT ID] [OSS] [status]" and "country or - [VAT ID's country] [status]"."""
    country, *words = seller.split()
    statuses = [word for word in words if word.islower()]
    sells = Seller(
        "We",
        country.replace("-", ""),
        "" if "NOID" in words else "DE1",
        statuses[0] if statuses else "standard",
        "OSS" in words,
    )
    country, *words = buyer.split()
    stated = [word for word in words if word.islower()]
    ids = [word for word in words if word.isupper()]
    buys = Buyer(
        "They", country.replace("-", ""), ids[0] if ids else "", *(stated or ["automatic"])
    )
    return treat(sells, buys, COUNTRIES)


@pytest.mark.parametrize(
    ("seller", "buyer", "expected"),
    [
        pytest.param("DE", "DE", "S DE", id="a consumer at home"),
        pytest.param("DE", "DE DE", "S DE", id="a business at home"),
        pytest.param("DE", "FR FR", "AE", id="a business in another member state"),
        pytest.param("DE", "GR GR", "AE", id="a Greek business"),
        pytest.param("DE", "- FR", "AE", id="a business that only its VAT ID places"),
        pytest.param("DE", "- DE", "S DE", id="a business that its VAT ID places at home"),
        pytest.param("DE", "FR", "S DE", id="a consumer abroad, without the One-Stop-Shop"),
        pytest.param("DE OSS", "FR", "S FR", id="a consumer abroad, by the One-Stop-Shop"),
        pytest.param("DE OSS", "FR FR", "AE", id="a business abroad, whatever the One-Stop-Shop"),
        pytest.param("DE OSS", "DE", "S DE", id="a consumer at home, whatever the One-Stop-Shop"),
        pytest.param("DE", "FR DE", "S DE", id="in France with a VAT ID of the seller's country"),
        pytest.param("DE", "AT FR", "AE", id="in Austria with a French VAT ID"),
        pytest.param("DE", "US", "O", id="outside the EU"),
        pytest.param("DE", "US FR", "O", id="outside the EU, with a VAT ID of it"),
        pytest.param("DE", "GB", "O", id="the United Kingdom left"),
        pytest.param("DE", "CH", "O", id="Switzerland never was a member"),
        pytest.param("DE", "NO", "O", id="nor was Norway"),
        pytest.param("DE", "-", "S DE", id="nowhere known counts as home"),
        pytest.param("-", "FR FR", "S ", id="a seller that is nowhere taxes as at home"),
        pytest.param("US", "US", "S US", id="at home outside the EU"),
        pytest.param("US", "FR FR", "O", id="into the EU from outside"),
        pytest.param("US", "FR", "O", id="to a consumer in the EU from outside"),
        pytest.param("US OSS", "FR", "S FR", id="… who uses the One-Stop-Shop"),
        pytest.param("US OSS", "FR FR", "O", id="… to a business"),
        pytest.param("US", "CH", "O", id="outside of the EU altogether"),
        pytest.param("DE", "FR FR standard", "S DE", id="stated: taxed, though abroad"),
        pytest.param("DE", "US standard", "S DE", id="stated: taxed, though outside"),
        pytest.param("DE", "DE exempt", "E", id="stated: exempt, though at home"),
        pytest.param("DE", "FR FR out_of_scope", "O", id="stated: out of scope"),
        pytest.param("DE", "DE DE reverse_charge", "AE", id="stated: reverse charge at home"),
        pytest.param("DE exempt", "FR FR", "E", id="an exempt seller charges nobody"),
        pytest.param("DE exempt", "DE reverse_charge", "E", id="… so there is none to reverse"),
        pytest.param("DE exempt", "DE out_of_scope", "E", id="… nor to be out of the scope of"),
        pytest.param("DE out_of_scope", "DE", "O", id="a seller out of scope"),
        pytest.param("DE out_of_scope", "FR FR", "O", id="… abroad"),
        pytest.param("DE out_of_scope", "DE exempt", "O", id="… to somebody exempt"),
    ],
)
def test_place_of_supply(seller: str, buyer: str, expected: str) -> None:
    found = decided(seller, buyer)
    said = f"{found.category} {found.country}" if found.category == "S" else found.category
    assert said == expected
    assert found.basis.endswith(".")
    assert bool(found.reason) is (found.category != "S")
    assert not found.lacks


@pytest.mark.parametrize(
    ("seller", "buyer", "words"),
    [
        pytest.param("DE", "FR reverse_charge", "valid VAT ID of They: enter it", id="the buyer's"),
        pytest.param("DE NOID", "FR FR", "VAT ID of We: enter it on the issuer", id="the seller's"),
        pytest.param(
            "DE NOID", "FR FR reverse_charge", "VAT ID of We", id="the seller's, though stated"
        ),
    ],
)
def test_a_reverse_charge_lacks_a_vat_id(seller: str, buyer: str, words: str) -> None:
    assert words in decided(seller, buyer).lacks


@pytest.mark.parametrize(
    ("seller", "buyer", "words"),
    [
        ("DE", "DE", "both in Germany"),
        ("DE", "FR FR", "a business in France by its VAT ID"),
        ("DE", "FR", "does not use the One-Stop-Shop: taxed in Germany"),
        ("DE OSS", "FR", OSS),
        ("DE", "US", "in United States, outside the EU"),
        ("DE", "-", "No country is known of They"),
        ("DE exempt", "DE", "We charges no tax to anybody: exempt from tax"),
        ("DE", "DE exempt", "The tax status of They says so: exempt from tax"),
    ],
)
def test_says_why(seller: str, buyer: str, words: str) -> None:
    assert words in decided(seller, buyer).basis


@pytest.mark.parametrize(
    ("vat_id", "country"),
    [
        ("DE136695976", "DE"),
        ("de136695976", "DE"),
        ("EL094259216", "GR"),
        ("GR094259216", ""),
        ("XI123456789", ""),
        ("CHE123456789", ""),
        ("123456789", ""),
        ("", ""),
    ],
)
def test_whose_vat_id(vat_id: str, country: str) -> None:
    assert vat_country(vat_id) == country
