"""What every endpoint shares: strict bodies, API keys and scopes, problems, pages, idempotency.

Owns how a call is read and answered. Knows no resource.
"""
