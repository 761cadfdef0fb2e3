"""What we sell: value metrics, plans, their versions and prices, and the one rating function.

Owns the meaning of a price and of a published version. Does not know who bought what
(customers), what was used (metering) or what is owed (billing).
"""
