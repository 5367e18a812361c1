"""Several labels for each sequence."""
