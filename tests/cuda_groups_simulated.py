"""The kernels of design "groups" in a process in which Numba simulates CUDA; test_cuda_groups.py starts it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from numba import cuda
from support import assert_close

from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import dimension
from nbrnn.targets.cuda import barrier, groups
from nbrnn.targets.cuda.designs import Site, choose
from nbrnn.targets.cuda.device import chip
from nbrnn.targets.cuda.splits import GATES, Split

TOLERANCES = {"float32": 2e-6, "tf32": 3e-3, "bfloat16": 2e-2}
T, B, D, H = 3, 5, 2, 12
ALIVE = np.array([5, 4, 1])
CELLS = ["lstm", "gru_after", "simple_rnn"]
EMPTY = ("Px", "Ph", "PT", "mask", "kept", "room")


def drawn(name, *, full=True, limited=False, every=True, keeps=True):
    """Return random arguments of a kernel, whose rows of gates are four numbers longer than the gates."""
    rng = np.random.default_rng(5)
    gates = GATES[name.rpartition("_")[0]]
    lengths = dict(T=T, B=B, D=D, H=H, G=gates * H + 4, E=gates * H + 4)
    lengths |= dict(U=T + 1, V=T + 1, K=T if every else 1) if keeps else dict(U=2, V=2, K=1)
    arguments = {}
    for a in KERNELS[name].arguments:
        if a.dims is None:
            arguments[a.name] = {"activation": 1, "gate": 2}.get(a.name, int(full))
        elif a.name == "alive":
            arguments[a.name] = ALIVE if limited else np.zeros(0, np.int64)
        elif a.name in EMPTY or (a.optional and not full):
            arguments[a.name] = np.zeros((0,) * len(a.dims), np.float32)
        else:
            parts = [dimension(text) for text in a.dims]
            arguments[a.name] = rng.normal(0.0, 0.5, [f * lengths[x] + more for f, x, more in parts]).astype("float32")
    return arguments


def split_for(name, precision, units=8, members=2, threads=None, room=48 * 1024):
    """Return two groups of blocks, the second with fewer sequences, and the last block with fewer units."""
    cell, way = name.rsplit("_", 1)
    threads = threads or (40 if precision == "float32" else 64)
    return Split(way == "backward", H, GATES[cell], precision, units, 2, 3, threads, room)


def on_the_device(name, split, arguments):
    """Return what the launches leave in copies of the arguments."""
    own = {k: cuda.to_device(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    sizes = dict(T=T, B=B, H=H, U=own["h"].shape[0] if "h" in own else 0, K=own["g"].shape[0] if "g" in own else 0)
    site = Site(name, sizes, frozenset(), split.precision, chip())
    (groups.backward_form if split.backward else groups.forward_form)(site, split)(*own.values())
    return {k: v.copy_to_host() for k, v in own.items() if isinstance(arguments[k], np.ndarray)}


def on_the_cpu(name, arguments):
    own = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    KERNELS[name].function(*own.values())
    return own


def compare(name, arguments, precision="float32", **options):
    expected = on_the_cpu(name, arguments)
    actual = on_the_device(name, split_for(name, precision, **options), arguments)
    for a in KERNELS[name].arguments:
        if a.written and expected[a.name].size:
            if arguments["alive"].size and a.name in ("g", "h"):  # the input's product stands in rows that have no step
                for t in range(T):
                    there = (t + 1) % len(expected["h"]) if a.name == "h" else t % len(expected["g"])
                    actual[a.name][there, ALIVE[t] :] = expected[a.name][there, ALIVE[t] :]
            assert_close(actual[a.name], expected[a.name], TOLERANCES[precision], f"{name}: {a.name}")
    return actual


WAYS = [f"{cell}_{way}" for cell in CELLS for way in ("forward", "backward")]
OPTIONS = [dict(), dict(full=False), dict(limited=True), dict(full=False, limited=True, every=False), dict(every=False)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", WAYS)
def test_groups_of_blocks_give_the_cpus_numbers(name, options):
    if "forward" in name and not options.get("every", True):
        options = options | dict(keeps=False)
    compare(name, drawn(name, **options))


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
@pytest.mark.parametrize("name", ["lstm_forward", "lstm_backward", "gru_after_forward", "simple_rnn_backward"])
def test_tensor_cores_give_the_cpus_numbers_to_their_precision(name, precision):
    compare(name, drawn(name, limited=True), precision)
