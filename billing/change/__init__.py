"""Why an invoice differs from the last one: from both invoices' rows to drivers that add up.

Owns which invoices are compared and how their difference is told apart. Words are `presentation`'s.
"""

from billing.change.decomposition import Change, Charge, Driver, DriverKind, decompose
from billing.change.reading import change_of

__all__ = ["Change", "Charge", "Driver", "DriverKind", "change_of", "decompose"]
