"""Model folders: written completely or not at all, read without executing anything."""

from .card import model_card
from .epochs import StoredEpochs
from .folder import CONFIG, CURVE, SCHEMA_VERSION, ModelFolder, check_target, dumps, is_model, write_folder
from .provenance import Provenance, with_provenance
from .read import StoredModel, blaming, identity, read_folder
from .weights import read_weights

__all__ = [
    "CONFIG",
    "CURVE",
    "SCHEMA_VERSION",
    "ModelFolder",
    "Provenance",
    "StoredEpochs",
    "StoredModel",
    "blaming",
    "check_target",
    "dumps",
    "identity",
    "is_model",
    "model_card",
    "read_folder",
    "read_weights",
    "with_provenance",
    "write_folder",
]
