"""Gradients through time: their reach, and the Jacobian of one step."""
