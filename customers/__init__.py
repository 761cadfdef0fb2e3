"""Who buys from whom, on which terms: issuers, customers, contacts, subscriptions and their periods.

Owns the calendar of a subscription: anchors, boundaries, proration. Does not know what was
used (metering) or what is owed (billing).
"""
