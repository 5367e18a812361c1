"""Filling blanks: missing words, predicted from the text on both sides."""
