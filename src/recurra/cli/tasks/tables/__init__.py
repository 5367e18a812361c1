"""Columns of tables: their roles, and those that predictions keep."""
