"""Training data larger than memory: a sample, a pass over the targets, and batches of encoded pieces.

All that `fit` learns before training comes from two sources. The targets of all pieces give the classes, or mean and
deviation. A sample gives the tokens, the validation rows and the baselines: the first rows of some pieces that are
chosen at random. Both are stored in the folder of the run, so a run that was stopped does not read them again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from recurra._util.atomic import written
from recurra._util.terminal import say
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import Texts, is_missing
from recurra.data.files.table import decoded, is_text
from recurra.data.pieces import PieceColumn
from recurra.data.pieces.pools import PoolBatches
from recurra.data.pieces.shards import Shard, ShardStore, token_type
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.tasks.base import PREDICT_BATCH
from recurra.tasks.fitting import CheckpointConfig, Prepared

SAMPLE_ROWS, SAMPLE_PIECES, SAMPLE_BYTES = 200_000, 32, 32 << 20
"""Size of the sample: rows, pieces that they come from, and bytes of text."""
VALID_ROWS = 50_000
"""Greatest number of validation rows."""
ENCODE_ROWS = 2048
FOLDER = "pieces"
"""Folder for encoded pieces in the folder of a run."""


class Learnt(NamedTuple):
    """What was learned before training, beside the estimator's own attributes.

    Attributes:
        counts: sequences of each class, of all pieces; of numbers, the number of sequences.
        missing: rows without a target.
        held: numbers of the validation rows in each piece of the sample.
        sample: the encoded sample.
        targets: its encoded targets.
        known: mask of its rows that have a target.
        validation: mask of its rows that are held out.
    """

    counts: np.ndarray
    missing: int
    held: dict[int, np.ndarray]
    sample: SequenceStore
    targets: np.ndarray
    known: np.ndarray
    validation: np.ndarray


def prepare(
    estimator: Any,
    X: PieceColumn,
    y: Any,
    sample_weight: Any,
    validation_data: tuple[Any, Any] | None,
    seed: int,
    checkpoint: CheckpointConfig,
) -> Prepared:
    """Prepares training on texts of a `LargeTable`; see `Estimator._prepare`.

    Raises:
        DataError: the columns cannot be used; the message names file and line where there is one.
        UsageError: sample_weight was given.
    """
    start = time.monotonic()
    if not isinstance(y, PieceColumn) or y.table is not X.table:
        raise DataError("X and y must be columns of the same LargeTable")
    if sample_weight is not None:
        raise UsageError("sample_weight is not supported for a LargeTable")
    if not is_text(decoded(pa.array([], X.table.types[X.index]))):
        raise DataError(f"column {X.table.columns[X.index]} does not hold texts, and only texts can be read in pieces")
    identity = _identity(estimator, X, y, seed, validation_data is None)
    folder = _folder(checkpoint, identity)
    learnt = _load(estimator, folder)
    if learnt is None:
        learnt = _learn(estimator, X, y, seed, folder, apart=validation_data is None)
    weights = estimator.target_weights(learnt.counts)
    used = int(learnt.counts.sum()) - int(learnt.validation.sum())
    sample = _part(learnt, learnt.known & ~learnt.validation, weights)
    batches = PoolBatches(
        ShardStore(folder, lambda piece: encode(estimator, X, y, piece, learnt.held.get(piece))),
        len(X.table.pieces),
        used,
        identity,
        sample,
        batch_size=estimator.resolved_params_["batch_size"],
        seed=seed,
        weights=None if weights is None else lambda targets: weights[targets],
    )
    if not checkpoint.folder:
        weakref.finalize(batches, shutil.rmtree, folder, ignore_errors=True)
    valid = None
    if validation_data is not None:
        valid = estimator._validation_batches(validation_data, checkpoint)
    elif learnt.validation.any():
        valid = _part(learnt, learnt.validation, weights)
    summary = {
        "sequences": used,
        "pieces": len(X.table.pieces),
        "sample for tokens and baselines": int(sample.count),
        "left out for a missing target": learnt.missing,
        "validation sequences": 0 if valid is None else valid.count,
    }
    if estimator.verbose:
        words = ", ".join(f"{name} {value:,}" for name, value in summary.items())
        say(words)
    return Prepared(batches, valid, summary, close=batches.close, minutes=(time.monotonic() - start) / 60)


def encode(estimator: Any, X: PieceColumn, y: PieceColumn, piece: int, held: np.ndarray | None) -> Shard:
    """Encodes the rows of a piece that have a target and are not held out.

    Args:
        estimator: gives the encoder, and encodes targets.
        X: column of texts.
        y: column of targets.
        piece: number of the piece.
        held: numbers of the validation rows in the piece; None for none.
    """
    file = y.read(piece)
    targets = y.targets(file)
    keep = ~is_missing(targets)
    if held is not None:
        keep[held] = False
    rows, kind = np.flatnonzero(keep), token_type(estimator.encoder_.input_size)
    values, lengths, start = [np.zeros(0, kind)], [np.zeros(0, np.int32)], 0
    for batch in X.table.batches(piece, [X.index]):
        column = batch.column(0).filter(pa.array(keep[start : start + batch.num_rows]))
        start += batch.num_rows
        for first in range(0, len(column), ENCODE_ROWS):
            found = estimator.encoder_.encode([t or "" for t in column.slice(first, ENCODE_ROWS).to_pylist()])
            values.append(np.concatenate(found).astype(kind))
            lengths.append(np.array([len(tokens) for tokens in found], np.int32))
    try:
        codes = estimator._encode_targets(targets[rows]).numpy()
    except DataError as error:
        raise DataError(str(error) if error.row is None else f"{file.where(int(rows[error.row]))}: {error}") from None
    return Shard(np.concatenate(values), np.concatenate(lengths), codes, rows.astype(np.int32))


def _identity(estimator: Any, X: PieceColumn, y: PieceColumn, seed: int, apart: bool) -> str:
    """Returns a hash of the data and of all that their encoding depends on."""
    names = ("tokens", "vocab_size", "validation_fraction")
    options = {name: getattr(estimator, name) for name in names}
    sizes = (SAMPLE_ROWS, SAMPLE_PIECES, SAMPLE_BYTES, VALID_ROWS, X.table.pieces)
    start = estimator._start and estimator._start.name
    content = (X.table.fingerprint(), X.index, y.index, estimator.task, options, seed, apart, sizes, start)
    return hashlib.blake2b(repr(content).encode(), digest_size=16).hexdigest()


def _folder(checkpoint: CheckpointConfig, identity: str) -> Path:
    """Returns the folder for encoded pieces. Those of other data or another encoder are removed."""
    if checkpoint.folder is None:
        return Path(tempfile.mkdtemp(prefix="recurra-"))
    parent = checkpoint.folder / FOLDER
    for other in parent.glob("encoded-*"):
        if other.name != f"encoded-{identity}":
            shutil.rmtree(other, ignore_errors=True)
    (parent / f"encoded-{identity}").mkdir(parents=True, exist_ok=True)
    return parent / f"encoded-{identity}"


def _learn(estimator: Any, X: PieceColumn, y: PieceColumn, seed: int, folder: Path, *, apart: bool) -> Learnt:
    """Reads all targets and the sample, and stores what was learned from them."""
    scan = estimator.target_scan()
    for file in y.scan():
        scan.add(y, file)
    counts = scan.learn(estimator)
    if not counts.sum():
        raise DataError("every target is missing: there is nothing to learn")
    estimator.resolved_params_ = estimator._choose("text", int(counts.sum()))
    texts, targets, places = _draw(X, y, seed)
    known = ~is_missing(targets)
    validation = np.zeros(len(known), bool)
    if apart:
        share = round(estimator.resolved_params_["validation_fraction"] * int(counts.sum()))
        rows = np.random.default_rng((seed, 1)).permutation(np.flatnonzero(known))
        validation[rows[: min(share, VALID_ROWS, len(rows) // 2)]] = True
    training = known & ~validation
    if estimator._start is None:
        estimator.encoder_ = estimator._new_encoder(texts)
        estimator._fit_encoder(texts.chunks(training))
    held = {int(p): places[validation & (places[:, 0] == p), 1] for p in np.unique(places[validation, 0])}
    store = estimator._store(texts, folder / "sample.arrow")
    codes = estimator._targets_of(targets, known).numpy()
    found = Learnt(counts, X.table.rows - int(counts.sum()), held, store, codes, known, validation)
    _save(estimator, folder, found)
    return found


def _draw(X: PieceColumn, y: PieceColumn, seed: int) -> tuple[Texts, np.ndarray, np.ndarray]:
    """Reads the sample: texts, targets, and piece and row of each, `(rows, 2)`."""
    count = len(X.table.pieces)
    pieces = np.sort(np.random.default_rng(seed).permutation(count)[:SAMPLE_PIECES]).tolist()
    rows, size = -(-SAMPLE_ROWS // len(pieces)), SAMPLE_BYTES // len(pieces)
    texts, targets, places = [], [], []
    for piece in pieces:
        taken, held = 0, []
        for batch in X.table.batches(piece, [X.index, y.index], rows):
            column = batch.column(0).cast(pa.large_string())
            held.append(batch)
            texts.append(column)
            taken += column.nbytes
            if taken > size:
                break
        file = X.table.file(piece, pa.Table.from_batches(held).select([1]).rename_columns([y.table.columns[y.index]]))
        targets.append(y.targets(file))
        places.append(np.stack([np.full(len(targets[-1]), piece), np.arange(len(targets[-1]))], 1))
    return Texts(pa.chunked_array(texts)), np.concatenate(targets), np.concatenate(places)


def _part(learnt: Learnt, mask: np.ndarray, weights: np.ndarray | None) -> Batches:
    """Returns batches of some rows of the sample."""
    factors = None if weights is None else torch.from_numpy(weights[learnt.targets].astype(np.float32))
    targets = torch.from_numpy(learnt.targets)
    return Batches(learnt.sample, np.flatnonzero(mask), targets, factors, batch_size=PREDICT_BATCH)


def _save(estimator: Any, folder: Path, learnt: Learnt) -> None:
    """Stores what was learned; the last file makes it complete."""
    config, files = estimator._state()
    with written(folder / "sample.npz", ModelFolderError) as partial, partial.open("wb") as file:
        np.savez(file, targets=learnt.targets, known=learnt.known, validation=learnt.validation)
    held = {str(piece): rows.tolist() for piece, rows in learnt.held.items()}
    values = {"config": config, "files": files, "held": held, "missing": learnt.missing}
    with written(folder / "learned.json", ModelFolderError) as partial:
        partial.write_text(json.dumps(values | {"counts": learnt.counts.tolist()}), encoding="utf-8")


def _load(estimator: Any, folder: Path) -> Learnt | None:
    """Returns what an earlier run learned, and sets the estimator's attributes; None if it is not complete."""
    try:
        values = json.loads((folder / "learned.json").read_text(encoding="utf-8"))
        with np.load(folder / "sample.npz", allow_pickle=False) as file:
            targets, known, validation = (file[name] for name in ("targets", "known", "validation"))
        store = SequenceStore(folder / "sample.arrow")
        held = {int(piece): np.array(rows) for piece, rows in values["held"].items()}
        estimator._load_state(values["config"], values["files"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return Learnt(np.array(values["counts"]), values["missing"], held, store, targets, known, validation)
