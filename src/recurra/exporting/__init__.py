"""Export of models to files that run without Recurra."""

from .export import export

__all__ = ["export"]
