"""Training on several processes, which divide every batch."""
