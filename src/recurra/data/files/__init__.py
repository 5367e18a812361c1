"""Access to files: compression, encodings, recordings, and checks before a file is read."""
