"""How the tests get in: through the doors that people use."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import Page

from tests.installation import Installation

_MARA = """
from django.utils import timezone
from config.base.audit import SYSTEM
from customers.models import Contact, Customer
from customers.services import add_contact
if not Contact.objects.filter(email="{email}").exists():
    customer = Customer.objects.get(key="fernwood")
    add_contact(contact=Contact(customer=customer, name="Mara Lind", email="{email}"), actor=SYSTEM)
"""


def into_the_portal(
    page: Page, demo: Installation, *, email: str = "mara@fernwood.example"
) -> None:
    """Sign a contact of Fernwood in, by the link of the mail that the form sends."""
    demo.manage("shell", "--no-imports", "-c", _MARA.format(email=email))
    page.goto(f"{demo.url}/portal/")
    earlier = set((demo.folder / "mail").glob("*"))
    page.fill("input[name=email]", email)
    page.click("main button[type=submit]")
    page.goto(_link_in_mail(demo, to=email, apart_from=earlier))
    page.click("main button[type=submit]")
    page.wait_for_url(f"{demo.url}/portal/")


def _link_in_mail(demo: Installation, *, to: str, apart_from: set[Path]) -> str:
    """Return the link of the mail to an address, once it is there."""
    for _ in range(100):
        for mail in set((demo.folder / "mail").glob("*")) - apart_from:
            text = mail.read_text()
            if f"To: {to}" in text and (found := re.search(r"https?://\S+/link/\S+", text)):
                return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no mail with a link came to {to}")


def into_the_admin(page: Page, demo: Installation) -> None:
    """Sign the demo's administrator in, with the password in the demo's file."""
    page.goto(f"{demo.url}/admin/")
    page.fill("input[name=username]", "demo")
    page.fill("input[name=password]", Path(demo.folder / "demo/password.txt").read_text().strip())
    page.click("button[type=submit]")
    page.wait_for_selector("#nav-sidebar, nav")
