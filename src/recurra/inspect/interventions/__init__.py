"""Interventions: change gates and states during a run, and measure the effect."""
