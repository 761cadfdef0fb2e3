"""manage.py import_usage: any CSV, once, with every refused row named."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from metering.models import QuarantinedEvent, UsageEvent
from tests import factories as make

pytestmark = pytest.mark.django_db
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
FIRST = "2023-11-16 18:17:03.9799600,4808,10"
SECOND = "2023-11-16 18:17:04.0319600,3180,8"


@pytest.fixture(autouse=True)
def acme() -> Any:
    make.metric("input", event_type="llm.request", value_property="input_tokens")
    return make.customer("acme")


def run(file: Path, *arguments: str, subject: str = "acme") -> tuple[str, str]:
    """Import a file as llm.request of acme; return what was written and what was complained of."""
    out, err = StringIO(), StringIO()
    options = ["--type", "llm.request", "--subject", subject, "--time-column", "TIMESTAMP"]
    values = ["--value", "ContextTokens=input_tokens", "--value", "GeneratedTokens=output_tokens"]
    call_command("import_usage", str(file), *options, *values, *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def refused(file: Path, *arguments: str, subject: str = "acme") -> tuple[str, str]:
    """Import a file that has a fault; return the refusal and what was complained of before."""
    err = StringIO()
    options = ["--type", "llm.request", "--subject", subject, "--time-column", "TIMESTAMP"]
    with pytest.raises(CommandError) as refusal:
        call_command(
            "import_usage", str(file), *options, "--value", "ContextTokens=input_tokens",
            *arguments, stdout=StringIO(), stderr=err,
        )  # fmt: skip
    return str(refusal.value), err.getvalue()


def csv(tmp_path: Path, *lines: str, name: str = "usage.csv", end: str = "\n") -> Path:
    file = tmp_path / name
    file.write_bytes(end.join(lines).encode())
    return file


def stored() -> list[tuple[str, dict[str, Any]]]:
    return [(event.time.isoformat(), event.data) for event in UsageEvent.objects.all()]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"{HEADER}\n{FIRST}\n{SECOND}\n", id="as it comes"),
        pytest.param(f"{HEADER}\n{FIRST}\n{SECOND}", id="no newline at the end"),
        pytest.param(f"\ufeff{HEADER}\r\n{FIRST}\r\n{SECOND}\r\n", id="as Excel writes it"),
        pytest.param(f"{HEADER}\n\n{FIRST}\n\n{SECOND}\n\n", id="blank lines"),
        pytest.param(f'{HEADER}\n"2023-11-16 18:17:03.97996","4808","10"\n{SECOND}', id="quoted"),
        pytest.param(f"{HEADER}\n{FIRST}\n2023-11-16T19:17:04.03196+01:00,3180,8", id="an offset"),
    ],
)
def test_each_row_is_an_event(tmp_path: Path, content: str) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes(content.encode())
    out, err = run(file)
    assert "2 rows: 2 kept, 0 duplicates, 0 quarantined, 0 conflicts, 0 refused" in out
    assert err == ""
    assert stored() == [
        ("2023-11-16T18:17:03.979960+00:00", {"input_tokens": 4808, "output_tokens": 10}),
        ("2023-11-16T18:17:04.031960+00:00", {"input_tokens": 3180, "output_tokens": 8}),
    ]


def test_importing_again_changes_nothing_and_added_rows_count(tmp_path: Path) -> None:
    run(csv(tmp_path, HEADER, FIRST, FIRST))
    out, _ = run(csv(tmp_path, HEADER, FIRST, FIRST, SECOND))
    assert "3 rows: 1 kept, 2 duplicates" in out
    assert UsageEvent.objects.count() == 3


def test_two_files_of_one_name_both_count(tmp_path: Path) -> None:
    run(csv(tmp_path, HEADER, FIRST))
    out, _ = run(csv(tmp_path, HEADER, SECOND))
    assert "1 rows: 1 kept" in out
    assert {event.source for event in UsageEvent.objects.all()} == {"import:usage.csv"}


def test_the_same_file_for_another_customer_is_told_as_a_conflict(tmp_path: Path) -> None:
    make.customer("globex")
    file = csv(tmp_path, HEADER, FIRST)
    run(file)
    out, _ = run(file, subject="globex")
    assert "1 conflicts" in out
    assert "--source" in out
    out, _ = run(file, "--source", "globex", subject="globex")
    assert "1 kept" in out


def test_ids_of_its_own_survive_rows_that_move(tmp_path: Path) -> None:
    run(csv(tmp_path, f"{HEADER},Id", f"{FIRST},a", f"{SECOND},b"), "--id-column", "Id")
    out, _ = run(csv(tmp_path, f"{HEADER},Id", f"{SECOND},b", f"{FIRST},a"), "--id-column", "Id")
    assert "0 kept, 2 duplicates" in out
    assert {event.event_id for event in UsageEvent.objects.all()} == {"a", "b"}


def test_what_is_good_is_kept_and_the_rest_named_by_line_and_column(tmp_path: Path) -> None:
    file = csv(
        tmp_path,
        HEADER,
        FIRST,
        "2023-11-16 18:17:04,many,1",
        "yesterday,1,1",
        "2023-11-16 18:17:04,1",
        "2023-11-16 18:17:05,,7",
        SECOND,
    )
    refusal, err = refused(file)
    complaints = err.splitlines()
    assert "line 3, column ContextTokens: “many” is no number" in complaints[0]
    assert "line 4, column TIMESTAMP: “yesterday” is no time" in complaints[1]
    assert "line 5: It has 2 columns where the first line has 3." in complaints[2]
    assert "line 6" in complaints[3]
    assert "quarantined, missing_value" in complaints[3]
    assert str(file) in complaints[0]
    assert "3 rows were refused" in refusal
    assert UsageEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("lines", "arguments", "message"),
    [
        pytest.param([], [], "“TIMESTAMP” is not there", id="an empty file"),
        pytest.param(["a,b", "1,2"], [], "Its columns: a, b", id="other columns"),
        pytest.param([HEADER, FIRST], ["--value", "Nope=x"], "“Nope” is not there", id="unknown"),
        pytest.param(
            ["TIMESTAMP,ContextTokens,ContextTokens", "x,1,2"], [], "twice", id="a column twice"
        ),
        pytest.param([HEADER, FIRST], ["--id-column", "Id"], "“Id”", id="no such id column"),
        pytest.param([HEADER, FIRST], ["--value", "=x"], "COLUMN=property", id="no column named"),
        pytest.param([HEADER], ["--time-zone", "Mars"], "not a time zone", id="no such zone"),
        pytest.param([HEADER], ["--delimiter", ";;"], "one character", id="a long delimiter"),
    ],
)
def test_with_a_wrong_column_or_option_nothing_is_imported(
    tmp_path: Path, lines: list[str], arguments: list[str], message: str
) -> None:
    refusal, _ = refused(csv(tmp_path, *lines), *arguments)
    assert message in refusal
    assert not UsageEvent.objects.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refusal, _ = refused(tmp_path / "nope.csv")
    assert "nope.csv can't be read: No such file" in refusal


def test_bytes_that_are_no_text_stop_it_and_say_where(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes(f"{HEADER}\n{FIRST}\n".encode() + b"\xff\xfe,1,1\n")
    refusal, _ = refused(file)
    assert "Line 3 of the file is not UTF-8" in refusal
    assert "Rows before it: 1 imported." in refusal
    assert len(stored()) == 1


def test_every_row_before_such_bytes_is_kept_and_every_refused_one_counted(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    rows = [FIRST] * 6000 + ["yesterday,1,1"]
    file.write_bytes("\n".join([HEADER, *rows, ""]).encode() + "1,é,1\n".encode("latin-1"))
    refusal, complaints = refused(file)
    assert "Line 6003 of the file is not UTF-8" in refusal
    assert "Rows before it: 6,000 imported and 1 refused." in refusal
    assert "line 6002" in complaints
    assert UsageEvent.objects.count() == 6000


def test_such_bytes_in_the_first_line_are_in_line_1(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes("TIMESTAMP,Größe\n".encode("latin-1"))
    refusal, _ = refused(file)
    assert "Line 1 of the file is not UTF-8" in refusal
    assert "Nothing was imported." in refusal


def test_letters_beyond_ascii_are_read(tmp_path: Path) -> None:
    run(csv(tmp_path, f"{HEADER},Größe €", f"{FIRST},😀"))
    assert len(stored()) == 1


def test_an_unknown_customer_is_said_before_reading(tmp_path: Path) -> None:
    refusal, _ = refused(csv(tmp_path, HEADER, FIRST), subject="nobody")
    assert "There is no customer “nobody”" in refusal
    assert "POST /api/v1/customers" in refusal
    assert not QuarantinedEvent.objects.exists()


def test_or_its_usage_waits_in_quarantine_until_it_is_created(tmp_path: Path) -> None:
    file = csv(tmp_path, HEADER, FIRST)
    out, _ = run(file, "--quarantine-unknown", subject="globex")
    assert "1 quarantined" in out
    make.customer("globex")
    out, _ = run(file, subject="globex")
    assert "1 rows: 1 kept" in out
    assert QuarantinedEvent.objects.get().status == "replayed"


def test_local_times_and_texts_are_read(tmp_path: Path) -> None:
    file = csv(tmp_path, "TIMESTAMP;ContextTokens;Model", "2026-07-01 00:30:00;1.50;m-large")
    out = StringIO()
    call_command(
        "import_usage", str(file), "--type", "llm.request", "--subject", "acme",
        "--time-column", "TIMESTAMP", "--value", "ContextTokens=input_tokens",
        "--text", "Model=model", "--time-zone", "Europe/Berlin", "--delimiter", ";", stdout=out,
    )  # fmt: skip
    [event] = UsageEvent.objects.all()
    assert event.time.isoformat() == "2026-06-30T22:30:00+00:00"
    assert {name: str(value) for name, value in event.data.items()} == {
        "input_tokens": "1.5",
        "model": "m-large",
    }


def test_more_rows_than_a_transaction_holds(tmp_path: Path) -> None:
    rows = (f"2023-11-16 18:17:{n % 60:02d},{n},1" for n in range(5001))
    out, _ = run(csv(tmp_path, HEADER, *rows))
    assert "5,001 rows: 5,001 kept" in out
