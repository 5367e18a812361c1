"""HTTP server for trained models: predictions in batches, sessions with state, generation, metrics."""
