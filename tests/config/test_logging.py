"""A crash of a page leaves its traceback on stderr, also without DEBUG; a wrong host, one line."""

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

WRONG_HOST = """
import django
django.setup()
from django.test import Client
for path in ("/", "/portal/", "/admin/", "/api/v1/customers", "/docs/"):
    assert Client().get(path, headers={"host": "evil.example"}).status_code == 400, path
"""


def told(script: str, folder: Path) -> str:
    """Run a script under the settings as they are installed; return what it logs."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(folder)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def test_a_crash_is_told_once_with_its_traceback(tmp_path: Path) -> None:
    log = told(CRASH, tmp_path)
    assert " ERROR django.request: Internal Server Error: /page" in log
    assert log.count("LookupError: the page broke") == 1


def test_a_wrong_host_is_a_line_and_no_error_of_ours(tmp_path: Path) -> None:
    lines = told(WRONG_HOST, tmp_path).splitlines()
    assert len(lines) == 5, lines
    for line in lines:
        assert " WARNING django.security.DisallowedHost: Invalid HTTP_HOST header" in line
