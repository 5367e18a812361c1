"""Cells without recurrent matrices: each unit sees the input and its own past."""
