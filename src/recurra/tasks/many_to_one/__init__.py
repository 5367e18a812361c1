"""Classification and regression: one target for a whole sequence."""
