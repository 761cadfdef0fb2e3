"""The command line: what it refuses is told in a line, without a traceback."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import demo, documents
from billing.management.commands import close_periods
from billing.management.commands import demo as demo_command
from tests.billing.paper import invoice


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


def test_a_demo_without_pango_shows_its_table_and_says_why(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: int) -> None:
        raise documents.PdfEngineMissing("apt-get install libpangoft2-1.0-0")

    monkeypatch.setattr(demo, "build", lambda **_: [invoice()])
    monkeypatch.setattr(demo_command, "store_document", missing)
    monkeypatch.setattr(demo_command.Command, "_show_plan", lambda self: None)
    out = StringIO()
    with pytest.raises(CommandError, match="apt-get install"):
        call_command("demo", stdout=out)
    assert "INV-2026-000117" in out.getvalue()
    assert "784.10 EUR" in out.getvalue()
