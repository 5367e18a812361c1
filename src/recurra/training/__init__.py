"""Training through time: one loop for every task, with checkpoints, early stopping and progress."""
