"""Web pages of models: one HTML file with the engine as WebAssembly, the model, and the inspection view."""

from .build import build

__all__ = ["build"]
