"""Tests for a process in which Numba simulates CUDA; test_cuda_simulator.py starts it."""

from dataclasses import replace

import cuda_strict
import numpy as np
import pytest
import support
import test_kernels
from cases_cells import MIN_GRU, written
from cuda_cases import BATCH, CUDA, STACKS, numbers, outputs, ready
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cuda
from support import assert_close, panels

import nbrnn
from nbrnn import Dense, Flatten, SimpleRNN
from nbrnn.kernels import KERNELS
from nbrnn.kernels.abi import STATUS, carve
from nbrnn.lowering import EVALUATE, TRAIN, Feed, make_plan
from nbrnn.postmortem import DivergedError
from nbrnn.targets import cpu
from nbrnn.targets.cuda import Executor, forms_masks, launching
from nbrnn.targets.cuda.launching import FORMS
from nbrnn.training import Fit

pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")


def simulated_call(name, dtype, blocks, row):
    """Launch a kernel's CUDA form as support.native_call calls the CPU's kernel."""
    device = [cuda.to_device(block) for block in blocks]
    FORMS[name](*carve(device, row, KERNELS[name].spec))
    for block, copy in zip(blocks, device, strict=True):
        copy.copy_to_host(block)


support.native_call = simulated_call  # call_kernel, with its guards round every array, then launches


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(FORMS))
@settings(max_examples=5)
@given(data=st.data())
def test_cuda_form_equals_the_kernels_twin(name, dtype, data):
    test_kernels.test_kernel_equals_its_twin.hypothesis.inner_test(name, dtype, data)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_the_recurrent_forms_take_and_leave_what_is_optional(full, every, dtype):
    rng = np.random.default_rng(7)
    T, B, D, H = 3, 5, 2, 9

    def draw(*shape):
        return rng.normal(0.0, 0.5, shape).astype(dtype)

    wanted = lambda *shape: draw(*shape) if full else None
    Wh = draw(H, H)
    cases = {
        "simple_rnn_forward": dict(
            x=draw(T, B, D), Wx=draw(D, H), Px=None, Wh=Wh, Ph=None, b=wanted(H), activation=1, initial=int(full),
            h=draw(T + 1, B, H),
            a=wanted(T, B, H),
        ),
        "simple_rnn_backward": dict(
            Wh=Wh, PT=panels(Wh.T) if full else None, h=np.tanh(draw(T + 1, B, H)), activation=1, add=0,
            dh=draw(T if every else 1, B, H), da=draw(T, B, H), dh0=wanted(B, H),
        ),
    }  # fmt: skip
    for name, arguments in cases.items():
        actual = support.call_kernel(name, dtype, arguments)
        expected = test_kernels.twin(name)(**arguments)
        for key in set(expected) & set(actual):
            assert_close(actual[key], expected[key], test_kernels.TOLERANCES[dtype], key)


def test_a_gradient_is_taken_back_in_place_and_once():
    y, dy = np.tanh(np.random.default_rng(2).normal(size=(2, 7, 9)))
    there = cuda.to_device(dy)
    FORMS["activation_backward"](cuda.to_device(y), there, 1, there)
    assert_close(there.copy_to_host(), dy * (1.0 - y * y), 1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_overflows_leaves_the_parameters(dtype):
    test_kernels.test_a_step_that_overflows_leaves_the_parameters("sgd", dtype)


@pytest.mark.parametrize("count", [16, 17, 8 * 9 + 3])
def test_many_elements_are_added_in_slices(count):
    rng = np.random.default_rng(4)
    control = np.array([0, 5, 1, 0, 0, 0, 0, 0])
    y, target = rng.normal(size=(2, count))
    shared = dict(weight=rng.normal(size=count), valid=None, slot=1, stats=rng.normal(size=14))
    cases = {
        "mse": shared | dict(y=y, target=target, control=control, outputs=1, each=1, dy=np.zeros(count)),
        "determination": shared | dict(y=rng.normal(size=(count, 3)), target=rng.normal(size=(count, 3))),
        "positives": shared | dict(y=y[:, None], target=target[:, None], threshold=0.5, class_id=-1),
        "count_valid": dict(valid=rng.integers(0, 2, (count, 1)).astype(float), count=np.zeros(1)),
        "penalty": dict(w=y, control=control, samples=5, count=-1, l1=0.5, l2=0.25, dw=target, stats=shared["stats"]),
    }
    for name, case in cases.items():
        arguments = {a.name: case[a.name] for a in KERNELS[name].arguments if a.name in case}
        actual, expected = support.call_kernel(name, "float64", arguments), test_kernels.twin(name)(**arguments)
        for key in set(expected) & set(actual):
            assert_close(actual[key], expected[key], 1e-13, f"{name}: {key}")


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_leaves_everything(value, later):
    rng = np.random.default_rng(1)
    grads, params, v = rng.normal(size=(3, 48))
    grads[40] = value
    arguments = dict(control=np.zeros(8, np.int64), grads=grads, params=params, v=v, hyper=np.array([0.1, 0.9]))
    after = support.call_kernel("sgd", "float64", arguments | {"nesterov": 0, "later": later})
    assert after["control"][STATUS] == 1
    for name in ("grads", "params", "v"):
        np.testing.assert_array_equal(after[name], arguments[name])


@pytest.mark.parametrize("rows", [1, 3])
def test_gaps_are_closed_in_place_by_blocks_of_any_size(rows, monkeypatch):
    monkeypatch.setattr(forms_masks, "TILE", rows * forms_masks.WIDE)
    alive = np.array([5, 5, 3, 3, 0])
    v = np.random.default_rng(4).normal(size=(5, 5, 7))
    expected = np.concatenate([v[t, :n] for t, n in enumerate(alive)])
    there = cuda.to_device(v)
    FORMS["compact"](there, cuda.to_device(alive), there)
    np.testing.assert_array_equal(there.copy_to_host().reshape(25, 7)[: alive.sum()], expected)


def test_a_failed_step_is_seen_by_the_steps_after_it():
    params, grads = np.random.default_rng(1).normal(size=(2, 48))
    for failure in (1, 2):
        for name, own in (
            ("sgd", {"nesterov": 0}),
            ("adam", {"m": grads, "v": grads**2}),
            ("rmsprop", {"v": grads**2}),
        ):
            control, hyper = np.zeros(8, np.int64), np.array([0.1, 0.9, 0.9, 1e-7, 0.5, 0.5])
            control[STATUS] = failure
            arguments = dict(control=control, grads=grads, params=params, hyper=hyper, later=0) | own
            after = support.call_kernel(name, "float64", arguments)
            for key in arguments.keys() & after.keys():
                np.testing.assert_array_equal(after[key], arguments[key], f"{key} of {name}")


# ---------------------------------------------------------------- what the simulator notices


@cuda.jit
def turn(v, w, waits):
    part = cuda.shared.array(4, np.float64)
    i = cuda.threadIdx.x
    part[i] = v[i]
    if waits > i:
        cuda.syncthreads()
    w[cuda.blockIdx.x + i] = part[3 - i]


@cuda.jit
def part_ways(w, waits):
    w[cuda.threadIdx.x] = 1.0
    if waits > cuda.threadIdx.x:
        cuda.syncthreads()


def test_a_barrier_that_some_threads_pass_by_is_noticed():
    v = np.random.default_rng(3).normal(size=4)
    w = cuda.to_device(np.zeros(4))
    turn[1, 4](cuda.to_device(v), w, 4)
    np.testing.assert_array_equal(w.copy_to_host(), v[::-1])
    for waits in (0, 2):
        with pytest.raises(cuda_strict.Race, match=r"turn: threads .* touch a number of shared memory"):
            turn[1, 4](cuda.to_device(v), w, waits)
    part_ways[1, 4](w, 4)
    with pytest.raises(AssertionError, match="part_ways: not all threads come to"):
        part_ways[1, 4](w, 2)


def test_blocks_that_write_one_number_are_noticed():
    v, w = cuda.to_device(np.ones(4)), cuda.to_device(np.zeros(8))
    with pytest.raises(cuda_strict.Race, match=r"turn: threads .* touch a number of device memory"):
        turn[2, 4](v, w, 4)


def test_memory_that_nobody_wrote_holds_no_numbers():
    assert np.isnan(cuda.device_array(3, np.float32).copy_to_host()).all()


# ---------------------------------------------------------------- the executor


def plan_of(model, x, y, batch=BATCH):
    return make_plan(model, TRAIN, Feed.of(x), Feed.of(y), batch, CUDA)


def bits(found):
    return {name: array.tobytes() for name, array in found.items()}


def test_bits_repeat_and_do_not_depend_on_the_grid(monkeypatch):
    first = bits(numbers(Executor, "two layers", "float32"))
    monkeypatch.setattr(launching, "GRID", (2, 3))
    assert bits(numbers(Executor, "two layers", "float32")) == first


def test_losses_metrics_and_flat_sequences_run_too():
    logs = []
    for executor_class in (cpu.Executor, Executor):
        layers = [SimpleRNN(5, return_sequences=True), Flatten(), Dense(3, "softsign"), Dense(2, "elu")]
        model, x, y, arrays = ready(layers, "float64", metrics=("huber", "mae", "rmse"), samples=20)
        executor = executor_class(plan_of(model, x, y, 20), arrays)
        history = Fit(model, executor, 2, shuffle=True).run()
        logs.append({**history.history, "params": arrays["params"]})
    for name, expected in logs[0].items():
        assert_close(logs[1][name], expected, 1e-12, name)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weights_decay_and_gradients_are_clipped_by_value(momentum):
    found = []
    for executor_class in (cpu.Executor, Executor):
        optimizer = nbrnn.SGD(0.1, momentum, weight_decay=0.2, clipvalue=0.01, decay_except=["bias"])
        model, x, y, arrays = ready([SimpleRNN(5), Dense(2)], "float64", optimizer)
        before = arrays["params"].copy()
        Fit(model, executor_class(plan_of(model, x, y), arrays), 2, shuffle=True).run()
        found.append(arrays["params"])
    assert_close(found[1], found[0], 1e-12)
    assert abs(found[0] - before).max() > 0.01


def trained(stops, change=lambda arrays, done: None, executor_class=Executor):
    """Run a fit in parts, change something after each, and return parameters, log and control words."""
    model, x, y, arrays = ready(STACKS["tanh, last step"](), "float64")
    executor, log, done = executor_class(plan_of(model, x, y), arrays), [], 0
    for stop in stops:
        reached, rows = executor.run(done, stop, shuffle=True, seed=3, epoch=5, step=70)
        assert reached == stop and len(rows) == stop - done
        log, done = [*log, *rows.tolist()], stop
        change(arrays, done)
    return arrays["params"], log, executor.control


def test_a_run_goes_on_where_another_stopped():
    whole, in_parts, on_the_cpu = trained([4]), trained([1, 2, 4]), trained([4], executor_class=cpu.Executor)
    for one, other, expected in zip(whole, in_parts, on_the_cpu, strict=True):
        np.testing.assert_array_equal(one, other)
        assert_close(one, expected, 1e-12)


def test_a_run_sees_what_the_caller_changed():
    def stand_still(arrays, done):
        arrays["hyper"][:] = 0.0

    def shift(arrays, done):
        arrays["params"] += done == 2

    np.testing.assert_array_equal(trained([2, 4], stand_still)[0], trained([2])[0])
    expected = trained([2, 4], shift, cpu.Executor)[0]
    assert_close(trained([2, 4], shift)[0], expected, 1e-12)
    assert abs(expected - trained([4])[0]).max() > 0.5


def test_other_arrays_can_be_fed():
    model, x, y, arrays = ready(STACKS["relu, every step"](), "float64")
    executor = Executor(replace(plan_of(model, x, y), update=None), dict(arrays))
    logs = [executor.run(0, 2, shuffle=False, seed=0, epoch=0, step=0)[1]]
    executor.feed(x=np.ascontiguousarray(x[::-1]).reshape(-1), y=np.ascontiguousarray(y[::-1]).reshape(-1))
    executor.order[:] = np.arange(len(x))[::-1]
    logs.append(executor.run(0, 2, shuffle=False, seed=0, epoch=0, step=0)[1])
    np.testing.assert_array_equal(*logs)
    executor.order[:] = np.arange(len(x))
    assert abs(executor.run(0, 2, shuffle=False, seed=0, epoch=0, step=0)[1] - logs[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("x_scale", "y_scale", "rate", "what"),
    [(1.0, 1e20, 0.1, "the loss"), (1e25, 1e15, 0.1, "a gradient"), (1.0, 50.0, 3e38, "the optimizer's step")],
)
def test_a_fit_that_diverges_keeps_its_weights_and_says_what_the_cpu_says(x_scale, y_scale, rate, what):
    said = []
    for executor_class in (cpu.Executor, Executor):
        model, x, y, arrays = ready([Dense(1)], optimizer=nbrnn.SGD(rate), samples=12)
        arrays["params"][:] = 0.0
        x *= np.float32(x_scale)
        y *= np.float32(y_scale)
        executor = executor_class(plan_of(model, x, y), arrays)
        with pytest.raises(DivergedError, match=rf"^{what} is not finite in epoch 1, batch 1") as error:
            Fit(model, executor, 3, shuffle=False).run()
        assert not arrays["params"].any()
        said.append(str(error.value))
    assert said[0] == said[1]


def test_predictions_do_not_touch_the_parameters():
    model, x, _, arrays = ready([SimpleRNN(3), Dense(1)], "float64")
    before = arrays["params"].tobytes()
    found = outputs(Executor, model, x, arrays)[: len(x)]
    assert_close(found[:, None], model.predict(x), 1e-12)
    assert arrays["params"].tobytes() == before


def test_every_kernel_of_the_package_has_a_form():
    assert set(FORMS) == {name for name, kernel in KERNELS.items() if kernel.packaged}


def test_a_cell_of_ones_own_is_refused_by_its_layers_name(tmp_path):
    cell = written(tmp_path, "mingru", MIN_GRU).MinGRU
    model, x, y, arrays = ready([cell(3, name="memory"), Dense(1)])
    words = (
        r"layer memory has a cell of your own, .* runs on the CPU only: leave the model there, model.to\(\"cpu\"\)\.$"
    )
    with pytest.raises(ValueError, match=words):
        Executor(plan_of(model, x, y), arrays)


def test_a_complex_model_is_refused():
    model = support.random_model([SimpleRNN(3), Dense(1)], (3, 2), dtype="complex128")
    model.compile("sgd", "mse")
    x, y = Feed.contiguous(4, (3, 2)), Feed.contiguous(4, (1,))
    with pytest.raises(ValueError, match="runs models in float32 and float64, not complex128"):
        Executor(make_plan(model, EVALUATE, x, y, 4, CUDA), {})
