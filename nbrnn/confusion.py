"""The confusion matrix: how often each class was taken for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import real_number, whole_number
from .series import real_array

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of samples by their class and the class that was predicted; print it for a table.

    Attributes
    ----------
    counts : numpy.ndarray
        (classes, classes), int64: row i, column j counts the samples of class i that were taken for class j.
        `numpy.asarray` of the matrix gives it.
    """

    counts: np.ndarray

    @classmethod
    def of(
        cls, model: Model, x: Any, y: Any, classes: int | None = None, threshold: float | None = None
    ) -> ConfusionMatrix:
        """Return the matrix of a model's predictions.

        Parameters
        ----------
        model : Model
            Of one output.
        x, y : arrays
            As for `fit`.
        classes : int, optional
            As for `confusion_matrix`.
        threshold : float, optional
            Of one output: 0.5, or 0 where the model was compiled with a loss that takes logits.

        Raises
        ------
        ValueError
            If the model has several outputs, or an array does not fit.
        """
        if len(model.graph.outputs) > 1:
            raise ValueError(
                f"a confusion matrix is one of one output, but the model has {', '.join(model.graph.output_names)}: "
                "give nbrnn.confusion_matrix the predictions of one."
            )
        outputs = model.predict(x)
        logits = bool(getattr(model.loss, "parameters", {}).get("from_logits"))
        usual = 0.0 if logits else 0.5
        first = outputs[0] if isinstance(outputs, list) else outputs
        return confusion_matrix(y, first, classes, usual if threshold is None else threshold)

    @property
    def accuracy(self) -> float:
        """The share on the diagonal."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def precision(self) -> np.ndarray:
        """For each class the share of right ones among those that were taken for it; 0 where there are none."""
        return self._share(0)

    @property
    def recall(self) -> np.ndarray:
        """For each class the share of its samples that were found; 0 where there are none."""
        return self._share(1)

    def _share(self, axis: int) -> np.ndarray:
        whole = self.counts.sum(axis=axis)
        return np.divide(np.diag(self.counts), whole, out=np.zeros(len(whole)), where=whole > 0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.counts, dtype=dtype)

    def __str__(self) -> str:
        names = [str(k) for k in range(len(self.counts))]
        width = 2 + max(len(str(self.counts.max())), len(names[-1]), 4)
        head = f"{'class':<8}" + "".join(f"{name:>{width}}" for name in names) + f"{'recall':>10}"
        lines = ["rows: the samples' classes; columns: what was predicted", head]
        for name, row, share in zip(names, self.counts, self.recall, strict=True):
            lines.append(f"{name:<8}" + "".join(f"{n:>{width}}" for n in row) + f"{share:>10.3f}")
        lines.append(f"{'prec.':<8}" + "".join(f"{share:>{width}.2f}" for share in self.precision))
        return "\n".join([*lines, f"accuracy {self.accuracy:.3f} of {self.counts.sum()}"])


def confusion_matrix(y_true: Any, y_pred: Any, classes: int | None = None, threshold: float = 0.5) -> ConfusionMatrix:
    """Count how often each class was predicted for each class.

    Parameters
    ----------
    y_true : array
        Classes counted from 0, (samples,) or (samples, 1) (or with an axis of time steps before), or one-hot,
        (samples, classes).
    y_pred : array
        What `Sequential.predict` returns: (samples, classes), of which the largest counts; one output, (samples, 1),
        which is class 1 above the threshold, else 0; or whole numbers (an integer array), the classes themselves.
    classes : int, optional
        How many there are; seen from the arrays where it is not given.
    threshold : float, default 0.5
        Of one output; 0 for a logit.

    Returns
    -------
    ConfusionMatrix

    Raises
    ------
    ValueError
        If the arrays hold no classes, or do not fit each other or `classes`.

    Examples
    --------
    >>> import nbrnn
    >>> matrix = nbrnn.confusion_matrix([0, 1, 1], [[0.1], [0.2], [0.7]])
    >>> matrix.counts.tolist()
    [[1, 0], [1, 1]]
    """
    threshold = real_number("threshold", threshold, -np.finfo(float).max)
    truth, guess = real_array("y_true", y_true), real_array("y_pred", y_pred)
    least = 2
    if guess.ndim > 1 and guess.shape[-1] > 1 and guess.dtype.kind == "f":
        least, guess = guess.shape[-1], guess.argmax(axis=-1)
    elif guess.dtype.kind == "f":
        guess = guess > threshold
    if truth.ndim > 1 and truth.size == guess.size * truth.shape[-1] > guess.size:
        if not np.isin(truth, (0, 1)).all() or (truth.sum(axis=-1) != 1).any():
            raise ValueError("y_true must hold classes counted from 0, or one-hot rows of one 1 and zeros else.")
        least, truth = max(least, truth.shape[-1]), truth.argmax(axis=-1)
    truth, guess = truth.reshape(-1), guess.reshape(-1)
    if truth.size != guess.size or not truth.size:
        raise ValueError(
            f"y_true names the classes of {truth.size} samples, y_pred of {guess.size}; they must be as many, and some."
        )
    found = 1 + int(max(truth.max(), guess.max(), least - 1))
    count = found if classes is None else whole_number("classes", classes, 2)
    for name, labels in (("y_true", truth), ("y_pred", guess)):
        bad = (labels < 0) | (labels >= count) | (labels != np.floor(labels))
        if bad.any():
            raise ValueError(
                f"{name} holds {labels[bad.argmax()]:g}, but classes are whole numbers from 0 to {count - 1}."
            )
    places = truth.astype(np.int64) * count + guess.astype(np.int64)
    return ConfusionMatrix(np.bincount(places, minlength=count * count).reshape(count, count))
