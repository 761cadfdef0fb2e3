"""Crediting an invoice: what is left of each line, and what crediting some of it comes to (R32) [pure].

Amounts are what lines were priced at after coupons: net, or with tax where the invoice's prices
include it. They are rounded to the currency's exponent, and have the sign of their line:
of a line that is negative on the invoice, less than nothing is credited. So a credit of all that is
left is the whole invoice, to the cent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from billing.calculation import (
    Priced,
    Tax,
    Taxed,
    TaxKey,
    add_up,
    creditable,
    included_tax,
    without_tax,
)
from catalog.money import EXACT, ZERO, exponent, plain, round_half_up
from config.base.errors import Fault, Invalid, Path, Refusal


class MoreThanCreditable(Refusal):
    """More was to be credited than is left of a line, of what is taxed alike, or of the invoice."""

    code = "more_than_creditable"


class NothingToCredit(Refusal):
    """What is left, or what was asked for, comes to nothing."""

    code = "nothing_to_credit"


class Creditable(NamedTuple):
    """A line as far as it can be credited.

    `worth` is what it came to after its share of coupons, `credited` what notes took of it and `left`
    what they still can: less than the difference where another invoice credits some of it.
    """

    line_id: int
    description: str
    tax: TaxKey
    worth: Decimal
    credited: Decimal
    left: Decimal
    quantity: Decimal
    quantity_credited: Decimal = ZERO

    @property
    def units_left(self) -> Decimal:
        """The units that can be credited: none of a line over nothing, or over less than that."""
        left = EXACT.subtract(self.quantity, self.quantity_credited)
        return left if self.left > 0 and left > 0 else ZERO


class Taken(NamedTuple):
    """The tax of one category and rate on an invoice, and what notes took back of it so far."""

    base: Decimal
    amount: Decimal
    credited_base: Decimal = ZERO
    credited_amount: Decimal = ZERO

    def whole(self, *, include_tax: bool) -> Decimal:
        """Return what all lines of it came to, as they are priced."""
        return EXACT.add(self.base, self.amount) if include_tax else self.base

    def credited(self, *, include_tax: bool) -> Decimal:
        """Return what notes took of that so far."""
        taxed = self.credited_amount if include_tax else ZERO
        return EXACT.add(self.credited_base, taxed)

    def amount_of(
        self, credited: Decimal, rate: Decimal, places: int, *, include_tax: bool
    ) -> Decimal:
        """Return the tax on all that is credited: by the rate, never above the invoice's.

        Of all of it, the invoice's own, however that was rounded.
        """
        if credited == self.whole(include_tax=include_tax):
            return self.amount
        if include_tax:
            tax = included_tax(credited, rate, exponent=places)
        else:
            tax = round_half_up(Fraction(credited) * Fraction(rate) / 100, places)
        return min(tax, self.amount) if self.amount >= 0 else max(tax, self.amount)


class Asked(NamedTuple):
    """What is to be credited of a line: an amount, or units; `path` is where a caller said so."""

    line_id: int
    amount: Decimal | None = None
    quantity: Decimal | None = None
    path: Path = ()


class Part(NamedTuple):
    """What is credited of a line, and of how many units, where units were asked for or all are.

    `net` is the amount without tax.
    """

    of: Creditable
    amount: Decimal
    quantity: Decimal | None
    net: Decimal = ZERO


class TaxPart(NamedTuple):
    """What is credited of one tax category and rate."""

    tax: TaxKey
    base: Decimal
    amount: Decimal


@dataclass(frozen=True)
class Credit:
    """What a credit note comes to."""

    parts: list[Part]
    taxes: list[TaxPart]

    @property
    def net(self) -> Decimal:
        return add_up(part.net for part in self.parts)

    @property
    def tax(self) -> Decimal:
        return add_up(tax.amount for tax in self.taxes)

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.net, self.tax)


@dataclass(frozen=True)
class Book:
    """An issued invoice, and what credit notes took of it so far."""

    currency: str
    total: Decimal
    credited: Decimal
    lines: Sequence[Creditable]
    taxes: dict[TaxKey, Taken]
    include_tax: bool = False
    """Whether its lines are priced with tax."""

    @property
    def left(self) -> Decimal:
        """What a credit of all that is left would come to, tax included; 0 where nothing is."""
        try:
            return self.credit(None).total
        except Refusal:
            return ZERO

    def line(self, line_id: int) -> Creditable | None:
        return next((one for one in self.lines if one.line_id == line_id), None)

    def credit(self, asked: Sequence[Asked] | None) -> Credit:
        """Return what crediting these parts comes to; None: all that is left.

        :raises Invalid: for what can't be read as a part of a line of this invoice.
        :raises MoreThanCreditable: if a line, its tax or the invoice has not so much left.
        :raises NothingToCredit: if it comes to nothing.
        """
        parts = list(self._all_left()) if asked is None else list(self._asked(asked))
        taxes = list(self._taxes(parts))
        credit = Credit(self._without_tax(parts, taxes), taxes)
        if asked is None and credit.total <= 0:
            raise NothingToCredit("Nothing is left to credit of this invoice.")
        if credit.total <= 0:
            raise NothingToCredit(
                "This comes to nothing: a credit note takes something off what is owed."
            )
        left = EXACT.subtract(self.total, self.credited)
        if credit.total > left:
            raise MoreThanCreditable(
                f"This comes to {self._said(credit.total)} with tax, and of the invoice "
                f"{self._said(left)} is left to credit: credit less, or its negative lines too."
            )
        return credit

    def at_most(self, asked: Sequence[Asked]) -> list[Asked]:
        """Return these amounts as far as they can be credited together, each what those before leave.

        Without those of which nothing can. They name different lines, of which more than 0 is asked.
        """
        kept: list[Asked] = []
        for one in asked:
            line = self.line(one.line_id)
            assert one.amount is not None
            amount = min(one.amount, line.left) if line else ZERO
            if line and amount > 0:
                amount = creditable(
                    self._taxed_beside(kept),
                    amount,
                    Tax(*line.tax),
                    exponent=self._places,
                    include_tax=self.include_tax,
                )
            while amount > 0 and not self._bears([*kept, one._replace(amount=amount)]):
                amount = EXACT.subtract(amount, Decimal(1).scaleb(-self._places))
            if amount > 0:
                kept.append(one._replace(amount=amount))
        return kept

    def _taxed_beside(self, kept: Sequence[Asked]) -> list[Taxed]:
        """Return what is left of each category and rate once these are credited, as if it were a line."""
        left = {
            key: EXACT.subtract(
                taken.whole(include_tax=self.include_tax),
                taken.credited(include_tax=self.include_tax),
            )
            for key, taken in self.taxes.items()
        }
        for one in kept:
            line = self.line(one.line_id)
            assert line is not None
            assert one.amount is not None
            left[line.tax] = EXACT.subtract(left[line.tax], one.amount)
        return [Taxed(amount, Tax(*key)) for key, amount in left.items()]

    def _bears(self, asked: Sequence[Asked]) -> bool:
        """Say whether so much can be credited: tax is rounded on all that was credited so far."""
        try:
            self.credit(asked)
        except MoreThanCreditable:
            return False
        return True

    @property
    def _places(self) -> int:
        return exponent(self.currency)

    def _all_left(self) -> Iterator[Part]:
        for line in self.lines:
            if line.left:
                has_units = line.worth > 0 and line.quantity > 0
                is_whole = has_units and line.left == line.worth
                yield Part(line, line.left, line.quantity if is_whole else None)

    def _asked(self, asked: Sequence[Asked]) -> Iterator[Part]:
        if faults := list(self._faults(asked)):
            raise Invalid(faults)
        places = exponent(self.currency)
        for one in asked:
            line = self.line(one.line_id)
            assert line is not None
            if not line.left and line.worth:
                told = f"Nothing of “{line.description}” is left to credit."
                raise MoreThanCreditable(told, path=one.path)
            amount = one.amount if one.quantity is None else _worth(line, one, places)
            assert amount is not None
            if abs(amount) > abs(line.left):
                tax = "with tax" if self.include_tax else "before tax"
                raise MoreThanCreditable(
                    f"Of “{line.description}” {self._said(line.left)} is left to credit, {tax}: "
                    "credit no more than that.",
                    path=(*one.path, self._named),
                )
            if not amount:
                raise NothingToCredit(
                    f"So little of “{line.description}” comes to nothing.", path=one.path
                )
            yield Part(line, amount, one.quantity)

    def _faults(self, asked: Sequence[Asked]) -> Iterator[Fault]:
        seen: set[int] = set()
        if not asked:
            yield Fault(("lines",), "required", "Say what to credit, or leave it out: all of it.")
        for one in asked:
            line = self.line(one.line_id)
            if line is None:
                told = "This invoice has no such line."
                yield Fault((*one.path, "line"), "unknown_line", told)
                continue
            if line.line_id in seen:
                yield Fault((*one.path, "line"), "twice", "Name each line once.")
            seen.add(line.line_id)
            if (one.amount is None) == (one.quantity is None):
                told = f"Say either the {self._named} amount to credit or the quantity."
                yield Fault(one.path, f"{self._named}_or_quantity", told)
            elif one.amount is not None:
                yield from self._faults_of_amount(one, line)
            elif one.quantity is not None and one.quantity <= 0:
                yield Fault((*one.path, "quantity"), "not_positive", "Enter more than 0.")

    def _faults_of_amount(self, one: Asked, line: Creditable) -> Iterator[Fault]:
        assert one.amount is not None
        places, path = exponent(self.currency), (*one.path, self._named)
        if round_half_up(one.amount, places) != one.amount:
            yield Fault(path, "too_fine", f"{self.currency} has {places} decimals.")
        elif line.worth < 0 < one.amount:
            told = (
                f"This line is negative, and so is what is credited of it: write -{one.amount:f}."
            )
            yield Fault(path, "wrong_sign", told)
        elif not one.amount or one.amount < 0 <= line.worth:
            yield Fault(path, "not_positive", "Enter more than 0.")

    @property
    def _named(self) -> str:
        """What the amounts are, as a caller writes them."""
        return "gross" if self.include_tax else "net"

    def _taxes(self, parts: Sequence[Part]) -> Iterator[TaxPart]:
        """Tax what is credited per category and rate, less what earlier notes took (R32)."""
        places = exponent(self.currency)
        for key, taken in self.taxes.items():
            credited = add_up(part.amount for part in parts if part.of.tax == key)
            if not any(part.of.tax == key for part in parts):
                continue
            whole = taken.whole(include_tax=self.include_tax)
            after = EXACT.add(taken.credited(include_tax=self.include_tax), credited)
            if not min(whole, ZERO) <= after <= max(whole, ZERO):
                category, rate = key
                raise MoreThanCreditable(
                    f"Of what is taxed with {category} {plain(rate)} % the invoice has "
                    f"{self._said(whole)} in all: credit less, or its negative lines too."
                )
            due = taken.amount_of(after, key[1], places, include_tax=self.include_tax)
            tax = EXACT.subtract(due, taken.credited_amount)
            base = EXACT.subtract(credited, tax) if self.include_tax else credited
            yield TaxPart(key, base, tax)

    def _without_tax(self, parts: Sequence[Part], taxes: Sequence[TaxPart]) -> list[Part]:
        """Give parts their nets, which add up to the bases of the taxes (R29)."""
        if not self.include_tax:
            return [part._replace(net=part.amount) for part in parts]
        priced = [Priced(part.amount, part.of.tax) for part in parts]
        bases = {tax.tax: tax.base for tax in taxes}
        split = without_tax(priced, bases, exponent=self._places)
        return [part._replace(net=one.net) for part, one in zip(parts, split, strict=True)]

    def _said(self, amount: Decimal) -> str:
        return f"{round_half_up(amount, exponent(self.currency)):f} {self.currency}"


def _worth(line: Creditable, one: Asked, places: int) -> Decimal:
    """Return what units of a line come to, rounded once; the last of them, all that is left.

    :raises MoreThanCreditable: if there are not so many.
    """
    assert one.quantity is not None
    if one.quantity > line.units_left:
        raise MoreThanCreditable(
            f"Of “{line.description}” {plain(line.units_left)} can still be credited by quantity: "
            "credit no more than that, or an amount.",
            path=(*one.path, "quantity"),
        )
    if one.quantity == line.units_left:
        return line.left
    exact = Fraction(line.worth) * Fraction(one.quantity) / Fraction(line.quantity)
    return min(round_half_up(exact, places), line.left)
