"""Metrics of a run for monitoring tools: TensorBoard, MLflow, Weights & Biases, CSV files."""
