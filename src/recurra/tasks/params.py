"""Parameters of all tasks: default, meaning, limits, and option of the command line of each, declared once.

A field of an estimator that is made by `param` is validated by `check_params`, becomes an option of `recurra fit` if it
has a panel, and is described in the docstring of every estimator. The model card lists all parameters of an estimator.
This module imports neither torch nor numpy, so that the command line can read it quickly.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from recurra.cells import Cell, CellLike
from recurra.cells.registry import NO_MEMORY, names
from recurra.errors import UsageError

from .tuning.ranges import Range, Search

if TYPE_CHECKING:
    import numpy as np

MAX_SIZE, MAX_LAYERS = 1 << 16, 256
"""Largest layer or token vector, and most layers. A damaged model folder cannot request all memory with them."""

EPOCHS_LIMIT = 1_000_000

MAX_SEED = 2**32 - 1
"""Largest seed that all random generators in use accept."""

MAX_BEAMS = 1000
"""Largest number of hypotheses of a search. Much smaller numbers give the same quality."""

MAX_TOP = 10_000
"""Largest number of most probable tokens in an answer."""


@dataclass(frozen=True)
class Param:
    """Metadata of a parameter. A value of None is not checked.

    Attributes:
        help: short description for `recurra fit --help`.
        description: entry of the docstring; by default the help.
        choices: the allowed values, or `"module:NAME"` of a tuple with them.
        panel: group of the option in `recurra fit --help`; None for no option.
        option: name of the option, such as `--layers`; by default the name of the parameter.
        at_least: smallest number.
        at_most: largest number.
        positive: whether the number must be above 0.
        share: whether the number must be in [0, 1).
        none: meaning of None, for messages, such as `"for no limit"`.
        fingerprint: whether the value affects the trained weights. If it does, a run with another value cannot be
            resumed.
        shapes: whether the value decides the shape or the meaning of weights. Training that starts from a model takes
            the value of that model; this is so for all parameters of the panel Network.
        search: values that `tune` tries: a `Range` or a tuple of choices; None or `()` if it does not change the
            parameter.
    """

    help: str = ""
    description: str = ""
    choices: tuple[str, ...] | str = ()
    panel: str | None = None
    option: str | None = None
    at_least: int | None = None
    at_most: int | None = None
    positive: bool = False
    share: bool = False
    none: str | None = None
    fingerprint: bool = True
    shapes: bool = False
    search: Search | None = None

    @property
    def of_network(self) -> bool:
        """True if the value decides the shape or the meaning of weights."""
        return self.shapes or self.panel == _NETWORK

    @property
    def allowed(self) -> tuple[str, ...]:
        """The choices; imports the module that has them."""
        if isinstance(self.choices, tuple):
            return self.choices
        module, _, name = self.choices.partition(":")
        return getattr(import_module(module), name)

    def check(self, name: str, value: Any) -> None:
        """Checks a value that has the right type.

        Raises:
            UsageError: the value is not allowed.
        """
        if self.choices and value is not None and value not in self.allowed:
            raise UsageError(f"{name} is one of {', '.join(self.allowed)}, not {value!r}")
        problem = self._problem(value) if isinstance(value, numbers.Real) else None
        if problem:
            none = "" if self.none is None else f" (or {' '.join(['None', self.none]).strip()})"
            raise UsageError(f"{name} must {problem}{none}, got {value}")

    def _problem(self, value: Any) -> str | None:
        low, high = self.at_least, self.at_most
        if self.share and not 0 <= value < 1:
            return "lie in [0, 1)"
        if self.positive and value <= 0:
            return "be positive"
        if low == 0 and high is not None and not 0 <= value <= high:
            return f"be from 0 to {high}"
        if low is not None and value < low:
            return "not be negative" if low == 0 else f"be at least {low}"
        return f"be at most {high:,}" if high is not None and value > high else None


def param(default: Any, help: str = "", description: str = "", **limits: Any) -> Any:
    """Returns the field of a dataclass for a parameter of an estimator.

    Args:
        default: its default.
        help: see `Param`, as all others.
        description: see `Param`.
        **limits: see `Param`.
    """
    return dataclasses.field(default=default, metadata={"param": Param(help, description, **limits)})


def params_of(estimator: type) -> dict[str, Param]:
    """Metadata of the parameters of an estimator's class, in their order.

    A field of a subclass keeps the metadata of the field that it replaces, but for those that it gives itself. A field
    with a name of `Shared` has the metadata given there.
    """
    found: dict[str, Param] = {}
    for base in reversed(estimator.__mro__):
        fields = vars(base).get("__dataclass_fields__", {})
        own = {name: value for name, value in vars(base).items() if isinstance(value, dataclasses.Field)}
        for name, field in (own | fields).items():
            found[name] = _merged(field.metadata.get("param"), found.get(name) or SHARED.get(name) or Param())
    return found


def _merged(own: Param | None, inherited: Param) -> Param:
    """Replaces the inherited metadata by those that a field declares."""
    given = {} if own is None else {name: value for name, value in vars(own).items() if value != getattr(Param, name)}
    return dataclasses.replace(inherited, **given)


_NETWORK, _TRAINING = "Network", "Training"


@dataclass(eq=False, repr=False)
class Parameters:
    """The parameters of all tasks."""

    cell: CellLike = param(  # noqa: RUF009  (it is a field)
        "lstm",
        f"lstm, gru, rnn or one of {len(names(memoryless=False)) - 3} others; {NO_MEMORY}: no memory.",
        'one of `recurra.nn.CELLS`, or a `Cell` of your own. `"none"` is a baseline without memory.',
        panel=_NETWORK,
        search=("lstm", "gru"),
    )
    hidden_size: int = param(
        128,
        "Units per layer and direction.",
        panel=_NETWORK,
        at_least=1,
        at_most=MAX_SIZE,
        search=Range(32, 512, log=True),
    )
    num_layers: int = param(
        1,
        "Number of stacked recurrent layers.",
        panel=_NETWORK,
        option="--layers",
        at_least=1,
        at_most=MAX_LAYERS,
        search=(1, 2, 3),
    )
    dropout: float = param(
        0.4,
        "Probability of dropping a feature in training.",
        panel=_TRAINING,
        share=True,
        search=Range(0.0, 0.6),
    )
    weight_dropout: float = param(
        0.0,
        "Probability of dropping a recurrent weight in training.",
        "probability of dropping a recurrent weight in training, with one mask for all steps of a batch.",
        panel=_TRAINING,
        share=True,
    )
    recurrent_dropout: float = param(
        0.0,
        "Probability of a 0 within the recurrence in training.",
        "probability of a 0 within the recurrence in training; see `recurra.cells.Regularized`.",
        panel=_TRAINING,
        share=True,
    )
    recurrent_dropout_per: str = param(
        "sequence",
        "sequence: zeros in the state, the same at all steps; step: in the candidate.",
        '`"sequence"` for the same units of the state at all steps, in products with recurrent weights; `"step"` for '
        "the candidate, other units at each step.",
        panel=_TRAINING,
        option="--recurrent-per",
        choices="recurra.cells.regularized:PER",
    )
    zoneout: float = param(
        0.0,
        "Probability that a unit keeps its state at a step in training.",
        "probability that a unit keeps its state at a step in training; otherwise units get the mean of both states.",
        panel=_TRAINING,
        share=True,
        shapes=True,
    )
    epochs: int | None = param(
        None,
        "Passes over the data. By default 6, more for small data.",
        "passes over the data. None for 6, or more on small data: at least 1,500 steps, at most 300 passes.",
        panel=_TRAINING,
        at_least=1,
        at_most=EPOCHS_LIMIT,
        none="for enough",
    )
    batch_size: int = param(64, "Sequences per step.", panel=_TRAINING, at_least=1, search=(16, 32, 64, 128))
    learning_rate: float = param(
        2e-3,
        "Peak learning rate of AdamW.",
        "peak learning rate of AdamW. It rises during the first steps and then falls as a cosine.",
        panel=_TRAINING,
        positive=True,
        search=Range(3e-4, 2e-2, log=True),
    )
    weight_decay: float = param(0.01, "", "weight decay of AdamW.", at_least=0, search=Range(1e-3, 0.3, log=True))
    gradient_clip: float = param(1.0, "", "largest norm of the gradient.", at_least=0)
    validation_fraction: float = param(
        0.1, "", "share of the training data that selects the best epoch if `fit` gets no validation data.", share=True
    )
    n_iter_no_change: int | None = param(
        3,
        "Epochs without an improvement before training stops. At least a fifth of all epochs without --epochs.",
        "epochs without an improvement on the validation data after which training stops. None for never. With "
        "`epochs=None` it is at least a fifth of the epochs.",
        panel=_TRAINING,
        option="--patience",
        at_least=0,
    )
    min_delta: float = param(
        1e-3,
        "Relative improvement that counts for --patience.",
        "relative improvement that counts for `n_iter_no_change`. The best epoch is kept in any case.",
        panel=_TRAINING,
        share=True,
    )
    average_weights: bool = param(
        False,
        "Keep a moving average of the weights.",
        "whether to validate and keep a moving average of the weights, over about one pass.",
        panel=_TRAINING,
        option="--average-weights",
    )
    random_state: int | np.random.RandomState | None = param(  # noqa: RUF009  (it is a field)
        0,
        "The same seed gives the same result.",
        "seed of initialisation, split, shuffling and dropout. No global generator is changed.",
        panel=_TRAINING,
        option="--seed",
        at_least=0,
        at_most=MAX_SEED,
    )
    device: str = param(
        "auto", "auto, cpu, cuda, …", '`"auto"`, `"cpu"`, `"cuda"`, …', panel=_TRAINING, fingerprint=False
    )
    engine: str = param("auto", "", "engine of the recurrence, see `recurra.ops`.", fingerprint=False)
    memory: str = param(
        "full",
        "full, or recompute: less memory for long sequences, but slower.",
        '`"full"` stores every step for the backward pass. `"recompute"` stores the states of √T steps and takes about '
        "a third longer, for sequences that are too long to store.",
        choices="recurra.ops:MEMORIES",
        panel=_TRAINING,
    )
    precision: str = param(
        "bfloat16",
        "bfloat16: faster on processors that multiply it; or float32.",
        '`"bfloat16"` rounds the factors of large matrix products in training (recurrent layers, output layers), on '
        "processors that multiply bfloat16 faster than float32. Sums, states, weights and predictions stay float32. "
        '`"float32"` rounds nothing.',
        choices="recurra.ops:PRECISIONS",
        panel=_TRAINING,
    )
    max_minutes: float | None = param(
        None,
        "Time limit of training. The result then depends on the speed of the machine.",
        "time limit of training, with the learning rate at its end. The result then depends on the speed of the "
        "machine. With `epochs=None` there are up to 300 passes. None for no limit.",
        panel=_TRAINING,
        positive=True,
        none="for no limit",
    )
    start_from: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "Model folder whose weights training starts from: of the same task, or of a language model. By default the "
        "weights are random.",
        "model whose weights training starts from: a model folder or a fitted estimator. It has the same task, or for "
        "classes, numbers and tags it is a `BlankFiller` or a `LanguageModel`. Its tokens and sizes are taken with it. "
        "It is not a part of the saved model.",
        panel=_TRAINING,
        fingerprint=False,
    )
    warm_start: bool = param(
        False,
        "",
        "whether another `fit` of this estimator starts from the weights that it has. Tokens, scales and sizes stay, "
        "and new classes are added.",
    )
    freeze: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "Parts of the network whose weights are not trained, such as encoder, separated by commas; by default none.",
        'name of a part of the network whose weights are not trained, such as `"encoder"` or `"encoder.embedding"`, or '
        "a list of names. The names are those of `network_`.",
        panel=_TRAINING,
    )
    verbose: int = param(
        1, "", "1 for a progress line in a terminal or a notebook, 0 for no output.", fingerprint=False
    )
    health_checks: bool = param(
        False,
        "Check gradients, gates and units during training, see recurra health.",
        "whether to measure the health of training, such as gradients and dead units; see `health_checks_`.",
        panel=_TRAINING,
        fingerprint=False,
    )
    keep_epochs: bool = param(
        False,
        "Keep the weights of up to 16 epochs, for recurra inspect --training.",
        "whether to keep the weights before training and of up to 16 evenly spaced epochs, in the model folder too; "
        "see `at_epoch` and `recurra.inspect.write_training`.",
        panel=_TRAINING,
        option="--keep-epochs",
        fingerprint=False,
    )
    optimizer: Any = param(  # noqa: RUF009  (it is a field)
        "adamw",
        "adamw, adam, nadam, radam, adagrad, rmsprop or sgd.",
        '`"adamw"`, `"adam"`, `"nadam"`, `"radam"`, `"adagrad"`, `"rmsprop"`, `"sgd"`, or a function that is called as '
        "a class of `torch.optim`, with groups of weights and `lr`.",
        panel=_TRAINING,
    )
    schedule: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "Fall of the learning rate: cosine, linear or constant; by default cosine.",
        '`"cosine"`, `"linear"` or `"constant"`: how the learning rate falls after its rise; or a function of the '
        "optimizer and the number of steps that returns a schedule of torch, which also decides about the rise. None "
        'for `"cosine"`; of few numeric series the rate falls when the loss no longer improves.',
        panel=_TRAINING,
    )
    logger: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        'where the metrics of the run go: `"tensorboard"`, `"mlflow"`, `"wandb"` or `"csv"`, a logger of '
        '`pytorch_lightning.loggers`, or a list of them. `"csv=FOLDER"` names a place for the files, '
        '`"mlflow=http://…"` a server. It is not a part of the saved model.',
        fingerprint=False,
    )
    callbacks: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "callback of `pytorch_lightning`, or a list of them. They are not a part of the saved model.",
        fingerprint=False,
    )


@dataclass(eq=False, repr=False)
class Shared:
    """Parameters that several tasks have. Their estimators declare the defaults, which differ."""

    bidirectional: bool | None = param(
        None,
        "Also read the sequence backwards.",
        panel=_NETWORK,
        option="--bidirectional/--one-direction",
        search=(False, True),
    )
    tokens: str | None = param(
        None,
        "char, word or bpe.",
        choices="recurra.data.encoders.text:TOKENS",
        panel=_NETWORK,
        search=("bpe", "word", "char"),
    )
    vocab_size: int | None = param(
        None, "Largest number of different tokens.", panel=_NETWORK, at_least=2, search=(2000, 4000, 8000, 16000)
    )
    embedding_size: int | None = param(
        None,
        "Size of a token's vector.",
        panel=_NETWORK,
        at_least=1,
        at_most=MAX_SIZE,
        search=Range(32, 256, log=True),
    )
    pooling: str | None = param(
        None,
        "attention, max, mean or last.",
        choices="recurra.nn:POOLINGS",
        panel=_NETWORK,
        search=("attention", "max", "mean", "last"),
    )
    vectors: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "File of word vectors: GloVe, word2vec or fastText. Texts are then read as words.",
        "file of word vectors: text of GloVe, word2vec or fastText, binary file of word2vec, or `.bin` of fastText. "
        "Words have them beside their trained vectors, and texts are then read as words. The vectors are saved with "
        "the model, which does not need the file.",
        panel=_TRAINING,
        none="for none",
    )
    variational_dropout: bool | None = param(
        None,
        "Drop the same features at all steps of a window.",
        "whether `dropout` drops the same features at all steps of a window (Gal and Ghahramani, 2016).",
        panel=_TRAINING,
        option="--variational-dropout",
    )
    metrics: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "further metrics of the validation data and of `evaluate`: a function of true and predicted values, as in "
        "`sklearn.metrics`, an object as those of torchmetrics, a list of them, or a dictionary by name.",
    )
    token_dropout: float | None = param(
        None, "Probability of hiding a token in training.", panel=_TRAINING, share=True, search=Range(0.0, 0.5)
    )


SHARED: dict[str, Param] = {field.name: field.metadata["param"] for field in dataclasses.fields(Shared)}
"""Metadata of the parameters of `Shared` by name."""


_ARGS = re.compile(r"^( *)Args:\n(?:\1 +\S.*\n)+", re.MULTILINE)


def with_descriptions(doc: str | None, params: dict[str, Param]) -> str | None:
    """Adds the parameters that the Args section of a docstring does not describe."""
    section = doc and _ARGS.search(doc)
    if not doc or not section:
        return doc
    indent = section[1] + "    "
    known = set(re.findall(rf"^{indent}(\w+):", section[0], re.MULTILINE))
    added = "".join(
        textwrap.fill(f"{name}: {text}", 120, initial_indent=indent, subsequent_indent=indent + "    ") + "\n"
        for name, spec in params.items()
        if (text := spec.description or spec.help[:1].lower() + spec.help[1:]) and name not in known
    )
    return doc[: section.end()] + added + doc[section.end() :]


_FLAGS = ("verbose",)
"""Whole numbers that may also be True or False."""


def check_params(estimator: Any) -> None:
    """Checks types, limits and choices of an estimator's parameters.

    Raises:
        UsageError: the first parameter that is not allowed.
    """
    check_types(estimator)
    for name, spec in params_of(type(estimator)).items():
        spec.check(name, getattr(estimator, name))


def check_types(estimator: Any) -> None:
    """Raises `UsageError` for the first parameter whose type is not the one that its hint names."""
    hints = hints_of(type(estimator))
    for name, value in estimator.get_params(deep=False).items():
        kinds = kinds_of(hints[name])
        if not any(_fits(value, kind) for kind in kinds) and not (name in _FLAGS and isinstance(value, bool)):
            wanted = " or ".join(dict.fromkeys(_words(kinds)))
            raise UsageError(f"{name} must be {wanted}, got {value!r:.60}")


def hints_of(estimator: type) -> dict[str, Any]:
    """Types of the parameters of an estimator's class."""
    import numpy as np

    return get_type_hints(estimator, localns={"np": np}, include_extras=True)


def _words(kinds: list[Any]) -> Iterator[str]:
    import numpy as np

    words = {
        int: "a whole number",
        float: "a finite number",
        bool: "True or False",
        str: "a text",
        types.NoneType: "None",
        np.random.RandomState: "a numpy.random.RandomState",
        Cell: "a Cell",
        type[Cell]: "its class",
    }
    return (words.get(kind, "a list or a dictionary") for kind in kinds)


def kinds_of(hint: Any) -> list[Any]:
    """Returns the types that a hint allows."""
    union = get_origin(hint) in (types.UnionType, Union)
    return list(get_args(hint)) if union else [hint]


def _fits(value: Any, kind: Any) -> bool:
    import numpy as np

    truth = isinstance(value, bool | np.bool_)
    if kind is int:
        return isinstance(value, int | np.integer) and not truth
    if kind is float:
        return isinstance(value, numbers.Real) and not truth and math.isfinite(value)
    if kind is bool:
        return truth or (isinstance(value, int) and value in (0, 1))
    if get_origin(kind) is type:
        return isinstance(value, type) and issubclass(value, get_args(kind))
    if kind in (str, types.NoneType, np.random.RandomState, Cell):
        return isinstance(value, kind)
    # sequences, dictionaries and objects are checked where they are used
    return kind is Any or not (value is None or isinstance(value, str | numbers.Number))
