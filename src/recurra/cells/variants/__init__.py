"""Variants of LSTM and GRU, with recurrent matrices."""
