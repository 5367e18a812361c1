"""Baselines of forecasts, the season that they need, and their shares in a forecast."""
