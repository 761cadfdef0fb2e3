"""How many six-tier graduated evaluations one core makes in a second, with and without labels.

    python tests/benchmarks/rate.py

The quantities spread evenly over the six tiers, and every row is labelled in the second figure.
Runs three times and takes the middle one; ends with a line per figure, and with exit status 1 if
one is below its target. The target is absolute, so it stands where a reference would.
"""

import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import product
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from catalog.pricing import Graduated, Price, Tier, rate
from catalog.wording import label

BOUNDS = [1_000, 10_000, 50_000, 250_000, 1_000_000, None]
UNIT_AMOUNTS = ["0.0100", "0.0085", "0.0070", "0.0055", "0.0040", "0.0031"]
PRICE = Price(
    Graduated(
        tuple(
            Tier(None if bound is None else Decimal(bound), Decimal(unit_amount))
            for bound, unit_amount in zip(BOUNDS, UNIT_AMOUNTS, strict=True)
        )
    ),
    included=Decimal(500),
)
EVALUATIONS = 60_000
TARGETS = {"rate": 100_000, "rate_with_labels": 40_000}


def quantities() -> Iterator[Decimal]:
    """Give as many quantities for each tier, all different, with two decimals."""
    lower = [0, *(bound for bound in BOUNDS if bound is not None)]
    upper = [*lower[1:], 5_000_000]
    each = EVALUATIONS // len(lower)
    for n, (low, high) in product(range(1, each + 1), zip(lower, upper, strict=True)):
        yield PRICE.included + low + (Decimal(high - low) * n / each).quantize(Decimal("0.01"))


def rate_all(used: list[Decimal]) -> None:
    for quantity in used:
        rate(PRICE, quantity, exponent=2)


def rate_and_label_all(used: list[Decimal]) -> None:
    for quantity in used:
        for step in rate(PRICE, quantity, exponent=2).steps:
            label(step, unit="token", unit_plural="tokens", locale="de-DE", over=True, exponent=2)


def per_second(run: Callable[[list[Decimal]], None], used: list[Decimal]) -> float:
    start = time.perf_counter()
    run(used)
    return len(used) / (time.perf_counter() - start)


def main() -> int:
    used = list(quantities())
    rows = sum(len(rate(PRICE, quantity, exponent=2).steps) for quantity in used)
    print(f"{len(used):,} evaluations, {rows / len(used):.1f} rows each, three runs")
    speeds: dict[str, list[float]] = {name: [] for name in TARGETS}
    for _ in range(3):
        for name, run in (("rate", rate_all), ("rate_with_labels", rate_and_label_all)):
            speeds[name].append(per_second(run, used))
            print(f"  {name}: {speeds[name][-1]:,.0f}")
    ratios = []
    for name, target in TARGETS.items():
        speed = median(speeds[name])
        ratios.append(speed / target)
        figures = f"ratio={speed / target:.2f} product={speed:.0f} reference={target}"
        print(f"{name} {figures} (evaluations/s)")
    return 0 if min(ratios) >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
