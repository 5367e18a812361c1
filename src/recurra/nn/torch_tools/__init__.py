"""How layers meet the tools of torch: `print`, torch.compile, torch.fx, torch.jit.script and quantization."""
