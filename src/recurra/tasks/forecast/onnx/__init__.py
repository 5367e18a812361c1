"""ONNX graph of forecasters."""
