"""What only a GPU shows: its numbers beside the CPU's in float64, at many sizes; graphs, memory, other processes."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

import nbrnn
from nbrnn.arrays import flat_view
from nbrnn.lowering import PREDICT, TRAIN, Feed, make_plan
from nbrnn.products import gradient
from nbrnn.program import Options, aligned
from nbrnn.targets import cpu

DEVICE = Options(device="cuda")
LAYERS = {
    "simple_rnn": lambda H: nbrnn.SimpleRNN(H, return_sequences=True),
    "gru": lambda H: nbrnn.GRU(H, return_sequences=True),
    "gru_before": lambda H: nbrnn.GRU(H, return_sequences=True, reset_after=False),
    "lstm": lambda H: nbrnn.LSTM(H, return_sequences=True),
}
LIMITS = {"float32": (1e-5, 1e-5), "tf32": (1e-2, 1e-2), "bfloat16": (1e-2, 1e-2)}  # of h absolute, gradients L2
SIZES = [(1, 1, 5), (3, 2, 7), (17, 5, 9), (64, 16, 40), (100, 7, 20), (128, 33, 16), (192, 8, 12), (256, 64, 24)]
LARGE = [(384, 16, 8), (512, 16, 12), (1000, 3, 6), (1024, 64, 6)]


@cache
def missing():
    """Return why these tests cannot run; nothing if there is a GPU."""
    from nbrnn.targets.cuda import require_device
    from nbrnn.targets.cuda.device import simulating

    try:
        require_device()
    except ValueError as error:
        return str(error)
    return "the simulator is no GPU" if simulating() else ""


@pytest.fixture(autouse=True)
def gpu():
    if missing():
        pytest.skip(missing())


pytestmark = pytest.mark.gpu


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
    names = [f"{layer.name}/{w.name}" for layer, shape in model.graph.owners for w in layer.weights(shape)]
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "tf32"])
@pytest.mark.parametrize(("H", "B", "T"), SIZES)
@pytest.mark.parametrize("cell", LAYERS)
def test_states_and_gradients_are_the_cpus(cell, H, B, T, precision):
    compare(cell, H, B, T, precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("H", "B", "T"), LARGE)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_large_layers_too(cell, H, B, T, precision):
    compare(cell, H, B, T, precision, D=16)


@pytest.mark.parametrize("design", ["steps", "persistent", "groups"])
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(("H", "B", "T"), [(64, 16, 30), (128, 3, 9), (256, 16, 20), (512, 8, 6)])
def test_every_design_that_takes_a_size_gives_its_numbers(design, cell, H, B, T):
    try:
        compare(cell, H, B, T, "float32", design)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("B", "T"), [(1, 1), (1, 4096), (1024, 2), (1024, 1), (3, 4096)])
@pytest.mark.parametrize("H", [8, 64, 256])
def test_one_step_and_thousands(H, B, T):
    compare("lstm", H, B, T, "float32", D=4)


# ---------------------------------------------------------------- whole models


def small(device="cuda", epochs=3, **given):
    """Fit a model with dropout and a mask, and return its losses, weights and predictions."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((70, 9, 3)), rng.standard_normal((70, 1))
    layers = [nbrnn.LSTM(12, return_sequences=True, dropout=0.2), nbrnn.GRU(7, recurrent_dropout=0.1), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, input_shape=(9, 3), seed=4).to(device)
    model.compile("adam", "mse", metrics=["mae"])
    lengths = rng.integers(1, 10, 70)
    history = model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, lengths=lengths, **given)
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


def test_every_model_of_the_simulators_tests_runs():
    from cuda_cases import CASES, numbers

    from nbrnn.targets.cuda import Executor

    for stack, dtype in CASES:
        expected = numbers(cpu.Executor, stack, dtype)
        found = numbers(Executor, stack, dtype)
        for name, array in expected.items():
            scale = max(abs(array).max(initial=0.0), 1e-30)
            limit = 1e-5 if dtype == "float32" else 1e-11
            assert abs(found[name] - array).max(initial=0.0) <= limit * scale, (stack, dtype, name)


# ---------------------------------------------------------------- the card


def test_what_does_not_fit_is_refused_before_anything_is_taken():
    from nbrnn.memory import NotEnoughMemoryError

    model = nbrnn.Sequential([nbrnn.LSTM(8192), nbrnn.Dense(1)], input_shape=(40_000, 1), seed=0).to("cuda")
    model.compile("adam", "mse")
    before = model.get_weights()[0].tobytes()
    with pytest.raises(NotEnoughMemoryError, match="GiB"):
        model.fit(np.zeros((64, 40_000, 1), np.float32), np.zeros((64, 1)), batch_size=64)
    assert model.get_weights()[0].tobytes() == before


def test_an_allocation_that_fails_is_one_sentence():
    from numba import cuda

    from nbrnn.memory import NotEnoughMemoryError
    from nbrnn.targets.cuda import residence

    free, _ = cuda.current_context().get_memory_info()
    with pytest.raises(NotEnoughMemoryError):
        residence.zeros(free // 4 * 2, np.dtype(np.float32))


def test_a_second_process_on_the_card_changes_nothing():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_gpu import *; print(flat(small()).tobytes().hex())"
    command = [sys.executable, "-c", code, os.path.dirname(__file__)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [other.communicate(timeout=300)[0].strip() for other in others]
    assert found[0] == found[1] == flat(small()).tobytes().hex()


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_arrays_of_other_libraries_are_taken_and_given(library):
    other = pytest.importorskip(library)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6, 4, 3)).astype(np.float32)
    model = nbrnn.Sequential([nbrnn.GRU(5), nbrnn.Dense(2)], input_shape=(4, 3), seed=0).to("cuda")
    there = other.asarray(x) if library == "cupy" else other.from_numpy(x).cuda()
    found = other.asarray(model.predict(there)) if library == "cupy" else other.as_tensor(model.predict(there))
    found = found.get() if library == "cupy" else found.cpu().numpy()
    np.testing.assert_array_equal(found, model.predict(x))
