"""What follows the training of a forecaster: shares, calibration and metrics."""
