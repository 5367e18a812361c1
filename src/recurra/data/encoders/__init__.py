"""Encoders: convert texts, words, numeric series and recordings to network input, and predictions back to text."""
