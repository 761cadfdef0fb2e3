"""The floor every app stands on: audit trail, API keys, idempotency, outbox, exact decimals.

Owns what has no business word in it. Knows none of the apps above.
"""
