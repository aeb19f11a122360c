"""What the order of the steps is worth: windows whose steps are permuted, for a network and for a perceptron.

After the lesson 'Recurrent neural networks' (Weights & Biases, ml-class): one fixed permutation of the steps leaves the
problem of a Flatten -> Dense perceptron as it was, for its weights can be permuted too. A recurrent network goes
through the steps one by one, and loses what their order tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import one_of, whole_number
from .forecasting import Forecaster
from .joins import Flatten
from .layers import Dense
from .problems import TRAINING, VALIDATION, Problem
from .recipes import Recipe
from .sequential import Sequential

NETWORK, PERCEPTRON = "network", "Flatten -> Dense"
SAME = 0.01  # percent: rounding
DRAWS = 5
ROUGHLY = 1.0  # percent; less is the chance of a training
NETWORKS = (PERCEPTRON, NETWORK)  # the quick one first


@dataclass(frozen=True)
class Scrambled:
    """The RMSEs of one network on the rows that are judged, raw, all steps ahead and targets' errors in one.

    `ordered`, `tested` and `trained` are the medians of the draws.

    Parameters
    ----------
    name : str
        "network" or "Flatten -> Dense".
    draws : tuple of tuple of float
        A row a draw, that is other first weights and another permutation: the steps in their order; the same network,
        given windows whose steps are permuted; trained anew on permuted windows, and given such.
    """

    name: str
    draws: tuple[tuple[float, float, float], ...]

    @property
    def ordered(self) -> float:
        """The steps in their order."""
        return median(draw[0] for draw in self.draws)

    @property
    def tested(self) -> float:
        """The same network, given windows whose steps are permuted."""
        return median(draw[1] for draw in self.draws)

    @property
    def trained(self) -> float:
        """Trained anew on permuted windows, and given such."""
        return median(draw[2] for draw in self.draws)

    def verdict(self) -> str:
        """Return in words what the order of the steps is worth to the network, in all draws."""
        worse = [100 * (trained / ordered - 1) if ordered else 0.0 for ordered, _, trained in self.draws]
        count, low, high = len(worse), min(worse), max(worse)
        if self.name == PERCEPTRON:
            most = max(-low, high)
            told = "is what it was" if most < SAME else f"differs by {most:.2g} %, by rounding"
            return f"{self.name}, trained anew on permuted steps, {told}: to a perceptron their order is nothing."
        told = f"The {self.name}, trained anew on permuted steps,"
        if max(-low, high) < ROUGHLY:
            return f"{told} is as good: it makes no use of their order here."
        each = "in one draw" if count == 1 else f"in each of {count} draws (median {_percent(abs(median(worse)))})"
        if low > 0:
            return f"{told} errs {_range(low, high)} more {each}: so much is their order worth to it here."
        if high < 0:
            return f"{told} errs {_range(-high, -low)} less {each}: their order is of no use to it here."
        more = sum(one > 0 for one in worse)
        between = f"from {_percent(-low)} less to {_percent(high)} more"
        return f"{told} errs more in {more} of {count} draws, {between}: no use of their order can be seen here."


def _range(low: float, high: float) -> str:
    return _percent(low) if _percent(low) == _percent(high) else f"{_percent(low)} to {_percent(high)}"


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def scramble_time(
    problem: Problem,
    recipe: Recipe,
    seed: int = 0,
    draws: int = DRAWS,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> Iterator[Scrambled]:
    """Train a recipe, and a perceptron of the same windows, in order and on permuted steps; yield the RMSEs of each.

    Parameters
    ----------
    problem : Problem
        Scored is its validation part, or the test part where there is no validation.
    recipe : Recipe
        The first draw's networks are its own, those of the others have the seeds after them.
    seed : int, default 0
        Of the first draw's permutation, the same one for all windows; the other draws take the seeds after it.
    draws : int, default 5
        How often all is done; one permutation may happen to help.
    progress : callable, optional
        Called whenever a recipe was trained, in order or permuted, with how often that was done, and of how many.
    **options
        As for `Sequential.fit`, beside what the recipe decides.

    Raises
    ------
    ValueError
        If rows are missing, the window holds a single row, the training part is empty, `draws` is no whole number of
        at least 1, or as `Problem.check`.
    """
    orders = [permutation(recipe.window, seed + k) for k in range(whole_number("draws", draws, 1))]
    if problem.masked:
        raise ValueError("scrambled windows need every value, but some are missing; fill them first.")
    plain, done = np.arange(recipe.window), 0

    def trained(name: str, drawn: Recipe, order: NDArray[np.int64]) -> Forecaster:
        nonlocal done
        forecaster = _trained(name, problem, drawn, order, **options)
        done += 1
        if progress is not None:
            progress(done, 2 * len(NETWORKS) * len(orders))
        return forecaster

    for name in NETWORKS:
        found = []
        for k, order in enumerate(orders):
            drawn = replace(recipe, seed=recipe.seed + k * recipe.seeds)
            ordered, anew = trained(name, drawn, plain), trained(name, drawn, order)
            judged = (ordered, plain), (ordered, order), (anew, order)
            first, second, third = (_rmse(forecaster, problem, steps) for forecaster, steps in judged)
            found.append((first, second, third))
        yield Scrambled(name, tuple(found))


def permutation(window: int, seed: int = 0) -> NDArray[np.int64]:
    """Return a permutation of a window's steps that is not their own order; ValueError for a single step."""
    if window < 2:
        raise ValueError("a window of one row has no order to scramble; train with a longer window.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(window)
    while (order == np.arange(window)).all():
        order = rng.permutation(window)
    return order


def _untrained(name: str, problem: Problem, recipe: Recipe, order: NDArray[np.int64]) -> Forecaster:
    """Return a forecaster of a recipe, or with perceptrons in its place, whose scaler is fitted."""
    problem.check(recipe)
    columns = len(problem.table.columns)
    found = recipe.forecaster(columns, problem.targets, problem.known)
    if one_of("network", name, NETWORKS) == PERCEPTRON:
        for k, model in enumerate(found.models):
            found.models[k] = perceptron = Sequential(
                [Flatten(), Dense(recipe.horizon * len(problem.targets))], model.input_shape, seed=model.seed
            )
            perceptron.compile(model.optimizer or recipe.optimizer, recipe.loss)
            kernel, bias = perceptron.get_weights()
            permuted = kernel.reshape(recipe.window, columns, -1)[order]  # the same first guess for every order
            perceptron.set_weights([permuted.reshape(kernel.shape), bias])
    return found.measure(problem.table[problem.parts[TRAINING]])


def _trained(name: str, problem: Problem, recipe: Recipe, order: NDArray[np.int64], **options: Any) -> Forecaster:
    """Return a forecaster that was trained as the recipe says, on windows whose steps are permuted."""
    forecaster = _untrained(name, problem, recipe, order)
    x, y = forecaster.windows(problem.table[problem.parts[TRAINING]])
    how: dict[str, Any] = {"epochs": recipe.epochs, "batch_size": recipe.batch_size, "verbose": 0}
    held = problem.parts.get(VALIDATION)
    if held is not None:
        other, wanted = forecaster.windows(problem.table[held.start - forecaster.past : held.stop])
        how |= {"validation_data": (other[:, order], wanted), "callbacks": recipe.callbacks()}
    for model in forecaster.models:
        model.fit(x[:, order], y, **how | options)
    return forecaster


def _rmse(forecaster: Forecaster, problem: Problem, order: NDArray[np.int64]) -> float:
    """Return the error of forecasts from permuted windows of the part that is judged."""
    part, steps = problem.parts[problem.judged], forecaster.horizon
    rows = problem.table[part.start - forecaster.past : part.stop]
    origins = forecaster.origins(rows, steps)
    paths = forecaster.paths(replace(origins, windows=origins.windows[:, order]), steps)
    return float(np.sqrt(np.mean((paths.mean(axis=1) - forecaster.actual(rows, steps)) ** 2)))
