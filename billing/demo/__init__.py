"""A small believable company to look at: founded, used, billed month by month, and told of.

Everything goes through the services that people and integrations use; only the clock is the
story's own.
"""

from billing.demo.story import OtherCustomers, Told, build

__all__ = ["OtherCustomers", "Told", "build"]
