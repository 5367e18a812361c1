"""Runs cells without a kernel of their own in C++: their equations are traced once and compiled to a program."""
