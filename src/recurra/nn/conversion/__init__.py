"""Layers with the weights of other libraries: Keras, ONNX and torch."""
