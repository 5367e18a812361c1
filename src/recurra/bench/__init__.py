"""Measures the layers against those of other libraries: `recurra bench` and `make bench`.

The parent process imports neither torch nor any peer: every peer is timed in a separate process (`worker.py`).
"""
