"""`recurra doctor`: versions, devices and engines, and why an engine is not used."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from recurra.cli.support.console import show_json, show_table


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Show versions, devices and engines, and why an engine is not used.

    [bold]Examples[/bold]

      recurra doctor
      recurra doctor --json
    """
    from recurra.io.card import versions

    described = _described()
    found = {"versions": versions(), "devices": _devices(), **described, "engines": _engines()}
    if json:
        show_json(found)
        return
    show_table("Versions", ["package", "version"], [[k, v] for k, v in found["versions"].items()], numbers=False)
    show_table("Devices", ["device", "what"], [[k, v] for k, v in found["devices"].items()], numbers=False)
    for name, facts in described.items():
        rows = [[k, str(v)] for k, v in facts.items() if v is not None]
        show_table(name.capitalize(), ["what", "found"], rows, numbers=False)
    rows = [[e["call"], e["served by"], "\n".join(f"{k}: {v}" for k, v in e["not"].items())] for e in found["engines"]]
    show_table("Engines", ["call", "served by", "not served by, because"], rows, numbers=False)


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"}
    for i in range(torch.cuda.device_count()):
        found[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    return found


def _described() -> dict[str, Any]:
    """Returns what engines report about themselves: whether they can run, and why not."""
    from recurra.ops.registry import engines

    return {f"{e.name} engine": e.describe() for e in engines() if hasattr(e, "describe")}


def _engines() -> list[dict[str, Any]]:
    """Asks the dispatcher about one typical call of each kind."""
    import torch

    from recurra import nn, ops
    from recurra.cells.registry import known

    found = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for kind in dict.fromkeys(getattr(nn, cell.torch_class) for cell in known().values() if cell.torch_class):
            for dtype in (torch.float32, torch.bfloat16):
                layer = kind(8, 8, device=device, dtype=dtype)
                why = ops.explain(layer, torch.zeros(2, 2, 8, device=device, dtype=dtype), lengths=[2, 1])
                name = f"{kind.__name__} {str(dtype).removeprefix('torch.')} ragged {device}"
                found.append({"call": name, "served by": why.engine, "not": why.refusals})
    return found
