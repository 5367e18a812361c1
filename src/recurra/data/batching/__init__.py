"""Stored sequences, and batches of them in a reproducible order."""
