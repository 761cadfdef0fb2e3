"""What customers owe: periods closed into invoices whose every amount explains itself.

Owns billing periods, invoices and money. Prices come from catalog, terms from customers,
quantities from metering; nothing imports billing but the roof.
"""
