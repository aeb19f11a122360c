"""A layer's numbers, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cells import Arrays, Opened, Taken


class Step:
    """The numbers of one step, by name: `step.h`, `step["h"]`; `step.names` lists them.

    Attributes
    ----------
    masked : bool
        Whether the layer did not take the step, because a mask leaves it out.
    """

    def __init__(self, numbers: Arrays, masked: bool = False) -> None:
        self._numbers, self.masked = numbers, masked

    @property
    def names(self) -> list[str]:
        """The quantities' names, in the order in which they are computed."""
        return list(self._numbers)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._numbers[name]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(f"a step here has no {name!r}; it has {', '.join(self.__dict__.get('_numbers', {}))}.")
        return self._numbers[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._numbers]

    def __repr__(self) -> str:
        shown = [f"{name} = {np.array2string(numbers)}" for name, numbers in self._numbers.items()]
        return "\n".join(["masked"] * self.masked + shown)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as lists, and `masked` where it is true."""
        return ({"masked": True} if self.masked else {}) | lists(self._numbers)


class LayerTrace:
    """One call of a layer: its numbers.

    Attributes
    ----------
    name, kind : str
        The layer's name, "gru:2" for its second call, and its class: "SimpleRNN", "LSTM", "Dense" ...
    layer : Layer
        A copy, in float64.
    reads : list of str
        Whose outputs it reads: layers of the trace, or inputs of the model.
    gives : list of str
        The outputs of the model that it gives.
    weights : dict of str to numpy.ndarray
        Wx, Wh, b.
    steps, backward : list of Step
        In the order in which the layer takes its steps; `backward[t]` belongs to `steps[t]`. A layer on vectors has
        one step. Without targets `backward` is empty.
    totals : dict of str to numpy.ndarray
        dWx, dWh, db: the sums over all steps, which are the run's own gradients; of a layer that is called more than
        once the sums of all calls are.
    """

    def __init__(self, opened: Opened, reads: list[str]) -> None:
        self.name, self.kind, self.layer = opened.name, type(opened.layer).__name__, opened.layer
        self.weights, self.totals, self.gates = opened.weights, opened.totals, opened.gates
        self.steps, self.backward = (_steps(taken) for taken in (opened.steps(), opened.steps_back()))
        self.reads, self.gives = reads, list[str]()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold."""
        config = {key: value for key, value in self.layer.config().items() if key not in ("name", "input_shape")}
        return {
            "name": self.name,
            "cell": self.kind,
            "config": config,
            "reads": self.reads,
            "gives": self.gives,
            "params": lists(self.weights),
            "steps": [step.to_dict() for step in self.steps],
            "backward": [step.to_dict() for step in self.backward],
            "totals": lists(self.totals),
        }


def _steps(taken: Taken) -> list[Step]:
    return [Step(numbers, masked) for numbers, masked in taken]


def lists(arrays: Arrays) -> dict[str, Any]:
    """Return arrays as lists."""
    return {name: array.tolist() for name, array in arrays.items()}
