"""The command line: what it refuses is told in a line, without a traceback."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from billing.management.commands import close_periods


@pytest.mark.parametrize("text", ["garbage", "2026-12-01T02:00:00", "2026-11-31T02:00:00Z"])
def test_what_is_no_instant_is_an_error_of_usage(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        close_periods.Command().run_from_argv(["manage.py", "close_periods", "--as-of", text])
    assert left.value.code == 2
    assert f"--as-of: “{text}” is no time with an offset" in capsys.readouterr().err


def test_the_outbox_is_delivered_round_by_round(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [(100, 0), (0, 1), (0, 0)]
    clocks = []

    def deliver(*, at: Any, limit: int) -> tuple[int, int]:
        clocks.append(at)
        assert limit == 100
        return rounds.pop(0)

    monkeypatch.setattr("config.base.services.outbox.deliver_due", deliver)
    call_command("close_periods", stdout=StringIO())
    assert rounds == []
    assert len(set(clocks)) == 3
