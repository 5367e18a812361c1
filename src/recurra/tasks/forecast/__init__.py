"""The parts of `recurra.tasks.forecast.estimator`: network, references, bands, and the making ready of series."""
