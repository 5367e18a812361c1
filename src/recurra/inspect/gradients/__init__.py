"""Gradients through time: the gradient reach, and the Jacobian of one step."""
