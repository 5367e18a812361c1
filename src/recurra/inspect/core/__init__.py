"""Traces, layers and results: what all inspection measures share."""
