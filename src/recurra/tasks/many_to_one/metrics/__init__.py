"""Detailed metrics of the many-to-one tasks, from all outputs at once or from sums over parts."""
