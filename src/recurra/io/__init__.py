"""Model folders: written completely or not at all, read without executing anything."""

from .card import model_card
from .folder import CURVE, SCHEMA_VERSION, ModelFolder, check_target, dumps, is_model, read_folder, write_folder

__all__ = [
    "CURVE",
    "SCHEMA_VERSION",
    "ModelFolder",
    "check_target",
    "dumps",
    "is_model",
    "model_card",
    "read_folder",
    "write_folder",
]
