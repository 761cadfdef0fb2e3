"""API keys: made once and shown once, recognised by a hash, revoked at once.

A key reads `pb_<prefix>_<secret>`: the prefix is public and finds the row, the secret proves it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import Q

from config.base.audit import Actor, record, state
from config.base.models import ApiKey

SCOPES = tuple(
    f"{area}:{verb}"
    for area in ("events", "catalog", "customers", "billing")
    for verb in ("read", "write")
)
_KEY = re.compile(r"\Apb_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")
_NO_HASH = "0" * 64
_STAMP_EVERY = timedelta(minutes=1)
_TRUSTED_FOR = timedelta(seconds=2)
_MOST_TRUSTED = 1000
_trusted: dict[str, tuple[ApiKey, datetime]] = {}


class UnknownScope(ValueError):
    """A scope that no endpoint asks for."""


@transaction.atomic
def create_api_key(
    *, name: str, scopes: Iterable[str], expires_at: datetime | None, actor: Actor
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is stored nowhere.

    :raises UnknownScope: listing the scopes there are.
    """
    wanted = set(scopes)
    if unknown := sorted(wanted - set(SCOPES)):
        raise UnknownScope(f"Unknown scope {', '.join(unknown)}. Choose from {', '.join(SCOPES)}.")
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        name=name,
        prefix=prefix,
        secret_hash=_hashed(secret),
        scopes=[scope for scope in SCOPES if scope in wanted],
        expires_at=expires_at,
    )
    record(
        actor=actor,
        action="created",
        subject=key,
        changes={field: [None, value] for field, value in state(key).items() if value is not None},
    )
    return key, f"pb_{prefix}_{secret}"


@transaction.atomic
def revoke_api_key(*, key_id: int, at: datetime, actor: Actor) -> ApiKey:
    """Make a key useless from now on; a revoked one stays as it is."""
    key = ApiKey.objects.select_for_update().get(pk=key_id)
    if key.revoked_at is None:
        key.revoked_at = at
        key.save(update_fields=["revoked_at"])
        record(
            actor=actor,
            action="revoked",
            subject=key,
            changes={"revoked_at": [None, at.isoformat()]},
        )
    _trusted.clear()
    return key


def recognise(text: str, *, at: datetime) -> ApiKey | None:
    """Return the key that `text` is, or None if it is unknown, expired or revoked.

    Takes as long for an unknown prefix as for a wrong secret. Notes the use, once a minute.
    """
    prefix, secret = match.groups() if (match := _KEY.match(text)) else ("", "")
    key = ApiKey.objects.filter(prefix=prefix).first()
    matches = hmac.compare_digest(_hashed(secret), key.secret_hash if key else _NO_HASH)
    if key is None or not matches or key.revoked_at is not None:
        return None
    if key.expires_at is not None and key.expires_at <= at:
        return None
    _stamp(key, at=at)
    return key


def recognise_again(text: str, *, at: datetime) -> ApiKey | None:
    """Do as `recognise`, without asking the database about a key it knew in the last two seconds.

    For calls that come by the hundred. The process that revokes a key refuses it at once, others
    two seconds later at most; an expired key is refused at its instant.
    """
    hashed = _hashed(text)
    key, since = _trusted.get(hashed, (None, at))
    if key is None or not timedelta() <= at - since < _TRUSTED_FOR:
        key, since = recognise(text, at=at), at
    if key is None or (key.expires_at is not None and key.expires_at <= at):
        _trusted.pop(hashed, None)
        return None
    if len(_trusted) >= _MOST_TRUSTED:
        _trusted.clear()
    _trusted[hashed] = key, since
    return key


def _stamp(key: ApiKey, *, at: datetime) -> None:
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - _STAMP_EVERY)
    if key.last_used_at is None or key.last_used_at <= at - _STAMP_EVERY:
        try:
            ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=at)
        except OperationalError:
            return  # a busy database: the stamp is not worth a failed call


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
