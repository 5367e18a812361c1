"""ONNX operators of the built-in cells, and their use by `torch.onnx.export`."""
