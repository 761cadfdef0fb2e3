"""Banks' statements as lines of money that came in: read from CSV or ISO 20022 camt.053.

Owns reading what a bank wrote. Whom a line is from and what it pays is `billing.services.importing`'s.
"""
