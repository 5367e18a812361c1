"""C: one file for step-by-step inference on a microcontroller."""
