from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from config.base.audit import SYSTEM
from config.base.services.api_keys import SCOPES, UnknownScope, create_api_key


class Command(BaseCommand):
    help = "Make an API key and print it, alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="who or what uses the key, such as gateway")
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            metavar="SCOPE",
            help=f"may be repeated, or several with commas: {', '.join(SCOPES)}",
        )
        parser.add_argument("--expires-in-days", type=int, metavar="N")

    def handle(
        self,
        *args: Any,
        name: str,
        scope: list[str],
        expires_in_days: int | None,
        **options: Any,
    ) -> None:
        scopes = [part.strip() for text in scope for part in text.split(",") if part.strip()]
        if not name.strip() or len(name) > 100:
            raise CommandError("Give the key a name of 1 to 100 characters.")
        if not scopes:
            raise CommandError(f"Name at least one scope: {', '.join(SCOPES)}.")
        if expires_in_days is not None and not 1 <= expires_in_days <= 36_500:
            raise CommandError("--expires-in-days takes 1 to 36500.")
        lasts = timedelta(days=expires_in_days) if expires_in_days else None
        try:
            key, text = create_api_key(
                name=name.strip(),
                scopes=scopes,
                expires_at=timezone.now() + lasts if lasts else None,
                actor=SYSTEM,
            )
        except UnknownScope as unknown:
            raise CommandError(str(unknown)) from unknown
        until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until revoked"
        self.stdout.write(f"{key.name} may use {', '.join(key.scopes)} {until}.")
        self.stdout.write("Send it as “Authorization: Bearer <key>”. It is shown this once:")
        self.stdout.write(text)
