"""`ray_app`: the server as an application of Ray Serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from recurra._util.extras import needs_extra
from recurra.errors import UsageError
from recurra.serve.settings import Settings

MAX_SLOTS = 1024
"""State folders below that of the settings; each replica has one."""


def ray_app(
    models: Mapping[str, Any] | str | Path,
    settings: Settings | None = None,
    *,
    replicas: int = 2,
    **options: Any,
) -> Any:
    """Returns the server as an application of Ray Serve, for `ray.serve.run`.

    Each session belongs to one replica. Other replicas forward its requests. A replica that ends sends its sessions to
    the others. If a replica is killed, its sessions continue from their state folder, or end with 410 without one.

    Args:
        models: model folder by name, or one folder. The folders must have the same path on all machines.
        settings: limits of each replica; see `recurra.serve.Settings`. `state_dir` must be on a disk that all machines
            share, with file locks.
        replicas: number of replicas.
        **options: options of `ray.serve.deployment`, such as `ray_actor_options` or `autoscaling_config`.

    Raises:
        UsageError: Ray is not installed, or a setting cannot be used.

    Example:
        >>> from recurra.serve import Settings, ray_app
        >>> settings = Settings(max_batch=128)
        >>> app = ray_app("my-model", settings, replicas=4)  # doctest: +SKIP
        >>> ray.serve.run(app)  # doctest: +SKIP
    """
    settings = settings or Settings()
    if settings.workers != 1:
        raise UsageError("workers must be 1 in a cluster; set the number of replicas")
    with needs_extra("cluster", "a cluster"):
        from ray import serve
    if isinstance(models, str | Path):
        models = {Path(models).resolve().name: models}
    found = {
        name: str(Path(model).resolve()) if isinstance(model, str | Path) else model for name, model in models.items()
    }
    if "autoscaling_config" not in options:
        options["num_replicas"] = replicas
    options = {
        "name": "recurra",
        "max_ongoing_requests": settings.max_connections,
        "graceful_shutdown_timeout_s": settings.grace,
        "graceful_shutdown_wait_loop_s": 0.2,
        **options,
    }
    ingress = serve.deployment(**options)(serve.ingress()(_Ingress))
    return ingress.bind(found, settings)


class _Ingress:
    """Makes the application of a replica."""

    def __init__(self, models: Mapping[str, Any], settings: Settings) -> None:
        self._models, self._settings = models, settings

    def __serve_build_asgi_app__(self) -> Any:
        """Returns the application; Ray Serve calls it in the replica."""
        import ray
        from ray import serve

        from recurra.serve.app import create_app

        from .actor import DirectoryActor
        from .replica import Replica

        directory = DirectoryActor(serve.get_replica_context().app_name)
        app = create_on_free_slot(self._models, self._settings, create_app)
        return Replica(app, directory, ray.util.get_node_ip_address(), _is_ending)


def create_on_free_slot(models: Mapping[str, Any], settings: Settings, create: Any) -> Any:
    """Returns an application with the first free state folder; those with sessions of an ended replica come first.

    Raises:
        UsageError: no folder can be used.
    """
    from recurra.serve.store import claimed

    if settings.state_dir is None:
        return create(models, settings)
    used = sorted(settings.state_dir.glob("[0-9]*/sessions.sqlite"))
    new = (settings.state_dir / f"{number:04d}" for number in range(MAX_SLOTS))
    refused: UsageError | None = None
    for folder in (*(path.parent for path in used), *new):
        try:
            with claimed(folder):
                pass
        except UsageError as error:
            refused = error
        else:
            return create(models, replace(settings, state_dir=folder))
    raise refused or UsageError(f"{settings.state_dir} has no free folder")


def _is_ending() -> bool:
    """Returns whether Ray Serve is ending this replica. Serve tells its own class only, so its field is read."""
    from ray._private.worker import global_worker

    for actor in global_worker.actors.values():
        if getattr(getattr(actor, "_replica_impl", None), "_shutting_down", False):
            return True
    return False
