"""The demo company: built once, shown every time."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import demo
from billing.documents import PdfEngineMissing, document_path, store_document
from billing.models import Invoice
from catalog import wording
from catalog.drafts import drafts_of, price_value
from catalog.models import PlanVersion, Price
from catalog.money import exponent
from catalog.pricing import Rated, rate

LOGIN = "demo"


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
        try:
            invoices = demo.build(now=timezone.now(), whatever_is_there=options["among_others"])
        except demo.OtherCustomers as refusal:
            raise CommandError(f"{refusal} Use --among-others if that is what you want.") from None
        password = _login()
        self._show_plan()
        self._show_invoices(invoices)
        self._print_invoices(invoices)
        self._show_doors(port, password)
        if options["serve"]:
            self.stdout.flush()
            _serve(port)

    def _show_plan(self) -> None:
        version = PlanVersion.objects.with_prices().get(plan__key=demo.PLAN, number=1)
        self.stdout.write(f"\nPlan {version.plan}, version {version.number}, published:\n")
        for price in version.prices.all():
            self._show_price(price, version)

    def _show_price(self, price: Price, version: PlanVersion) -> None:
        [draft] = drafts_of([price])
        value, decimals = price_value(draft), exponent(version.currency)
        unit = price.metric.unit if price.metric else ""
        plural = price.metric.unit_plural if price.metric else ""
        rule = wording.describe(
            value, unit=unit, unit_plural=plural, exponent=decimals, locale="en"
        )
        self.stdout.write(f"  {price.name}: {rule}")
        quantity = Decimal({"calls": "187340", "storage": "82.5"}.get(price.key, "1"))
        rated = rate(value, quantity, exponent=decimals)
        for step in rated.steps:
            label = wording.label(
                step,
                unit=unit,
                unit_plural=plural,
                locale="en",
                over=bool(value.included),
                exponent=decimals,
            )
            times = wording.price_text(wording.unit_price(step.unit_amount, decimals, "en"), "en")
            self.stdout.write(
                f"      {label:<32}{wording.number(step.quantity, 'en'):>10} × {times:<16}"
                f"{wording.amount(step.amount, decimals, 'en'):>10}"
            )
        self.stdout.write(f"      {_total(rated, version.currency):>71}\n")

    def _show_invoices(self, invoices: list[Invoice]) -> None:
        self.stdout.write("Invoices")
        heads = ("number", "customer", "issued", "net", "tax", "total")
        self.stdout.write("  {:<17}{:<22}{:<12}{:>10}{:>10}{:>10}".format(*heads))
        for invoice in sorted(invoices, key=lambda one: one.number or "~"):
            amounts = (invoice.net_total, invoice.tax_total, invoice.total)
            places = exponent(invoice.currency)
            net, tax, total = (wording.amount(a, places, "en") for a in amounts)
            self.stdout.write(
                f"  {invoice.number or 'draft':<17}{invoice.customer.name:<22}"
                f"{str(invoice.issue_date or '-'):<12}{net:>10}{tax:>10}{total:>10} {invoice.currency}"
            )

    def _print_invoices(self, invoices: list[Invoice]) -> None:
        folder = Path(settings.DATA_DIR) / "demo"
        folder.mkdir(exist_ok=True)
        try:
            for invoice in invoices:
                if invoice.number:
                    stored = document_path(store_document(invoice.pk).sha256)
                    shutil.copyfile(stored, folder / f"{invoice.number}.pdf")
        except PdfEngineMissing as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"  as PDF in {folder}/\n")

    def _show_doors(self, port: int, password: str) -> None:
        url = f"http://127.0.0.1:{port}"
        self.stdout.write(
            f"\nAdmin   {url}/admin/   sign in as {LOGIN} with the password {password}\n"
            f"API     {url}/api/v1/docs   make a key: "
            ".venv/bin/python manage.py create_api_key NAME --scope catalog:read\n"
        )


def _total(rated: Rated, currency: str) -> str:
    return f"{wording.amount(rated.amount, rated.exponent, 'en')} {currency}"


def _login() -> str:
    """Make the demo's administrator once; its password is kept where only the owner can read it."""
    kept = Path(settings.DATA_DIR) / "demo-password"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(9))
    password = kept.read_text()
    if not User.objects.filter(username=LOGIN).exists():
        User.objects.create_superuser(LOGIN, "demo@northlight.example", password)
    return password


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(port: int) -> None:
    """Become the server; it runs until it is interrupted."""
    server = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    os.execv(sys.executable, [*server, "--workers", "2", "--log-level", "warning"])
