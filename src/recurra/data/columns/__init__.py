"""User input, column by column: texts, numbers, times and panels."""
