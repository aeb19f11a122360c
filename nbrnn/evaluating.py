"""What evaluates a model: its figures over samples, without a step of the optimizer."""

from __future__ import annotations

from typing import Any

from .checks import count_or, verbosity
from .heads import shown
from .kerasways import TEST, knows
from .lowering import EVALUATE
from .program import Options
from .running import ALL, PREDICT_BATCH, Runnable
from .training import run_once


class Evaluable(Runnable):
    """A runnable model with a loss."""

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> float | list[float] | dict[str, float]:
        """Return what `evaluate` returns, for these samples as one batch.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        return_dict : bool
            As for `evaluate`.
        mask, lengths
            As for `fit`.

        Raises
        ------
        ValueError
            If an array does not fit.
        """
        return self.evaluate(
            x, y, ALL, return_dict=return_dict, sample_weight=sample_weight, mask=mask, lengths=lengths
        )

    @knows(TEST)
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = PREDICT_BATCH,
        verbose: int | str = 0,
        return_dict: bool = False,
        sample_weight: Any = None,
        initial_state: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
    ) -> float | list[float] | dict[str, float]:
        """Return the loss, or [loss, metrics...], or, with return_dict, them by name, as means over all samples.

        Parameters
        ----------
        x, y : arrays
            As for `fit`.
        batch_size : int
            How many samples are worked on at a time; it changes the memory used, not the figures.
        verbose : {0, 1, 2, "auto"}
            Whether the figures are printed too.
        return_dict : bool
        sample_weight, mask, lengths : arrays, optional
            As for `fit`; metrics know no weights.
        initial_state : dict or list of arrays (samples, units), optional
            The samples' first states, as for `predict`.
        """
        x, y = self._pair(x, y, mask, lengths)
        batch, loud = count_or("batch_size", batch_size, PREDICT_BATCH), verbosity(verbose)
        weights = self._weighted(y, sample_weight)
        figures = self._evaluate(x, y, batch, weights, initial_state)
        if loud:
            print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        return shown(figures, return_dict)

    def _validate(self, x: Any, y: Any, batch: int, weights: Any) -> dict[str, float]:
        """Evaluate within a fit; a stateful layer goes on from the training's last states, which are kept."""
        if not self.stateful:
            return self._evaluate(x, y, PREDICT_BATCH, weights, fixed=True)
        kept = self.states
        try:
            return self._evaluate(x, y, batch, weights, fixed=True)
        finally:
            self.set_states(kept)

    def _evaluate(
        self, x: Any, y: Any, batch: int, weights: Any, initial_state: Any = None, fixed: bool = False
    ) -> dict[str, float]:
        given = self._begin_at(initial_state, len(x), Options())
        executor = self._executor(EVALUATE, x, y, batch, *given, weights=weights, fixed=fixed)
        return self.figures_of(run_once(executor).sum(axis=0), len(x), executor.plan.masked)
