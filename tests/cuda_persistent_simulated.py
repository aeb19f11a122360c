"""The persistent kernels in a process in which Numba simulates CUDA; test_cuda_persistent.py starts it."""

from itertools import pairwise

import numpy as np
import pytest
from cuda_strict import Race
from numba import cuda
from support import assert_close

from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import dimension
from nbrnn.targets.cuda import persistent
from nbrnn.targets.cuda.designs import DESIGNS, Site, choose
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_layout import lay

TOLERANCES = {"float32": 2e-6, "float64": 1e-13, "tf32": 4e-3, "bfloat16": 4e-2}  # of the largest number
T, B, D = 3, 5, 2
ALIVE = np.array([4, 3, 1])
FORWARD = ["simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward"]
BACKWARD = [name.replace("forward", "backward") for name in FORWARD]
GATES = {"simple_rnn": 1, "lstm": 4, "gru_after": 3, "gru_before": 3}


def drawn(name, H, dtype, full=True, masked=False, limited=False, inference=False, every=True, add=0):
    """Return random arguments of a kernel."""
    rng, gates = np.random.default_rng(3), GATES[name.rpartition("_")[0]]
    wide = gates * H + (3 if gates == 4 else 0)  # rows of g and da may be longer than the gates
    lengths = {"T": T, "B": B, "D": D, "H": H, "G": wide, "E": wide}
    lengths |= dict.fromkeys("UV", 2 if inference else T + 1)
    lengths["K"] = 1 if (inference if "forward" in name else not every) else T
    there = {"mask": masked, "kept": masked, "room": masked, "alive": limited, "a": full and not inference}
    there |= dict.fromkeys(("b", "c", "dh0"), full)
    arguments = {}
    for a in KERNELS[name].arguments:
        if a.dims is None:
            arguments[a.name] = {"activation": 1, "gate": 2, "add": add}.get(a.name, int(full))
        elif a.optional and not there.get(a.name, False):
            arguments[a.name] = np.zeros((0,) * len(a.dims), dtype)
        elif a.name == "alive":
            arguments[a.name] = ALIVE
        else:
            parts = [dimension(text) for text in a.dims]
            shape = [factor * lengths[letter] + extra for factor, letter, extra in parts]
            arguments[a.name] = rng.normal(0.0, 0.5, shape).astype(dtype)
    if masked:
        arguments["mask"] = rng.choice([0.0, 1.25], (B, H)).astype(dtype)
    if "backward" in name:  # gates and states as they might be
        for key in {"g", "h", "s", "c", "q"} & arguments.keys():
            arguments[key] = np.tanh(abs(arguments[key]) if key == "g" else arguments[key])
    return arguments


def simulated(layout, arguments, stops=(0, T)):
    """Return what a layout's kernel leaves in copies of its arguments; launches of a pass back end at `stops`."""
    own = {k: cuda.to_device(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    if "forward" in layout.kernel:
        persistent.forward(layout, own)
    else:
        for t0, t1 in reversed(list(pairwise(stops))):
            persistent.run(layout, own | {"steps": T}, t0, t1)
    return {k: v.copy_to_host() if hasattr(v, "copy_to_host") else v for k, v in own.items()}


def on_the_cpu(name, arguments):
    """Return the same of the CPU's kernel, in plain Python."""
    own = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    KERNELS[name].function(**own)
    return own


def outputs(name, found, inference=False):
    """Return what a kernel writes, without the rests of long rows, and what nobody reads after inference."""
    left = {}
    for a in KERNELS[name].arguments:
        if a.written and found[a.name].size and not (inference and a.name in "gsqm"):
            columns = found["Wh" if "Wh" in found else "Wg"].shape[0] * GATES[name.rpartition("_")[0]]
            left[a.name] = found[a.name][..., :columns] if a.name in ("g", "da", "dq") else found[a.name]
    return left


CASES = [  # units, dtype, sequences of a block and at once, threads, registers; and the call
    (5, "float64", 2, 1, 8, 255, {}),
    (3, "float32", 2, 2, 4, 0, {"full": False}),
    (3, "float64", 1, 1, 9, 90, {"masked": True}),
    (5, "float64", 4, 2, 7, 0, {"masked": True, "limited": True}),
    (1, "float64", 2, 1, 4, 255, {"full": False, "limited": True, "every": False}),
    (3, "float64", 2, 1, 12, 255, {"inference": True}),
    (2, "float32", 4, 4, 4, 255, {"full": False, "inference": True, "limited": True}),
    (3, "float64", 2, 2, 6, 255, {"every": False, "add": 1}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: ",".join([f"{c[0]} {c[1]}", *c[6]]))
@pytest.mark.parametrize("name", FORWARD + BACKWARD)
def test_a_kernel_gives_the_cpus_numbers(name, case):
    H, dtype, rows, abreast, threads, registers, call = case
    arguments = drawn(name, H, dtype, **call)
    layout = lay(name, H, dtype, rows, abreast, threads, registers)
    forgets = call.get("inference", False) and "forward" in name
    actual = outputs(name, simulated(layout, arguments), forgets)
    expected = outputs(name, on_the_cpu(name, arguments), forgets)
    assert actual.keys() == expected.keys() and ("h" in actual or "da" in actual)
    for key in expected:
        assert_close(actual[key], expected[key], TOLERANCES[dtype], key)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("name", ["lstm_forward", "gru_before_backward"])
def test_lower_precisions_round_the_products_factors(name, precision):
    arguments = drawn(name, 5, "float32")
    expected = outputs(name, on_the_cpu(name, arguments))
    found = [
        outputs(name, simulated(lay(name, 5, precision, 2, 1, 8, registers, packed), arguments))
        for registers, packed in ((255, False), (255, precision == "bfloat16"), (0, precision == "bfloat16"))
    ]
    for key in expected:
        assert_close(found[0][key], expected[key], TOLERANCES[precision], key)
        assert all(one[key].tobytes() == found[0][key].tobytes() for one in found)
    assert any(abs(found[0][key] - expected[key]).max() > 1e-4 for key in expected)


@pytest.mark.parametrize("name", ["lstm_forward", "gru_before_forward", "simple_rnn_backward", "lstm_backward"])
def test_bits_depend_neither_on_the_rows_of_a_block_nor_on_the_launches(name, monkeypatch):
    arguments = drawn(name, 3, "float32", limited=True, inference="forward" in name)
    one = outputs(name, simulated(lay(name, 3, "float32", 1, 1, 8), arguments), "forward" in name)
    monkeypatch.setattr(persistent, "ROOM", 1)  # a step at once
    for rows, abreast, stops in ((4, 2, (0, 1, 3)), (2, 2, (0, 2, 3)), (1, 1, (0, 1, 2, 3))):
        other = outputs(name, simulated(lay(name, 3, "float32", rows, abreast, 8), arguments, stops), "forward" in name)
        assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in other.items()}


@pytest.mark.parametrize("kernel", FORWARD)
def test_the_way_back_is_the_derivative_of_the_way_there(kernel):
    H, back = 2, kernel.replace("forward", "backward")
    arguments = drawn(kernel, H, "float64")
    given = drawn(back, H, "float64")
    arguments["h"][1:] = 0.0
    layout = lay(kernel, H, "float64", 2, 1, 4)
    weights = np.random.default_rng(9).normal(size=(T, B, H))
    kept = simulated(layout, arguments)
    tape = {a.name: kept[a.name] for a in KERNELS[back].arguments if a.name in kept and not a.written}
    tape |= {"dh": weights.copy(), "final": 0, "add": 0}
    d = simulated(lay(back, H, "float64", 2, 1, 4), given | tape)

    def loss(**other):
        return float((simulated(layout, arguments | other)["h"][1:] * weights).sum())

    def slope(name, place):
        values = []
        for sign in (1.0, -1.0):
            moved = arguments[name].copy()
            moved[place] += sign * 1e-5
            values.append(loss(**{name: moved}))
        return (values[0] - values[1]) / 2e-5

    gates = d["da"].shape[2] - (3 if "lstm" in kernel else 0)
    for j in (0, gates // 2, gates - 1):
        assert slope("b", j) == pytest.approx(d["da"][:, :, j].sum(), rel=1e-6, abs=1e-8)
    assert slope("h", (0, 1, 1)) == pytest.approx(d["dh0"][1, 1], rel=1e-6, abs=1e-8)


# ---------------------------------------------------------------- barriers


@pytest.mark.parametrize(("name", "barriers"), [("lstm_forward", 3), ("gru_before_backward", 5)])
def test_without_any_one_of_the_barriers_threads_would_meet(name, barriers, monkeypatch):
    layout, whole = lay(name, 3, "float32", 2, 1, 7, 90), persistent.text_of
    for dropped in range(barriers):

        def without(*arguments, dropped=dropped):
            parts = whole(*arguments).split("cuda.syncthreads()")
            assert len(parts) == barriers + 1
            return (
                "cuda.syncthreads()".join(parts[: dropped + 1])
                + "pass"
                + "cuda.syncthreads()".join(parts[dropped + 1 :])
            )

        monkeypatch.setattr(persistent, "text_of", without)
        persistent.compiled.cache_clear()
        with pytest.raises(Race, match="of shared memory"):
            simulated(layout, drawn(name, 3, "float32"))
    persistent.compiled.cache_clear()


def test_a_site_gets_the_design_and_its_form_runs():
    name = "gru_after_forward"
    arguments = drawn(name, 3, "float32")
    site = Site(name, {"T": T, "B": B, "H": 3}, frozenset(), "float32", CHIPS["H200"])
    assert choose(site).name == "persistent" and DESIGNS[name][0] is choose(site, "persistent")
    assert persistent.describe(site).startswith("1 sequence a block, ")
    own = {k: cuda.to_device(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    choose(site).form(site)(*own.values())
    assert_close(own["h"].copy_to_host(), on_the_cpu(name, arguments)["h"], TOLERANCES["float32"])
