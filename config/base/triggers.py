"""The floor's guards."""

from config.base.guards import append_only

GUARDS = append_only("base_auditentry", name="audit_entry")
