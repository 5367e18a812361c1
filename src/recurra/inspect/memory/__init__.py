"""Memory: how long units and whole models keep information."""
