"""A crash of a page leaves its traceback on stderr, also without DEBUG."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CRASH = """
import django
django.setup()
from django.test import RequestFactory
from django.core.handlers.exception import response_for_exception
try:
    raise LookupError("the page broke")
except LookupError as error:
    assert response_for_exception(RequestFactory().get("/page"), error).status_code == 500
"""


def test_a_crash_is_told_once_with_its_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH],
        env={"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert " ERROR django.request: Internal Server Error: /page" in done.stderr
    assert done.stderr.count("LookupError: the page broke") == 1
