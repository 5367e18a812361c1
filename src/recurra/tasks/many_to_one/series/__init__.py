"""Numeric series: frames, several networks on parts of the sequences, and the choice between presets."""
