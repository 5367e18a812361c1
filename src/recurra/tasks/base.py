"""What the estimators of all tasks share: preparing data, training, predicting, saving."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra.data import ENCODERS, Encoder, SeriesEncoder, TextEncoder
from recurra.data.batches import Batches
from recurra.data.inputs import Arrays, Texts, as_column, as_sequences, is_missing
from recurra.data.store import SequenceStore
from recurra.data.text import TOKENS
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.io import ModelFolder, dumps, model_card, write_folder
from recurra.nn import CELLS, POOLINGS
from recurra.ops import MEMORIES
from recurra.training.settings import Objective, Run, Settings, choose_device

from .network import PooledNetwork

MIN_EPOCHS, MIN_STEPS, MAX_EPOCHS = 6, 1500, 300
"""With `epochs=None`: so many passes, more on small data until there were so many steps."""

PREDICT_BATCH = 256


@dataclass(eq=False, repr=False)
class SequenceEstimator(BaseEstimator):
    """Base of the estimators. The constructor stores its arguments only; fitted names end in `_`.

    The arguments are described by the estimators themselves, see `SequenceClassifier`.
    """

    cell: str = "lstm"
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = False
    tokens: str = "bpe"
    vocab_size: int = 4000
    embedding_size: int = 128
    pooling: str = "attention"
    dropout: float = 0.4
    token_dropout: float = 0.3
    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    validation_fraction: float = 0.1
    n_iter_no_change: int | None = 3
    random_state: int | np.random.RandomState | None = 0
    device: str = "auto"
    engine: str = "auto"
    memory: str = "full"
    verbose: int = 1

    task: ClassVar[str]
    title: ClassVar[str]

    # what a task defines

    def _fit_targets(self, y: np.ndarray) -> None:
        """Learns from the training targets what their encoding needs (classes, scale)."""
        raise NotImplementedError

    def _encode_targets(self, y: np.ndarray) -> Tensor:
        """Targets as the loss wants them."""
        raise NotImplementedError

    def _output_size(self) -> int:
        """Width of the network's output."""
        raise NotImplementedError

    def _objective(self) -> Objective:
        """Loss and figures."""
        raise NotImplementedError

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weight of each sequence in the loss and in the figure that chooses the best epoch."""
        return weights

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """What the validation split keeps in proportion."""
        return None

    def _target_config(self) -> dict[str, Any]:
        """What `_fit_targets` learnt, for the model folder."""
        raise NotImplementedError

    def _load_targets(self, config: dict[str, Any]) -> None:
        """The reverse of `_target_config`."""
        raise NotImplementedError

    # fitting

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        resume: bool = False,
    ) -> Self:
        """Trains on sequences `X` and targets `y`.

        Args:
            X: list, array, pandas or Arrow column of texts; or numeric sequences: a list of arrays
                `(time, features)`, an array `(batch, time, features)` or `(batch, time)`.
            y: one target per sequence; sequences whose target is missing are left out.
            sample_weight: weight of each sequence in the loss, `(batch,)`.
            validation_data: `(X, y)` that choose the best epoch, instead of a part of the training data.
            checkpoint: folder for the prepared data and the state of the run, from which it can be resumed.
            checkpoint_minutes: greatest time between two checkpoints; there is one after each epoch too.
            resume: whether to go on from `checkpoint` where there is one.

        Returns:
            The estimator itself. After Ctrl-C it holds the best epoch's weights and `interrupted_` is True.

        Raises:
            DataError: the data cannot be used; the message says where and why.
            UsageError: an argument is out of its range (it is a ValueError).
        """
        self._check_params()
        seed = self._seed()
        folder = None if checkpoint is None else Path(checkpoint)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        sequences = as_sequences(X)
        y = as_column(y, len(sequences), "y")
        weights = _as_weights(sample_weight, len(sequences))
        training, held_out = self._split(y, sequences, validation_data is None, seed)
        self._fit_targets(y[training])
        self.encoder_ = self._new_encoder(sequences)
        self.encoder_.fit(sequences.chunks(training))
        store = self._store(sequences, folder and folder / "training.arrow")
        targets = self._targets_of(y, training | held_out)
        weights = self._weigh(y, weights)
        batches = self._batches(store, training, targets, weights, seed)
        valid = None
        if validation_data is not None:
            valid = self._validation_batches(validation_data, folder)
        elif held_out.any():
            valid = self._batches(store, held_out, targets, weights, None)
        self.data_ = {
            "sequences": int(training.sum()),
            "steps": int(store.lengths[training].sum()),
            "empty sequences": int((store.lengths[training] == 0).sum()),
            "left out for a missing target": int(is_missing(y).sum()),
            "validation sequences": 0 if valid is None else len(valid.rows),
            "hash (BLAKE2b)": _fingerprint(batches),
        }
        self._train(batches, valid, seed, folder, checkpoint_minutes, resume)
        return self

    def _train(
        self,
        batches: Batches,
        valid: Batches | None,
        seed: int,
        folder: Path | None,
        minutes: float,
        resume: bool,
    ) -> None:
        from recurra.training.loop import train  # Lightning takes seconds to import

        epochs = self.epochs or min(max(MIN_EPOCHS, math.ceil(MIN_STEPS / len(batches))), MAX_EPOCHS)
        patience = self.n_iter_no_change
        if patience is not None and self.epochs is None:
            patience = max(patience, epochs // 5)  # epochs of a few steps say little each
        options = {k: repr(v) for k, v in self.get_params().items() if k not in ("verbose", "device", "engine")}
        hashes = {"training data": _fingerprint(batches), "validation data": valid and _fingerprint(valid)}
        settings = Settings(
            epochs=epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            patience=patience,
            seed=seed,
            device=self.device,
            verbose=self.verbose,
            checkpoint=folder and folder / "last.ckpt",
            checkpoint_minutes=minutes,
            resume=resume,
            fingerprint={**options, **hashes},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network_ = self._build(self.encoder_.input_size)
        run = train(self.network_, self._objective(), batches, valid, settings)
        self._keep(run, epochs)

    def _keep(self, run: Run, epochs: int) -> None:
        self.history_ = run.history
        self.best_epoch_, self.n_iter_ = run.best_epoch, len(run.history)
        self.interrupted_, self.resumed_ = run.interrupted, run.resumed
        best = run.history[run.best_epoch - 1] if run.best_epoch else {}
        self.metrics_ = {
            "best_epoch": run.best_epoch,
            "epochs": len(run.history),
            "epochs_planned": epochs,
            "loss": best.get("loss", math.nan),
            "valid": {k.removeprefix("valid_"): v for k, v in best.items() if k.startswith("valid_")},
        }

    def _split(
        self, y: np.ndarray, sequences: Texts | Arrays, hold_out: bool, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which rows are trained on and which choose the best epoch, as masks; neither where y is missing."""
        from sklearn.model_selection import train_test_split

        known = ~is_missing(y)
        if not known.any():
            raise DataError("every target is missing: there is nothing to learn")
        training, held_out = known.copy(), np.zeros_like(known)
        rows = np.flatnonzero(known)
        count = round(len(rows) * self.validation_fraction)
        if hold_out and 0 < count < len(rows):
            groups = self._stratify(y[rows])
            if groups is not None:
                sizes = np.unique(groups, return_counts=True)[1]
                groups = groups if sizes.min() > 1 and len(sizes) <= min(count, len(rows) - count) else None
            random = np.random.RandomState(seed % 2**32)
            valid = train_test_split(rows, test_size=count, random_state=random, stratify=groups)[1]
            held_out[valid] = True
            training[valid] = False
        return training, held_out

    def _batches(
        self,
        store: SequenceStore,
        mask: np.ndarray,
        targets: Tensor,
        weights: np.ndarray | None,
        seed: int | None,
    ) -> Batches:
        """Batches over some rows; shuffled for training where a seed is given."""
        return Batches(
            store,
            np.flatnonzero(mask),
            targets,
            None if weights is None else torch.from_numpy(weights.astype(np.float32)),
            batch_size=PREDICT_BATCH if seed is None else self.batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
        )

    def _validation_batches(self, data: tuple[Any, Any], folder: Path | None) -> Batches:
        sequences = self._accept(data[0])
        y = as_column(data[1], len(sequences), "the validation y")
        known = ~is_missing(y)
        if not known.any():
            raise DataError("every validation target is missing")
        store = self._store(sequences, folder and folder / "validation.arrow")
        return self._batches(store, known, self._targets_of(y, known), self._weigh(y, None), None)

    def _targets_of(self, y: np.ndarray, known: np.ndarray) -> Tensor:
        """Encoded targets of all rows; 0 where they are not known."""
        try:
            encoded = self._encode_targets(y[known])
        except DataError as error:
            raise DataError(str(error), None if error.row is None else int(np.flatnonzero(known)[error.row])) from None
        targets = encoded.new_zeros(len(y), *encoded.shape[1:])
        targets[torch.from_numpy(known)] = encoded
        return targets

    def _store(self, sequences: Texts | Arrays, path: Path | None) -> SequenceStore:
        encode: Any = self.encoder_.encode
        return SequenceStore.build((encode(chunk) for chunk in sequences.chunks()), path)

    def _new_encoder(self, sequences: Texts | Arrays) -> Any:
        if isinstance(sequences, Texts):
            return TextEncoder(self.tokens, self.vocab_size)
        self.n_features_in_ = sequences.features
        return SeriesEncoder(sequences.features)

    def _build(self, input_size: int) -> PooledNetwork:
        return PooledNetwork(
            input_size,
            self.embedding_size if self.encoder_.kind == "text" else 0,
            self._output_size(),
            pooling=self.pooling,
            cell=self.cell,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            token_dropout=self.token_dropout,
            engine=self.engine,
            memory=self.memory,
        )

    def _check_params(self) -> None:
        for name, allowed in {"cell": CELLS, "pooling": POOLINGS, "tokens": TOKENS, "memory": MEMORIES}.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} is one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        for name in ("hidden_size", "num_layers", "embedding_size", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"epochs must be at least 1 (or None for enough), got {self.epochs}")
        for name in ("dropout", "token_dropout", "validation_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise UsageError(f"learning_rate must be positive, got {self.learning_rate}")
        choose_device(self.device)

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0]) >> 1
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        return int(self.random_state)

    # predicting

    def _accept(self, X: Any) -> Texts | Arrays:
        """Sequences of the kind that the model was trained on."""
        sequences = as_sequences(X)
        if sequences.kind != self.encoder_.kind:
            words = {"text": "texts", "series": "numeric sequences"}
            raise DataError(f"the model was trained on {words[self.encoder_.kind]}, X holds {words[sequences.kind]}")
        return sequences

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's output for each sequence, in order: `(batch, outputs)`."""
        check_is_fitted(self, "network_")
        if len(X) == 0:
            return np.zeros((0, self._output_size()), np.float32)
        return np.concatenate(list(self._output_chunks(self._accept(X))))

    def _output_chunks(self, sequences: Texts | Arrays) -> Iterator[np.ndarray]:
        device = choose_device(self.device)
        network = self.network_.to(device).eval()
        encode: Any = self.encoder_.encode
        for chunk in sequences.chunks():
            batches = Batches(SequenceStore.build([encode(chunk)]), batch_size=PREDICT_BATCH)
            found = np.zeros((len(chunk), self._output_size()), np.float32)
            with torch.inference_mode():
                for batch in batches:
                    output = network(batch.values.to(device), batch.lengths)
                    found[batch.rows.numpy()] = output.float().cpu().numpy()
            yield found

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Figures of the model on labelled sequences; those whose target is missing are left out.

        Args:
            X: sequences as in `fit`.
            y: one target per sequence.
            sample_weight: weight of each sequence, `(batch,)`.

        Returns:
            The task's figures, with `loss` and the number of sequences `n`.
        """
        outputs = self._outputs(X)
        y = as_column(y, len(outputs), "y")
        weights = _as_weights(sample_weight, len(outputs))
        known = ~is_missing(y)
        if not known.any():
            raise DataError("every target is missing: there is nothing to compare with")
        targets = self._targets_of(y, known).numpy()[known]
        figures = self._objective().figures(outputs[known], targets, None if weights is None else weights[known])
        return {**figures, "n": int(known.sum())}

    # saving

    def save(self, path: str | Path) -> None:
        """Writes the model to a folder: weights, tokenizer, configuration, figures and a model card.

        Args:
            path: folder to write; a model that is there is replaced, anything else is not.

        Raises:
            ModelFolderError: `path` holds something else, or cannot be written.
        """
        check_is_fitted(self, "network_")
        stack = self.network_.encoder.recurrent.stack
        files = self.encoder_.to_files()
        files["metrics.json"] = dumps({**self.metrics_, "history": self.history_})
        files["README.md"] = self._card(Path(path).name)
        config = {
            "task": self.task,
            "params": {k: _to_json(v) for k, v in self.get_params().items()},
            "targets": self._target_config(),
            "encoder": self.encoder_.to_config(),
            "input_size": self.encoder_.input_size,
            "gates": list(stack.cell.gates),  # order of the rows in the recurrent weights
            "states": list(stack.cell.states),
            "data": self.data_,
            "files": sorted(files),
        }
        write_folder(path, ModelFolder(config, self.network_.state_dict(), files))

    def _card(self, name: str) -> str:
        stack = self.network_.encoder.recurrent.stack
        direction = "Bidirectional " if stack.bidirectional else ""
        count = sum(p.numel() for p in self.network_.parameters())
        text = self.encoder_.kind == "text"
        return model_card(
            name=name,
            title=f"{self.title}: {name}",
            description=f"{direction}{stack.cell.name.upper()}, layers: {stack.num_layers}, units per layer and "
            f"direction: {stack.hidden_size}, weights: {count:,}. Trained with Recurra.",
            tags=[self.task, stack.cell.name, *(["text"] if text else ["time-series"])],
            example='["a text"]' if text else f"[[[0.0] * {self.encoder_.features}]]",
            metrics={**self.metrics_, "evaluated_on": "Figures are on the validation data."},
            data=self.data_,
            settings=self.get_params(),
        )

    @classmethod
    def _from_folder(cls, folder: ModelFolder, path: Path) -> Self:
        config = folder.config
        try:
            estimator = cls(**{k: _from_json(v) for k, v in config["params"].items()})
            encoder: Encoder = ENCODERS[config["encoder"]["kind"]].from_files(config["encoder"], folder.files)
            estimator.encoder_ = encoder
            estimator._load_targets(config["targets"])
            estimator.network_ = estimator._build(config["input_size"]).eval()
            estimator.network_.load_state_dict(folder.weights)
            estimator.data_ = config["data"]
            metrics = json.loads(folder.files["metrics.json"])
            estimator.history_ = metrics.pop("history")
            estimator.metrics_ = metrics
        except ModelFolderError:
            raise
        except Exception as error:  # whatever is missing or does not fit, the folder is at fault
            raise ModelFolderError(f"{path} does not fit together: {type(error).__name__}: {error}") from None
        estimator.best_epoch_, estimator.n_iter_ = metrics["best_epoch"], metrics["epochs"]
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        tags.non_deterministic = self.random_state is None
        return tags


def _as_weights(weights: Any, rows: int) -> np.ndarray | None:
    if weights is None:
        return None
    values = as_column(weights, rows, "sample_weight").astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DataError("sample_weight must be finite, not negative, and not all 0")
    return values


def _fingerprint(batches: Batches) -> str:
    """Hash of the sequences, their targets and weights, and which of them are used."""
    digest = hashlib.blake2b(batches.store.fingerprint().encode(), digest_size=16)
    digest.update(batches.rows.astype(np.int64).tobytes())
    for column in (batches.targets, batches.weights):
        if column is not None:
            digest.update(column.numpy().tobytes())
    return digest.hexdigest()


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):  # JSON would turn keys such as 0 into "0"
        return {"items": [[_to_json(k), _to_json(v)] for k, v in value.items()]}
    if isinstance(value, np.random.RandomState):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _from_json(value: Any) -> Any:
    return dict(value["items"]) if isinstance(value, dict) else value
