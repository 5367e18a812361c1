"""Runs cells that have no kernel in C++: their equations are traced once and compiled to a program."""
