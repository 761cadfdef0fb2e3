"""Late usage: what a closed period amounts to now beyond what was billed of it (R31).

Always a difference: the price of all that is measured now, under the period's own terms, less what
was billed and credited for it. So an event that committed too late for its close can't fall
between, nothing is settled twice, and what an invoice could not carry remains.
"""
