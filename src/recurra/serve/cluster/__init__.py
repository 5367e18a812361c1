"""The server on several machines, with Ray Serve. It needs the extra `cluster`: `pip install 'recurra[cluster]'`."""

from .application import ray_app

__all__ = ["ray_app"]
