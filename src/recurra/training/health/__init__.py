"""Health checks of a network during and after training."""
