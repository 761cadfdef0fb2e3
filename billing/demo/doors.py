"""How the demo is entered: its administrator, its API key. Secrets stay in files of their owner."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.contrib.auth.models import User

from billing.demo.story import LOGIN
from config.base.audit import SYSTEM
from config.base.models import ApiKey
from config.base.services.api_keys import SCOPES, create_api_key

PASSWORD_FILE, KEY_FILE = "password.txt", "api-key.txt"


def administrator(folder: Path) -> str:
    """Return the password of the demo's administrator, who is made once.

    Empty if there is somebody of that name whose password is not kept here.
    """
    kept = folder / PASSWORD_FILE
    if not User.objects.filter(username=LOGIN).exists():
        password = secrets.token_urlsafe(9)
        User.objects.create_superuser(LOGIN, "demo@northlight.example", password)
        _keep(kept, password)
    return kept.read_text().strip() if kept.exists() else ""


def api_key(folder: Path) -> Path:
    """Return the file that holds an API key of every scope; made anew if it is lost or revoked."""
    kept = folder / KEY_FILE
    prefix = kept.read_text().split("_")[1] if kept.exists() else ""
    if not ApiKey.objects.filter(prefix=prefix, revoked_at=None).exists():
        _, text = create_api_key(name=LOGIN, scopes=SCOPES, expires_at=None, actor=SYSTEM)
        _keep(kept, text)
    return kept


def _keep(path: Path, secret: str) -> None:
    """Write a secret that only its owner can read, even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
