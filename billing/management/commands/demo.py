"""The demo company: built once, shown every time."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import demo
from billing.demo import company, doors, papers, report
from billing.demo.story import LOGIN
from billing.typesetting import PdfEngineMissing
from config.base.errors import KeyTaken


class Command(BaseCommand):
    help = "Build a small demo company, bill its past months, and show where everything is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--serve", action="store_true", help="then run the server")
        parser.add_argument("--port", type=int, default=8000, help="to serve on (8000)")
        parser.add_argument(
            "--among-others",
            action="store_true",
            help="build it even if the database has other customers",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        if options["serve"] and _is_taken(port):
            raise CommandError(f"Port {port} is taken: choose another one, such as --port 8001.")
        call_command("migrate", verbosity=0)
        folder = Path(settings.DATA_DIR) / "demo"
        told = self._build(among_others=options["among_others"])
        refusal = self._write_papers(told, folder)
        self._show(told, folder, url=_address(port))
        if options["serve"]:
            self.stdout.write("\nServing it now; Ctrl+C stops the server.")
            self.stdout.flush()
            _serve(port)
        if refusal:
            raise CommandError(refusal)

    def _build(self, *, among_others: bool) -> demo.Told:
        try:
            return demo.build(now=timezone.now(), among_others=among_others, tell=self._tell)
        except demo.OtherCustomers as refusal:
            raise CommandError(f"{refusal} Use --among-others if that is what you want.") from None
        except KeyTaken as refusal:
            raise CommandError(f"{refusal} The demo needs it: use an empty database.") from None
        except ValidationError as refusal:
            raise CommandError(f"{' '.join(refusal.messages)} Use an empty database.") from None

    def _write_papers(self, told: demo.Told, folder: Path) -> str:
        """Write the PDFs; return what this machine lacks for it, said already, or nothing."""
        try:
            papers.write_papers(told, folder=folder, now=timezone.now(), tell=self._tell)
        except PdfEngineMissing as refusal:
            self._tell(str(refusal))
            return str(refusal)
        return ""

    def _show(self, told: demo.Told, folder: Path, *, url: str) -> None:
        name = company.ISSUER["name"]
        self._section(f"{name} on {told.day.day} {told.day:%B %Y}", report.overview(told))
        self._section("Invoiced so far", report.totals(told))
        self._section("Check one by hand", report.worked_example(told))
        self._section("Where everything is", _doors(folder, url=url))

    def _section(self, title: str, lines: Iterable[str]) -> None:
        self.stdout.write(f"\n{title}")
        for line in lines:
            self.stdout.write(line)

    def _tell(self, progress: str) -> None:
        """Say how far it is, apart from what is printed at the end."""
        self.stderr.write(f"  {progress}", str)
        self.stderr.flush()


def _doors(folder: Path, *, url: str) -> Iterator[str]:
    """Yield how to look at the demo from every side; make what that needs."""
    password, key = doors.administrator(folder), _shown(doors.api_key(folder))
    known = f"password {password}" if password else "see manage.py changepassword"
    yield f"  Admin       {url}/admin/   user {LOGIN}, {known}"
    links = _shown(doors.sign_in_links(folder, url=url, now=timezone.now()))
    yield f"  Portal      {url}/portal/   with a link of {links}"
    yield f"  Quarantine  {url}/admin/metering/quarantinedevent/"
    yield f"              {report.quarantine()}"
    yield f"  API         {url}/api/v1/docs"
    yield f'              curl -H "Authorization: Bearer $(cat {key})" \\'
    yield f"                '{url}/api/v1/customers/fernwood/usage?metric=api_calls'"
    yield f"  Invoices    {_shown(folder)}/   {len(list(folder.glob('*.pdf')))} PDFs"
    yield f"  Mails       {_shown(folder)}/mail/   {len(list((folder / 'mail').glob('*')))} sent to nobody"


def _shown(path: Path) -> str:
    """Write a path as seen from where the command was called, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _address(port: int) -> str:
    """Return where people reach the demo: where the settings say, or else this port."""
    return os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{port}").rstrip("/")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(port: int) -> None:
    """Become the server; it runs until it is interrupted."""
    server = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    os.environ["PUBLIC_URL"] = _address(port)
    os.execv(sys.executable, [*server, "--workers", "2", "--log-level", "warning"])
