"""Models for JavaScript: the engine as WebAssembly, the module recurra-web, and the model file that it reads."""

from .model_file import FOLDER, MODULES, build

__all__ = ["FOLDER", "MODULES", "build"]
