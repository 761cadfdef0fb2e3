"""Electronic invoices: what is on the paper, as EN 16931 writes it for another machine.

Owns which invoices have an XML, what one must be able to say before it is issued, and its text: a
UN/CEFACT Cross Industry Invoice, which the PDF carries (Factur-X). Owns no amount: it writes down
the lines and totals that the invoice was frozen with.
"""
