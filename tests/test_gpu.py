"""What only a GPU shows: its numbers beside the CPU's in float64, at many sizes; graphs, memory, other processes.

What says most when it fails comes first. NBRNN_GPU_TESTS=small takes sizes that Numba's simulator can bear:
NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 NBRNN_GPU_TESTS=small pytest tests/test_gpu.py
"""

import os
import subprocess
import sys
from functools import cache
from types import SimpleNamespace

import cuda_cases
import cuda_models
import numpy as np
import pytest
from support import assert_close

import nbrnn
from nbrnn.arrays import flat_view
from nbrnn.lowering import PREDICT, TRAIN, Feed, make_plan
from nbrnn.products import gradient
from nbrnn.program import Options, aligned
from nbrnn.targets import cpu

DEVICE = Options(device="cuda")
SMALL = os.environ.get("NBRNN_GPU_TESTS", "").strip() == "small"
LAYERS = {
    "simple_rnn": lambda H: nbrnn.SimpleRNN(H, return_sequences=True),
    "gru": lambda H: nbrnn.GRU(H, return_sequences=True),
    "gru_before": lambda H: nbrnn.GRU(H, return_sequences=True, reset_after=False),
    "lstm": lambda H: nbrnn.LSTM(H, return_sequences=True),
}
LIMITS = {"float32": (1e-5, 1e-5), "tf32": (1e-2, 1e-2), "bfloat16": (1e-2, 1e-2)}  # of h absolute, gradients L2
DESIGNS = ("steps", "persistent", "groups")


def sized(usual, small):
    """Return sizes for a GPU, or those for the simulator."""
    return small if SMALL else usual


SIZES = sized(
    [(1, 1, 5), (3, 2, 7), (17, 5, 9), (64, 16, 40), (100, 7, 20), (128, 33, 16), (192, 8, 12), (256, 64, 24)],
    [(3, 2, 2)],
)
LARGE = sized([(384, 16, 8), (512, 16, 12), (1000, 3, 6), (1024, 64, 6)], [(5, 3, 2)])


@cache
def missing():
    """Return why these tests cannot run; nothing if there is a GPU."""
    from nbrnn.targets.cuda import require_device
    from nbrnn.targets.cuda.device import simulating

    try:
        require_device()
    except ValueError as error:
        return str(error)
    return "the simulator is no GPU" if simulating() and not SMALL else ""


@pytest.fixture(autouse=True)
def gpu():
    if missing():
        pytest.skip(missing())


pytestmark = pytest.mark.gpu


# ---------------------------------------------------------------- does anything run?


def test_a_kernel_runs():
    from numba import cuda

    from nbrnn.targets.cuda.graphs import Replayed, begin_batch, end_batch, make_job
    from nbrnn.targets.cuda.launching import launch
    from nbrnn.targets.cuda.residence import zeros

    job = cuda.to_device(make_job(samples=5, batch_size=2))
    control, log, none = zeros(16, np.int64), zeros(2, np.float64), zeros(1, np.float64)
    batch = Replayed([
        lambda: launch(begin_batch, job, none, none, control, grid=(1, 1)),
        lambda: launch(end_batch, job, control, log, grid=(1, 1)),
    ])  # fmt: skip
    for sizes in (2, 2, 1):  # one by one, captured, replayed
        batch()
        assert control.copy_to_host()[1] == sizes
    assert job.copy_to_host()[0] == 3


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32", "bfloat16"])
@pytest.mark.parametrize("sizes", sized([(5, 7, 3), (64, 256, 64), (300, 129, 70), (2048, 1024, 256)], [(5, 7, 3)]))
def test_a_product_is_numpys(sizes, precision):
    from numba import cuda

    from nbrnn.targets.cuda import products
    from nbrnn.targets.cuda.precision import using

    (rows, columns, depth), rng = sizes, np.random.default_rng(0)
    kind = "float64" if precision == "float64" else "float32"
    shapes = ((rows, depth), (depth, columns), (rows, columns))
    X, W, dA = (rng.standard_normal(shape).astype(kind) for shape in shapes)
    x, w, da = map(cuda.to_device, (X, W, dA))
    y, dx, dw, db = (cuda.to_device(np.full(shape, 7, kind)) for shape in (dA.shape, X.shape, W.shape, (columns,)))
    with using("float32" if precision == "float64" else precision):
        products.product(y, x, w)
        products.product_turned(dx, da, w)
        products.products_of_columns(x, da, False, dw, db)
    limit = {"float64": 1e-13, "float32": 2e-6}.get(precision, LIMITS.get(precision, (0,))[0])
    X, W, dA = (a.astype(float) for a in (X, W, dA))
    for found, wanted in ((y, X @ W), (dx, dA @ W.T), (dw, X.T @ dA), (db, dA.sum(axis=0))):
        assert np.linalg.norm(found.copy_to_host() - wanted) <= limit * np.linalg.norm(wanted)


def layer_model(cell, H, D, T, dtype):
    """Return a model of one layer with random weights, the same in every dtype."""
    model = nbrnn.Sequential([LAYERS[cell](H)], input_shape=(T, D), seed=0, dtype=dtype)
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) * H**-0.5 for w in model.get_weights()])
    model.compile(loss="mse")
    model.optimizer = None
    return model


def states_and_gradients(executor_class, model, x, y, **options):
    """Return every state, and the gradients of all weights as one vector."""
    plan = make_plan(model, TRAIN, Feed.of(x), Feed.of(y), len(x), DEVICE)
    shared = {"params": model.params, "order": np.arange(len(x)), "x": flat_view(x)}
    executor = executor_class(plan, shared | {"y": flat_view(y)}, **options)
    executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
    program = plan.programs[len(x)]
    names = [f"{layer.name}/{w.name}" for layer, shape in model.graph.owners for w in layer.declared(shape)]
    grads = [np.array(executor.view(program[gradient(name)])).ravel() for name in names]
    plan = make_plan(model, PREDICT, Feed.of(x), None, len(x), DEVICE)
    output = aligned(plan.sizes["output"], model.dtype)
    executor = executor_class(plan, shared | {"output": output}, **options)
    executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
    return output[: y.size].copy(), np.concatenate(grads)


def compare(cell, H, B, T, precision, design="", D=None):
    """Assert that the GPU's states and gradients are the CPU's of float64."""
    from nbrnn.targets.cuda import Executor
    from nbrnn.targets.cuda.residence import Residence

    rng, D = np.random.default_rng(2), D or max(1, H // 2)
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, H))
    expected = states_and_gradients(cpu.Executor, layer_model(cell, H, D, T, "float64"), x, y)
    own = {"residence": Residence(precision, lasting=False), "design": design}
    x, y = x.astype(np.float32), y.astype(np.float32)
    found = states_and_gradients(Executor, layer_model(cell, H, D, T, "float32"), x, y, **own)
    apart = abs(found[0] - expected[0]).max()
    error = np.linalg.norm(found[1] - expected[1]) / np.linalg.norm(expected[1])
    limits = LIMITS[precision]
    assert apart <= limits[0] and error <= limits[1], (apart, error)


def compare_if_it_fits(cell, H, B, T, design, precision="float32"):
    """Compare, unless the design refuses the size, which is no failure; "steps" refuses none."""
    try:
        compare(cell, H, B, T, precision, design)
    except ValueError as error:
        refused = f"design {design!r} cannot run" in str(error) or f"has no design {design!r}" in str(error)
        if not refused or design == "steps":
            raise
        if not SMALL:
            pytest.skip(str(error))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("cell", LAYERS)
def test_the_smallest_layer_is_the_cpus_by_every_design(design, cell):
    compare_if_it_fits(cell, 4, 2, 3, design)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "tf32"])
@pytest.mark.parametrize(("H", "B", "T"), SIZES)
@pytest.mark.parametrize("cell", LAYERS)
def test_states_and_gradients_are_the_cpus(cell, H, B, T, precision):
    compare(cell, H, B, T, precision)


@pytest.mark.parametrize("precision", sized(["float32", "bfloat16"], ["float32"]))
@pytest.mark.parametrize(("H", "B", "T"), LARGE)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_large_layers_too(cell, H, B, T, precision):
    compare(cell, H, B, T, precision, D=16)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("precision", sized(["float32", "bfloat16"], ["bfloat16"]))
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(("H", "B", "T"), sized([(64, 16, 30), (128, 3, 9), (256, 16, 20), (512, 8, 6)], [(6, 2, 2)]))
def test_every_design_that_takes_a_size_gives_its_numbers(design, cell, H, B, T, precision):
    compare_if_it_fits(cell, H, B, T, design, precision)


@pytest.mark.parametrize(
    ("B", "T"), sized([(1, 1), (1, 4096), (1024, 2), (1024, 1), (3, 4096)], [(1, 1), (1, 6), (6, 1)])
)
@pytest.mark.parametrize("H", sized([8, 64, 256], [2]))
def test_one_step_and_thousands(H, B, T):
    compare("lstm", H, B, T, "float32", D=4)


# ---------------------------------------------------------------- whole models


def small(device="cuda", **given):
    """Fit a model with dropout and a mask, and return its losses, weights and predictions."""
    samples, steps, units, more, batch = sized((70, 9, 12, 7, 16), (4, 2, 3, 2, 3))
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((samples, steps, 3)), rng.standard_normal((samples, 1))
    layers = [nbrnn.LSTM(units, return_sequences=True, dropout=0.2), nbrnn.GRU(more, recurrent_dropout=0.1)]
    model = nbrnn.Sequential([*layers, nbrnn.Dense(1)], input_shape=(steps, 3), seed=4).to(device)
    model.compile("adam", "mse", metrics=["mae"])
    lengths = rng.integers(1, steps + 1, samples)
    history = model.fit(x, y, epochs=sized(3, 1), batch_size=batch, verbose=0, lengths=lengths, **given)
    return history.history, model.get_weights(), model.predict(x, lengths=lengths)


def flat(found):
    """Return all numbers of a fit as one vector."""
    history, weights, predictions = found
    return np.concatenate([*history.values(), *(w.ravel() for w in weights), predictions.ravel()])


def test_a_fit_gives_the_cpus_numbers_and_the_same_bits_twice():
    once, again, expected = flat(small()), flat(small()), flat(small("cpu"))
    np.testing.assert_array_equal(once, again)
    assert abs(once - expected).max() <= 1e-4 * abs(expected).max()


def test_graphs_change_no_bit(monkeypatch):
    once = flat(small())
    monkeypatch.setenv("NBRNN_CUDA_GRAPHS", "0")
    np.testing.assert_array_equal(flat(small()), once)


@pytest.mark.parametrize(("stack", "dtype"), sized(cuda_cases.CASES, cuda_cases.CASES[:1]))
def test_every_model_of_the_simulators_tests_runs(stack, dtype):
    from nbrnn.targets.cuda import Executor

    expected, found = (cuda_cases.numbers(one, stack, dtype) for one in (cpu.Executor, Executor))
    for name, array in expected.items():
        assert_close(found[name], array, 1e-5 if dtype == "float32" else 1e-11, name)


@pytest.mark.parametrize(("case", "dtype"), sized(cuda_models.RUNS, cuda_models.RUNS[-1:]))
def test_every_case_of_the_simulators_tests_runs(case, dtype):
    expected, found = (cuda_models.CASES[case].numbers(device, dtype) for device in ("cpu", "cuda"))
    for name, array in expected.items():
        assert_close(found[name], array, 1e-4 if dtype == "float32" else 1e-10, name)


# ---------------------------------------------------------------- the card


def test_what_does_not_fit_is_refused_before_anything_is_taken(monkeypatch):
    from nbrnn.memory import NotEnoughMemoryError
    from nbrnn.targets.cuda import executor

    samples, steps, units = sized((2048, 40_000, 256), (4, 40, 3))  # gates of 300 GiB
    if SMALL:
        monkeypatch.setattr(executor, "memory_left", lambda: 20_000)
    model = nbrnn.Sequential([nbrnn.LSTM(units), nbrnn.Dense(1)], input_shape=(None, 1), seed=0).to("cuda")
    model.compile("adam", "mse")
    before = model.get_weights()[0].tobytes()
    with pytest.raises(NotEnoughMemoryError, match=sized("GiB", "bytes")):
        model.fit(np.zeros((samples, steps, 1), np.float32), np.zeros((samples, 1)), batch_size=samples, verbose=0)
    assert model.get_weights()[0].tobytes() == before
    monkeypatch.undo()
    model.fit(np.zeros((2, 3, 1)), np.zeros((2, 1)), verbose=0)  # and what fits runs
    assert np.isfinite(model.get_weights()[0]).all()


def test_an_allocation_that_fails_is_one_sentence(monkeypatch):
    from numba import cuda

    from nbrnn.memory import NotEnoughMemoryError
    from nbrnn.targets.cuda import residence

    def no_room(*arguments, **options):
        raise RuntimeError("[CUresult.CUDA_ERROR_OUT_OF_MEMORY] out of memory")

    if SMALL:
        monkeypatch.setattr(cuda, "device_array", no_room)
    numbers = 2**20 if SMALL else cuda.current_context().get_memory_info()[1] // 2  # four bytes each: twice the card
    with pytest.raises(NotEnoughMemoryError, match="of the GPU's memory could not be had"):
        residence.zeros(numbers, np.dtype(np.float32))
    monkeypatch.undo()
    assert not residence.zeros(5, np.dtype(np.float32)).copy_to_host().any()


def test_a_second_process_on_the_card_changes_nothing():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_gpu import *; print(flat(small()).tobytes().hex())"
    command = [sys.executable, "-c", code, os.path.dirname(__file__)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [other.communicate(timeout=300)[0].strip() for other in others]
    assert found[0] == found[1] == flat(small()).tobytes().hex()


@pytest.mark.parametrize("library", sized(["cupy", "torch"], ["interface"]))
def test_arrays_of_other_libraries_are_taken_and_given(library):
    other = None if library == "interface" else pytest.importorskip(library)
    x = np.random.default_rng(5).standard_normal((6, 4, 3)).astype(np.float32)
    model = nbrnn.Sequential([nbrnn.GRU(5), nbrnn.Dense(2)], input_shape=(4, 3), seed=0).to("cuda")
    sent, brought = {
        "interface": (lambda a: SimpleNamespace(__cuda_array_interface__=a.__array_interface__), lambda a: a.numpy()),
        "cupy": (lambda a: other.asarray(a), lambda a: other.asarray(a).get()),
        "torch": (lambda a: other.from_numpy(a).cuda(), lambda a: other.as_tensor(a, device="cuda").cpu().numpy()),
    }[library]
    found = model.predict(sent(x))
    assert not isinstance(found, np.ndarray)
    np.testing.assert_array_equal(brought(found), model.predict(x))
