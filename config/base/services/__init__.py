"""The floor's use cases: API keys, idempotency, the outbox."""
