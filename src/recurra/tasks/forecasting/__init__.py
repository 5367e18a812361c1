"""The parts of `recurra.tasks.forecast`: network, references, bands, and the making ready of series."""
