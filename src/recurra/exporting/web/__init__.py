"""Models for JavaScript: the engine as WebAssembly, the module recurra-web, and the model file that it reads."""

from .model_file import FOLDER, build

__all__ = ["FOLDER", "build"]
