"""What customers used: events, their corrections, quarantine, and measuring them exactly.

Owns every count. Does not know what usage costs (catalog) or whether a period was billed (billing).
"""
