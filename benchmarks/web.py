"""Steps of an LSTM in a browser: `python benchmarks/web.py --onnxruntime FOLDER [--units 128]`.

Runs single steps with carried state in Chromium, by a stream of recurra-web and by onnxruntime-web, one thread each,
alternately. Prints the time of a step in the best round and in the median one. Fails if recurra-web is less than three
times as fast in the best one, or if the outputs differ. FOLDER is `node_modules/onnxruntime-web/dist` after
`npm install onnxruntime-web@1.30`. Chromium comes from the system.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from playwright.sync_api import Route, sync_playwright

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


def measure(folder: Path, onnxruntime: Path, settings: dict[str, int]) -> dict[str, Any]:
    """Runs web.mjs in Chromium."""
    places = {"recurra": FOLDER, "onnxruntime": onnxruntime, "program": Path(__file__).parent}

    def answer(route: Route) -> None:
        _, *parents, name = urlsplit(route.request.url).path.split("/")
        if name:
            route.fulfill(path=(places[parents[0]] if parents else folder) / name)
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", answer)
        page.goto("http://recurra.test/")
        found = page.evaluate("async (s) => (await import('/program/web.mjs')).measure(s)", settings)
        browser.close()
    return found


def main() -> None:
    """Runs the benchmark."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--onnxruntime", type=Path, required=True, help="folder dist of onnxruntime-web")
    options.add_argument("--units", type=int, default=128)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--steps", type=int, default=500)
    given = options.parse_args()
    settings = {"rounds": given.rounds, "steps": given.steps, "units": given.units}
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), given.units)
        found = measure(Path(name), given.onnxruntime, settings)
    ours, peer = (min(found["times"][name]) for name in ("ours", "peer"))  # other programs only make a round longer
    print(f"LSTM, {given.units} units, one step: recurra-web {ours:.1f} µs, ", end="")
    print(f"onnxruntime-web {found['version']} {peer:.1f} µs: {peer / ours:.1f} times as fast")
    middle, peers = (statistics.median(found["times"][name]) for name in ("ours", "peer"))
    print(f"median round: {middle:.1f} µs and {peers:.1f} µs: {peers / middle:.1f} times as fast")
    print(f"greatest difference of the outputs: {found['difference']:.1e}")
    if peer < FASTER * ours or found["difference"] > TOLERANCE:
        sys.exit(f"must be {FASTER} times as fast and equal within {TOLERANCE}")


if __name__ == "__main__":
    main()
