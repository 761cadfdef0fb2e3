"""The tax on a line: a sale's treatment, and the rate of its country on its last day (R29)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from billing.calculation import Tax
from billing.models import InvoiceLine, TaxRate, TaxSubtotal
from billing.taxation import RATED, Buyer, Seller, Treatment, treat, vat_country
from catalog.models import RateCategory
from catalog.money import ZERO, plain
from config.base.errors import Refusal
from customers.models import Customer, Issuer
from customers.parties import COUNTRIES
from customers.vat_ids import is_valid_vat_id

_DAY = timedelta(days=1)
_NOT_TAXED = {RateCategory.EXEMPT: ("E", "Exempt from tax"), RateCategory.ZERO: ("Z", "Zero rated")}


class TaxRateMissing(Refusal):
    """No rate is known of a country, category and day, and none is guessed."""

    code = "tax_rate_missing"


@dataclass(frozen=True)
class Taxation:
    """How one issuer's sales to one customer are taxed, line by line.

    `rates` are the country's, by category; `own_rate` the issuer's own standard rate, None where
    the country is not its own.
    """

    treatment: Treatment
    own_rate: Decimal | None = None
    rates: Mapping[str, Sequence[TaxRate]] = field(default_factory=dict)
    _found: dict[tuple[str, date], Tax] = field(default_factory=dict, compare=False)

    @property
    def told(self) -> tuple[object, ...]:
        """All that it rests on, to compare two moments."""
        rates = [
            (category, one.valid_from, one.valid_until, plain(one.percent))
            for category, known in sorted(self.rates.items())
            for one in known
        ]
        own = None if self.own_rate is None else plain(self.own_rate)
        return (*self.treatment[:2], own, rates)

    def on(self, category: str, service_end: date) -> Tax:
        """Return the tax on a line of a rate category whose service ends before `service_end`.

        :raises TaxRateMissing: if the country has no rate for it on its last day.
        """
        key = category, service_end
        if key not in self._found:
            self._found[key] = self._tax(RateCategory(category), service_end - _DAY)
        return self._found[key]

    def _tax(self, category: RateCategory, day: date) -> Tax:
        where, basis = self.treatment.country, self.treatment.basis
        if self.treatment.category != RATED:
            return Tax(self.treatment.category, ZERO, self.treatment.reason, category, "", basis)
        if category in _NOT_TAXED:
            code, reason = _NOT_TAXED[category]
            basis = f"{basis} What is sold is {reason.lower()}."
            return Tax(code, ZERO, reason, category, where, basis)
        rate, whose = self._rate(category, day)
        basis = f"{basis} The {category.label.lower()} of {whose} applies."
        if not rate:
            return Tax("Z", ZERO, "Zero rated", category, where, basis)
        return Tax(RATED, rate, "", category, where, basis)

    def _rate(self, category: RateCategory, day: date) -> tuple[Decimal, str]:
        """Return the rate, and whose it is: the country's, or for the standard the issuer's own."""
        known = self.rates.get(category, ())
        country = COUNTRIES.get(self.treatment.country, "the seller’s country")
        for rate in known:
            if rate.holds_on(day):
                return rate.percent, country
        is_own = category == RateCategory.STANDARD and self.own_rate is not None
        if is_own and (self.own_rate or not known):
            return self.own_rate or ZERO, "the issuer"
        raise TaxRateMissing(
            f"No {category.label.lower()} of {country} is known for {day:%-d %B %Y}: enter it "
            "under “Tax rates”, then try again."
        )


def taxation(issuer: Issuer, customer: Customer) -> Taxation:
    """Return how one issuer's sales to one customer are taxed."""
    return taxations([(issuer, customer)])[issuer.pk, customer.pk]


def taxations(sales: Iterable[tuple[Issuer, Customer]]) -> dict[tuple[int, int], Taxation]:
    """Return how sales are taxed, by issuer and customer; one query, none where no country is known."""
    treatments = {
        (issuer.pk, customer.pk): (treatment_of(issuer, customer), issuer)
        for issuer, customer in sales
    }
    countries = {treatment.country for treatment, _ in treatments.values()} - {""}
    rates: dict[str, dict[str, list[TaxRate]]] = defaultdict(lambda: defaultdict(list))
    if countries:
        for rate in TaxRate.objects.filter(country__in=countries):
            rates[rate.country][rate.category].append(rate)
    return {
        key: Taxation(
            treatment,
            issuer.standard_tax_rate if treatment.country == issuer.country else None,
            rates.get(treatment.country, {}),
        )
        for key, (treatment, issuer) in treatments.items()
    }


def tax_of(line: InvoiceLine) -> Tax:
    """Return the tax that a line bears, which what is late or unused of it bears too (R29).

    Load its invoice's taxes.
    """
    key = line.tax_category, line.tax_rate
    [found] = [tax for tax in line.invoice.taxes.all() if (tax.category, tax.rate) == key]
    return kept_tax(found)


def kept_tax(kept: TaxSubtotal) -> Tax:
    """Return a tax as an invoice keeps it."""
    return Tax(kept.category, kept.rate, kept.reason, kept.rate_category, kept.country, kept.basis)


def treatment_of(issuer: Issuer, customer: Customer) -> Treatment:
    """Decide how an issuer's sales to a customer are taxed."""
    seller = Seller(
        issuer.name,
        issuer.country,
        issuer.vat_id,
        issuer.tax_status,
        issuer.uses_oss,
        issuer.tax_reason,
    )
    valid = vat_country(customer.vat_id) if is_valid_vat_id(customer.vat_id) else ""
    buyer = Buyer(customer.name, customer.country, valid, customer.tax_status, customer.tax_reason)
    return treat(seller, buyer, COUNTRIES)
