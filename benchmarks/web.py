"""Steps of an LSTM in JavaScript: `python benchmarks/web.py --modules FOLDER [--units 128]`.

Runs single steps with carried state in node, by recurra-web and by onnxruntime-web, one thread each, alternately.
Prints the time of a step in the best round, and fails if recurra-web is less than three times as fast or the outputs
differ. FOLDER holds `node_modules` after `npm install onnxruntime-web@1.30`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import recurra
from recurra import nn
from recurra.bench.cases import Case
from recurra.bench.peers.onnxruntime import build_model
from recurra.exporting.web import FOLDER

FASTER, TOLERANCE = 3, 1e-5


def write(folder: Path, units: int) -> None:
    """Writes the same layer as files for recurra-web and onnxruntime-web."""
    torch.manual_seed(0)
    layer = nn.LSTM(units, units)
    recurra.export(layer, folder / "layer.safetensors", format="web")
    weights = {name.removesuffix("_l0"): weight.detach().numpy() for name, weight in layer.named_parameters()}
    case = Case("float32 session", "LSTM", batch=1, steps=1, hidden=units)
    (folder / "layer.onnx").write_bytes(build_model(case, weights).SerializeToString())


def main() -> None:
    """Runs the benchmark."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--modules", type=Path, required=True, help="folder with node_modules/onnxruntime-web")
    options.add_argument("--units", type=int, default=128)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=500)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), given.units)
        settings = {"web": str(FOLDER), "modules": str(given.modules.resolve()), "folder": name}
        settings |= {"rounds": given.rounds, "steps": given.steps, "units": given.units}
        program = Path(__file__).with_suffix(".mjs")
        done = subprocess.run(["node", program], input=json.dumps(settings), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout)
    ours, peer = (min(found["times"][name]) for name in ("ours", "peer"))  # other programs only make a round longer
    print(f"LSTM, {given.units} units, one step: recurra-web {ours:.1f} µs, ", end="")
    print(f"onnxruntime-web {found['version']} {peer:.1f} µs: {peer / ours:.1f} times as fast")
    print(f"greatest difference of the outputs: {found['difference']:.1e}")
    if peer < FASTER * ours or found["difference"] > TOLERANCE:
        sys.exit(f"must be {FASTER} times as fast and equal within {TOLERANCE}")


if __name__ == "__main__":
    main()
