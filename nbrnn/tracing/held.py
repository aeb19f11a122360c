"""Masked steps: a layer holds its states in them, and what comes back to them goes on as it is.

A run works on the steps that count alone (kernels/masking.py); here their numbers stand at their steps again.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def from_above(dy: np.ndarray, valid: np.ndarray, zero: bool) -> np.ndarray:
    """Return what comes back to every step's state, (T, H), from the gradient of the last outputs, (K, H).

    The output of a step is no state before the first one that counts, nor of a masked one where it is `zero`.
    """
    loss = np.zeros((len(valid), dy.shape[-1]))
    loss[len(valid) - len(dy) :] = dy
    return loss * heard(valid, zero)[:, None]


def heard(valid: np.ndarray, zero: bool) -> np.ndarray:
    """Return which steps have a state as output."""
    return valid if zero else np.cumsum(valid) > 0


def together(loss: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return, for each step that counts, the sum of what comes back to it and to the masked ones that follow."""
    sums, at = np.zeros((int(valid.sum()), loss.shape[-1])), np.cumsum(valid) - 1
    np.add.at(sums, at[at >= 0], loss[at >= 0])
    return sums


def forward_steps(forward: Arrays, valid: np.ndarray, x: np.ndarray, states: Arrays) -> list[tuple[Arrays, bool]]:
    """Return every step's numbers and whether it is masked; `states` hold one row more than steps that count."""
    kept = [name for name in forward if name == "x" or name.removesuffix("_prev") in states]
    found, s = list[tuple[Arrays, bool]](), 0
    for t, taken in enumerate(valid):
        if taken:
            found.append(({name: array[s] for name, array in forward.items()}, False))
            s += 1
        else:
            held = {"x": x[t]} | {f"{name}{end}": state[s] for name, state in states.items() for end in ("_prev", "")}
            found.append(({name: held[name] for name in kept}, True))
    return found


def backward_steps(
    backward: Arrays, valid: np.ndarray, loss: np.ndarray, states: tuple[str, ...]
) -> list[tuple[Arrays, bool]]:
    """Return every step's gradients and whether it is masked: there that of the states goes on, the others are zero."""
    first, *others = states
    flows = {name: np.zeros(loss.shape[-1]) for name in states}
    found, s = list[tuple[Arrays, bool]](), int(valid.sum())
    for t in range(len(valid) - 1, -1, -1):
        if valid[t]:
            s -= 1
            own = {name: array[s] for name, array in backward.items()}
        else:
            own = {name: np.zeros(array.shape[1:]) for name, array in backward.items()}
            own[f"d{first}"] = own[f"d{first}_prev"] = loss[t] + flows[first]
            for name in others:
                own |= {key: flows[name] for key in (f"d{name}_future", f"d{name}", f"d{name}_prev") if key in own}
        own |= {f"d{first}_loss": loss[t], f"d{first}_future": flows[first]}
        flows = {name: own[f"d{name}_prev"] for name in states}
        found.append((own, not valid[t]))
    return found[::-1]
