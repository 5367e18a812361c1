"""ONNX graphs of layers and modules, and their comparison with the model. The tasks write their graphs with it."""
