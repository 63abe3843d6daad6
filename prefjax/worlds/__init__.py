"""Exact, generated tasks: small worlds in which the truth about every prompt and answer is known."""
