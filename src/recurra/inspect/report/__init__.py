"""The inspection report: one HTML file that loads nothing from the internet."""
