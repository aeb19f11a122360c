"""The persistent kernels in a process in which Numba simulates CUDA; test_cuda_persistent.py starts it."""

import random
import threading

import numpy as np
import pytest
from numba import cuda
from support import assert_close

from nbrnn.kernels import KERNELS
from nbrnn.targets.cuda import launching, persistent, persistent_memory
from nbrnn.targets.cuda.persistent_layout import lay

TOLERANCES = {"float32": 2e-6, "float64": 1e-13, "tf32": 3e-3, "bfloat16": 3e-2}
T, B, D = 4, 5, 2
ALIVE = np.array([5, 4, 4, 1])
FORWARD = ["simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward"]
BACKWARD = [name.replace("forward", "backward") for name in FORWARD]
GATES = {"simple_rnn": 1, "lstm": 4, "gru_after": 3, "gru_before": 3}


def drawn(name, H, dtype, rng, *, full=True, masked=False, limited=False, inference=False, every=True, add=0):
    """Return random arguments of a kernel."""
    gates = GATES[name.rpartition("_")[0]]
    G, absent = gates * H + (3 if gates == 4 else 0), {"U": 2 if inference else T + 1, "K": 1 if inference else T}
    lengths = {"T": T, "B": B, "D": D, "H": H, "G": G, "E": G, "V": absent["U"], **absent}
    if "backward" in name:
        lengths["K"] = T if every else 1
    if "before" in name:
        lengths["G"] = 3 * H
    there = {"mask": masked, "kept": masked, "room": masked, "alive": limited, "a": full and not inference}
    there |= {"b": full, "c": full, "dh0": full}
    arguments = {}
    for a in KERNELS[name].arguments:
        if a.dims is None:
            arguments[a.name] = {"activation": 1, "gate": 2, "add": add}.get(a.name, int(full))
        elif a.name == "alive":
            arguments[a.name] = ALIVE.copy() if limited else np.zeros(0, np.int64)
        elif a.optional and not there.get(a.name, False):
            arguments[a.name] = np.zeros((0,) * len(a.dims), dtype)
        else:
            sizes = []
            for text in a.dims:
                factor, letter, extra = persistent_dimension(text)
                sizes.append(factor * lengths[letter] + extra)
            arguments[a.name] = rng.normal(0.0, 0.5, sizes).astype(dtype)
    if masked:
        arguments["mask"] = rng.choice([0.0, 1.25], (B, H)).astype(dtype)
    for name_ in ("g", "h", "s", "c", "q", "m"):  # of a pass back: gates and states as they might be
        if "backward" in name and name_ in arguments:
            arguments[name_] = (np.abs(np.tanh(arguments[name_])) if name_ == "g" else np.tanh(arguments[name_])).astype(dtype)
    return arguments


def persistent_dimension(text):
    from nbrnn.kernels.abi import dimension

    return dimension(text)


def simulated(layout, arguments, stops=(0, T)):
    """Return what a layout's kernel leaves in copies of its arguments; launches of a pass back end at `stops`."""
    own = {k: cuda.to_device(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    if "forward" in layout.kernel:
        persistent.forward(layout, own)
    else:
        for t0, t1 in reversed(list(zip(stops[:-1], stops[1:], strict=True))):
            persistent.run(layout, own | {"steps": T}, t0, t1)
    return {k: v.copy_to_host() if hasattr(v, "copy_to_host") else v for k, v in own.items()}


def on_the_cpu(name, arguments):
    own = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    KERNELS[name].function(**own)
    return own


def compare(name, expected, actual, tolerance, limited=False, inference=False):
    """Compare every output, but the room of inference, and rows that have no step."""
    for a in KERNELS[name].arguments:
        if not a.written or expected[a.name].size == 0 or (inference and a.name in "gsqm"):
            continue
        one, two = expected[a.name], actual[a.name]
        if a.name in ("g", "a", "da", "dq") and "before" not in name:  # rows may be longer than the gates
            columns = GATES[name.rpartition("_")[0]] * expected["h" if "h" in expected else "c"].shape[-1]
            one, two = one[..., :columns], two[..., :columns]
        assert_close(two, one, tolerance, f"{name}: {a.name}")


CASES = [
    dict(full=True),
    dict(full=False),
    dict(full=True, masked=True),
    dict(full=True, limited=True, masked=True),
    dict(full=False, limited=True, every=False),
    dict(full=True, inference=True),
    dict(full=False, inference=True, limited=True),
    dict(full=True, every=False, add=1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: ",".join(f"{k}={v}" for k, v in c.items()))
@pytest.mark.parametrize("name", FORWARD + BACKWARD)
def test_a_kernel_gives_the_cpus_numbers(name, case):
    if "backward" in name and case.get("inference"):
        pytest.skip("there is no way back")
    rng = np.random.default_rng(3)
    for H, dtype, rows, abreast, threads, registers in (
        (5, "float64", 2, 1, 8, 255),
        (3, "float32", 2, 2, 4, 0),
    ):
        arguments = drawn(name, H, dtype, rng, **case)
        layout = lay(name, H, dtype, rows, abreast, threads, registers)
        actual, expected = simulated(layout, arguments), on_the_cpu(name, arguments)
        compare(name, expected, actual, TOLERANCES[dtype], inference=case.get("inference", False))
