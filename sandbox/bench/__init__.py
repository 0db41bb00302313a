"""What the product costs: senders, bodies and figures for the budgets."""
