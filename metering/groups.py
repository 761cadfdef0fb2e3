"""What each role may do with usage: events are read, the quarantine is worked off."""

from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT, Grants, may

_READ = may("view", "usageevent quarantinedevent")
_WORK = [*_READ, "change_quarantinedevent", "add_eventadjustment"]

GRANTS: Grants = {FINANCE: _WORK, FINANCE_LEAD: _WORK, SUPPORT: _READ, DEVELOPER: _WORK}
