"""The admin of the floor: audit trail, API keys, outbox, staff; and the base of every other page."""

from config.base.admin import keys, outbox, sign_in, staff, trail_admin
from config.base.admin.audited import AuditedAdmin, Panel, PanelMaker, ReadOnlyAdmin

__all__ = [
    "AuditedAdmin",
    "Panel",
    "PanelMaker",
    "ReadOnlyAdmin",
    "keys",
    "outbox",
    "sign_in",
    "staff",
    "trail_admin",
]
