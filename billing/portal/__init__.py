"""What a customer reads in the portal: usage, what is coming, invoices, the plan, the account."""
