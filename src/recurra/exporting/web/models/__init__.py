"""The settings and tensors of each task, for the model files of recurra-web."""
