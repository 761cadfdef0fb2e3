"""Prices that fit on a line of a test table.

    tiers("1000 @ 0.010, 10000 @ 0.008 + 5, rest @ 0.005")
    price("graduated | included 100000 | tiers 50000 @ 0.002, rest @ 0.0015 | min 5 | off 10%")

The first word is the model; each further part is a word and its value: `included`, `tiers`,
`at` (a unit amount), `size` (of a package), `min`, `max`, `off`, `scale`, and `seats` alone
for a price without a metric.
"""

from decimal import Decimal as D

from catalog.pricing import MODELS, Flat, Graduated, Package, PerUnit, Price, Tier, Volume


def tiers(text: str) -> tuple[Tier, ...]:
    """Read "bound @ unit price + flat fee, …, rest @ unit price"."""
    return tuple(_tier(part) for part in text.split(","))


def price(text: str) -> Price:
    name, *parts = (part.strip() for part in text.split("|"))
    words = dict((part.split(maxsplit=1) + [""])[:2] for part in parts)
    read = Price(
        model=_model(name, words),
        included=D(words.pop("included", "0")),
        minimum=_optional(words.pop("min", None)),
        maximum=_optional(words.pop("max", None)),
        discount_percent=D(words.pop("off", "0%").removesuffix("%")),
        metered=name != "flat" and words.pop("seats", None) is None,
        scale=int(words.pop("scale", "0")),
    )
    assert not words, f"unknown words in {text!r}: {words}"
    return read


def _model(name: str, words: dict[str, str]) -> Flat | PerUnit | Graduated | Volume | Package:
    model = MODELS[name]
    if model is Graduated or model is Volume:
        return model(tiers(words.pop("tiers")))
    if model is Package:
        return model(D(words.pop("at")), D(words.pop("size")))
    assert model is Flat or model is PerUnit
    return model(D(words.pop("at")))


def _tier(text: str) -> Tier:
    bound, _, amounts = text.partition("@")
    unit_amount, _, flat_amount = amounts.partition("+")
    up_to = None if bound.strip() == "rest" else D(bound.strip())
    return Tier(up_to, D(unit_amount.strip()), D(flat_amount.strip() or "0"))


def _optional(text: str | None) -> D | None:
    return None if text is None else D(text)
