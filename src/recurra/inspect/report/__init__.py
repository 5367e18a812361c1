"""The inspection report: one HTML file that needs no network."""
