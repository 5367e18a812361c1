"""Attribution: which time steps drove a prediction."""
