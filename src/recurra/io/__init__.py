"""Model folders: written completely or not at all, read without executing anything."""

from .card import model_card
from .folder import SCHEMA_VERSION, ModelFolder, check_target, dumps, read_folder, write_folder

__all__ = [
    "SCHEMA_VERSION",
    "ModelFolder",
    "check_target",
    "dumps",
    "model_card",
    "read_folder",
    "write_folder",
]
