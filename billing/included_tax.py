"""The tax that prices include, split off lines and coupons (R29).

Reads no table: it turns the prices of unsaved rows into gross and net.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from billing.calculation import Priced, TaxKey, without_tax
from billing.models import InvoiceAllowance, InvoiceLine
from catalog.money import EXACT, ZERO


def split_off_tax(
    lines: Sequence[InvoiceLine],
    allowances: Sequence[InvoiceAllowance],
    bases: Mapping[TaxKey, Decimal],
    *,
    exponent: int,
) -> None:
    """Give lines and allowances their nets, beside the gross that they are priced at.

    `bases` is what they come to without tax, by category and rate. It can be done anew, where others
    came beside them.
    """
    of_rate: dict[TaxKey, list[InvoiceAllowance]] = defaultdict(list)
    for allowance in allowances:
        allowance.gross = allowance.priced
        of_rate[allowance.tax_category, allowance.tax_rate].append(allowance)
    taken = {key: [_by_line(allowance) for allowance in alike] for key, alike in of_rate.items()}
    priced = [
        Priced(line.priced, key, tuple(one.get(line.position, ZERO) for one in taken.get(key, ())))
        for line in lines
        for key in [(line.tax_category, line.tax_rate)]
    ]
    split = without_tax(priced, bases, exponent=exponent)
    nets: dict[TaxKey, list[dict[int, Decimal]]] = {
        key: [{} for _ in alike] for key, alike in of_rate.items()
    }
    for line, one in zip(lines, split, strict=True):
        line.gross, line.net = line.priced, one.net
        for of_coupon, net in zip(
            nets.get((line.tax_category, line.tax_rate), ()), one.shares, strict=True
        ):
            of_coupon[line.position] = net
    for key, alike in of_rate.items():
        for allowance, by_line in zip(alike, nets[key], strict=True):
            _take_off(allowance, by_line)


def _by_line(allowance: InvoiceAllowance) -> dict[int, Decimal]:
    return {share["line"]: priced_share(share) for share in allowance.shares}


def priced_share(share: Mapping[str, str]) -> Decimal:
    """Return what a coupon takes off a line's price: with tax where that includes it."""
    return Decimal(share.get("gross", share["amount"]))


def _take_off(allowance: InvoiceAllowance, nets: Mapping[int, Decimal]) -> None:
    total, shares = ZERO, []
    for line, gross in _by_line(allowance).items():
        net = nets[line]
        total = EXACT.add(total, net)
        shares.append({"line": line, "amount": f"{net:f}", "gross": f"{gross:f}"})
    allowance.amount, allowance.shares = total, shares
