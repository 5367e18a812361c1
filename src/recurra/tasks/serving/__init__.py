"""Answers of a model for requests: `service` for whole sequences, `stepper` for sequences that arrive step by step."""
