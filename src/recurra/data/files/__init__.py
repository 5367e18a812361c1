"""Bytes to text and samples: compression, encodings, recordings, and checks before a file is read."""
