"""Who may import whom: the contracts hold, and each would notice a breach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PACKAGES = ("billing", "catalog", "config", "customers", "metering")

BREACHES = [
    pytest.param(
        "catalog/querysets.py",
        "import customers.models",
        "apps",
        id="the catalog learns who its customers are",
    ),
    pytest.param(
        "config/base/audit.py",
        "import billing.models",
        "apps",
        id="the floor leans on the roof's beams",
    ),
    pytest.param(
        "billing/services/closing.py",
        "import billing.tasks",
        "kinds",
        id="a service knows its task",
    ),
    pytest.param(
        "customers/models.py",
        "import customers.services",
        "kinds",
        id="a model does what services do",
    ),
    pytest.param(
        "catalog/pricing/rating.py",
        "import django.conf",
        "values",
        id="rating reads a setting",
    ),
    pytest.param(
        "config/base/charts.py",
        "import django.utils.timezone",
        "charts",
        id="a chart asks the clock",
    ),
]


def lint(directory: Path, *contracts: str) -> int:
    """Check contracts, by default all, in a copy of the project; return the exit code."""
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *chosen],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        check=False,
    )
    return done.returncode


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "static", "fonts", "locale")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def test_the_house_keeps_its_contracts(copy: Path) -> None:
    assert lint(copy) == 0


@pytest.mark.parametrize(("module", "line", "contract"), BREACHES)
def test_a_breach_is_noticed(copy: Path, module: str, line: str, contract: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert lint(copy, contract) == 1
