"""What a person decides about a network for a series: its sizes, how it is trained, and what it is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .callbacks import Callback, EarlyStopping
from .checks import one_of, real_number, share, whole_number
from .forecasting import Forecaster
from .framing import MISSING
from .gated import GRU, LSTM
from .layers import Dense, Layer
from .losses import get_loss
from .optimizers import OPTIMIZERS
from .recurrent import Recurrent
from .scalers import SCALERS
from .sequential import Sequential
from .simple import SimpleRNN
from .transforms import KINDS

CELLS: dict[str, type[Recurrent]] = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}


@dataclass(frozen=True)
class Recipe:
    """A network for a series, and how it is trained.

    Parameters
    ----------
    window : int
        Rows that it sees before each forecast.
    horizon : int
        Steps ahead that it gives at a time (direct); further ones are predicted in closed loop.
    cell : {"rnn", "gru", "lstm"}
    units : tuple of int
        Of each recurrent layer, from the first to the last.
    dropout : float
        Rate of the variational dropout (one mask a sequence) on the states, and on the inputs of all recurrent layers
        but the first.
    loss : str
    optimizer : str
    learning_rate : float, optional
        The optimizer's own if not given.
    epochs : int
        At most.
    batch_size : int
    patience : int
        Epochs without a better validation loss after which the training stops; the best weights are kept.
    scale : {"minmax", "standard", "max", "none"}
    transform : {"none", "log", "difference", "log-difference"}
    missing : {"refuse", "mask"}
    seed : int
        Decides the first weights, the order of the windows and the dropout masks.
    seeds : int
        How many networks are trained, with the seeds from `seed` on; the forecast is the mean of theirs.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    window: int = 24
    horizon: int = 1
    cell: str = "rnn"
    units: tuple[int, ...] = (32,)
    dropout: float = 0.0
    loss: str = "mse"
    optimizer: str = "adam"
    learning_rate: float | None = None
    epochs: int = 100
    batch_size: int = 16
    patience: int = 10
    scale: str = "minmax"
    transform: str = "none"
    missing: str = "refuse"
    seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        for name in ("window", "horizon", "epochs", "batch_size", "patience", "seeds"):
            whole_number(name.replace("_", "-"), getattr(self, name))
        whole_number("seed", self.seed, 0)
        if not isinstance(self.units, tuple):
            raise ValueError(f"units must be a tuple with a number for each layer, such as (8,), not {self.units!r}.")
        if not self.units:
            raise ValueError("units must name at least one layer's units, such as 16 or 32,16.")
        for units in self.units:
            whole_number("units", units)
        share("dropout", self.dropout)
        one_of("cell", self.cell, CELLS)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("scale", self.scale, [*SCALERS, "none"])
        one_of("transform", self.transform, KINDS)
        one_of("missing", self.missing, MISSING)
        get_loss(self.loss)
        if self.learning_rate is not None:
            real_number("learning-rate", self.learning_rate, open_low=True)

    def model(self, columns: int, targets: int, seed: int) -> Sequential:
        """Return the compiled network for so many columns and targets."""
        layers: list[Layer] = []
        kind: Any = CELLS[self.cell]
        optimizer: Any = OPTIMIZERS[self.optimizer]
        for k, units in enumerate(self.units):
            last = k == len(self.units) - 1
            dropped = {"dropout": self.dropout if k else 0.0, "recurrent_dropout": self.dropout}
            layers.append(kind(units, return_sequences=not last, **dropped))
        layers.append(Dense(self.horizon * targets))
        model = Sequential(layers, input_shape=(self.window, columns), seed=seed)
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        model.compile(optimizer(**rate), self.loss)
        return model

    def forecaster(self, columns: int, targets: tuple[str, ...], known: tuple[str, ...] = ()) -> Forecaster:
        """Return the forecaster, not fitted, of tables with so many columns."""
        models = [self.model(columns, len(targets), self.seed + k) for k in range(self.seeds)]
        scaler = None if self.scale == "none" else SCALERS[self.scale]()
        return Forecaster(
            models, self.window, scaler, list(targets), 1, self.transform, known=list(known), missing=self.missing
        )

    def callbacks(self) -> list[Callback]:
        """Return what stops the training; only with validation rows."""
        return [EarlyStopping("val_loss", patience=self.patience, restore_best_weights=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self) | {"units": list(self.units)}


def recipe_from_dict(d: dict[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote; ValueError if it is none."""
    names = [field.name for field in fields(Recipe)]
    unknown = set(d) - set(names)
    if unknown:
        raise ValueError(f"a recipe has no {', '.join(sorted(unknown))}; it has {', '.join(names)}.")
    return Recipe(**d | ({"units": tuple(d["units"])} if "units" in d else {}))
