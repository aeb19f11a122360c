"""model.to and what stands behind it, as far as it needs no simulator; cuda_model_simulated.py has the rest."""

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import random_model

import nbrnn
from nbrnn.lowering import PREDICT, TRAIN, Feed, make_plan
from nbrnn.memory import NotEnoughMemoryError, require_card
from nbrnn.program import Options
from nbrnn.targets.cuda import device, exchange, graphs
from nbrnn.targets.cuda.device import Found, missing
from nbrnn.targets.cuda.launching import Queue

HERE = Path(__file__).parent
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": 1, "NUMBA_DISABLE_JIT": 1}
WELL = Found("NVIDIA", 12, (12, 9), 0, 1)


@pytest.mark.cudasim
def test_models_on_a_simulated_gpu(passes_in_the_simulator):
    passes_in_the_simulator("cuda_model_simulated.py")


# ---------------------------------------------------------------- what is said where something is missing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"driver": None, "implementation": "", "toolkit": 0}, r"no NVIDIA driver is found .*'nbrnn\[cuda13\]'"),
        ({"driver": None}, r"no NVIDIA driver is found \(libcuda cannot be loaded\): install the driver"),
        ({"implementation": ""}, r"^numba-cuda is not installed .* target is deprecated.*nbrnn\[cuda12\]'"),
        ({"implementation": "", "driver": (13, 0)}, r"^numba-cuda is not installed .*nbrnn\[cuda13\]'"),
        ({"toolkit": 0}, r"^the CUDA toolkit of numba-cuda is not installed"),
        ({"implementation": "Built-in"}, r"numba.cuda is Numba's Built-in target, which is deprecated"),
        ({"toolkit": 13}, r"CUDA 12.9 at most, which is too old for the CUDA 13 .* driver to 580 .*nbrnn\[cuda12\]"),
        ({"driver": (11, 8)}, r"knows CUDA 11.8 at most, which is too old for the CUDA 12 .* 525 or later, or stay"),
        ({"disabled": True}, r"^NUMBA_DISABLE_CUDA switches CUDA off: unset it"),
        ({"state": 100, "devices": 0, "visible": ""}, r"^CUDA_VISIBLE_DEVICES='' hides every GPU: unset it"),
        ({"devices": 0, "visible": "-1"}, r"^CUDA_VISIBLE_DEVICES='-1' hides every GPU"),
        ({"state": 100, "devices": 0}, r"^the NVIDIA driver finds no GPU: type nvidia-smi"),
        ({"state": 100, "devices": 0, "visible": "7"}, r"finds no GPU that CUDA_VISIBLE_DEVICES='7' shows"),
        ({"state": 803, "devices": 0}, r"^the NVIDIA driver does not start \(error 803 of cuInit\)"),
    ],
)  # fmt: skip
def test_one_sentence_says_what_is_missing_and_what_to_type(changes, words):
    assert missing(WELL) == ""
    said = missing(replace(WELL, **changes))
    assert re.search(words, said) and said.endswith('or stay on the CPU: model.to("cpu").')
    assert "\n" not in said and ". " not in said


def test_without_a_gpu_a_model_stays_on_the_cpu():
    if not missing(device.look()):
        pytest.skip("there is a GPU")
    model = random_model([nbrnn.Dense(1)], (2,))
    with pytest.raises(ValueError, match=r"or stay on the CPU: model.to\(\"cpu\"\)"):
        model.to("cuda")
    assert model.device == "cpu" and model.to("cpu") is model and model.precision == "float64"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("gpu", r'must be "cpu" or "cuda", not \'gpu\': type model.to\("cuda"\)'),
        ("cuda:1", "set CUDA_VISIBLE_DEVICES=1 before the command"),
        ("tpu", 'must be "cpu" or "cuda", not'),
        (0, 'must be "cpu" or "cuda", not 0'),
    ],
)
def test_other_names_of_devices_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        random_model([nbrnn.Dense(1)], (2,)).to(given)


def test_other_libraries_words_for_it_are_answered():
    with pytest.raises(AttributeError, match=r"no attribute 'set_device'; a model is moved to a GPU by model.to"):
        _ = nbrnn.set_device


def test_a_precision_that_does_not_apply_is_refused():
    model = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,))
    with pytest.raises(ValueError, match=r"precision='tf32' is for float32 models on a GPU; the CPU rounds nothing"):
        model.to("cpu", precision="tf32")
    with pytest.raises(ValueError, match="bfloat16"):
        model.to("cuda", precision="bf16")
    with pytest.raises(ValueError, match="gradient checks, which run on the CPU"):
        nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,), dtype="complex128").to("cuda")
    with pytest.raises(ValueError, match=r'the model is on the CPU: type model.to\("cuda"\)'):
        model.device_weights()


def test_an_array_on_a_gpu_needs_a_model_there():
    outside = SimpleNamespace(__cuda_array_interface__=described())
    with pytest.raises(ValueError, match="x stands on a GPU, but the model is on the CPU"):
        random_model([nbrnn.Dense(1)], (2,)).predict(outside)


def test_info_tells_of_the_gpu(run_python):
    said = run_python("from nbrnn.cli import main; main(['info'], standalone_mode=False)")
    assert "\nGPU   " in said
    assert "stands for one" in run_python(
        "from nbrnn.cli import main; main(['info'], standalone_mode=False)", **SIMULATOR
    )


def test_nothing_of_cuda_is_imported_before_it_is_asked_for(run_python):
    code = (
        "import sys, nbrnn, nbrnn.model, nbrnn.targets.cuda\n"
        "m = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,)); m.to('cpu'); m.predict([[1.0, 2.0]])\n"
        "print([name for name in sys.modules if name.startswith('numba.cuda')])"
    )
    assert run_python(code) == "[]\n"


# ---------------------------------------------------------------- plans


def test_on_the_gpu_a_batch_is_one_shard_and_nothing_is_packed():
    model = random_model(
        [nbrnn.LSTM(64, return_sequences=True), nbrnn.GRU(64), nbrnn.Dense(2)], (4, 8), dtype="float32"
    )
    model.compile("adam", "mse")
    x, y = Feed.contiguous(300, (4, 8)), Feed.contiguous(300, (2,))
    for mode, target in ((TRAIN, y), (PREDICT, None)):
        here, there = (make_plan(model, mode, x, target, 128, Options(device=d)) for d in ("cpu", "cuda"))
        assert here.shards > 1 and there.shards == 1 and set(there.programs) == {128, 44}
        assert "packed" in here.sizes and "packed" not in there.sizes and there.prepare is None
        program = there.programs[128]
        assert program["lstm/gates"].shape == (4, 128, 256) and program["gru/gates"].shape == (4, 128, 192)
        assert not any("room" in name for name in program.layout.buffers)


def test_the_memory_of_a_card_is_counted_with_what_stands_there():
    model = random_model([nbrnn.Dense(2)], (3,), dtype="float32")
    model.compile("adam", "mse")
    plan = make_plan(model, TRAIN, Feed.contiguous(8, (3,)), Feed.contiguous(8, (2,)), 8, Options(device="cuda"))
    total = plan.memory.total
    require_card(plan, None)
    require_card(plan, total)
    require_card(plan, total - plan.nbytes["params"][0] - plan.nbytes["slots"][0], ["params", "slots"])
    with pytest.raises(NotEnoughMemoryError, match=rf"needs {total:,} bytes of the GPU's memory \(.*stay on the CPU"):
        require_card(plan, total - 1)


# ---------------------------------------------------------------- graphs


class FakeBuilder:
    """Records what CUDA's builder of graphs would be asked."""

    def __init__(self, calls, fails=()):
        self.calls, self.fails = calls, fails

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def called(*arguments):
            self.calls.append(name)
            if name in self.fails:
                raise RuntimeError(f"{name} failed")
            return SimpleNamespace(launch=lambda s: self.calls.append(s), close=lambda: self.calls.append("closed"))

        return called


@pytest.fixture
def recorded(monkeypatch):
    """Let captures go to a fake; return what it is asked."""
    calls = []
    monkeypatch.setattr(graphs, "simulating", lambda: False)
    monkeypatch.setattr(graphs, "new_builder", lambda: FakeBuilder(calls))
    monkeypatch.setattr(graphs, "default_stream", lambda: "launched")
    monkeypatch.setattr(graphs, "undisturbed", contextlib.nullcontext)
    monkeypatch.setattr(graphs, "try_out", lambda launches: calls.append("tried"))
    return calls


def test_a_batch_is_launched_then_captured_then_replayed(recorded):
    batch = graphs.Replayed([lambda: recorded.append(type(Queue.now).__name__)] * 2)
    batch()
    assert recorded == ["tried", "int", "int"]
    recorded.clear()
    batch()
    capture = ["begin_building", "FakeBuilder", "FakeBuilder", "end_building", "complete", "close"]
    assert recorded == [*capture, "launched"] and Queue.now == 0
    batch()
    assert recorded == [*capture, "launched", "launched"]
    recorded.clear()
    batch.drop()
    batch()
    assert recorded == ["closed", "int", "int"]


def test_graphs_can_be_switched_off(recorded, monkeypatch):
    monkeypatch.setenv("NBRNN_CUDA_GRAPHS", "0")
    batch = graphs.Replayed([lambda: recorded.append("kernel")])
    batch()
    batch()
    assert recorded == ["tried", "kernel", "kernel"]


def test_a_capture_that_fails_says_what_to_do_and_leaves_the_queue(recorded):
    def fail():
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(ValueError, match=r"could not be captured .*not permitted.*set NBRNN_CUDA_GRAPHS=0"):
        graphs.capture([fail])
    assert Queue.now == 0 and recorded[-1] == "close"


# ---------------------------------------------------------------- other libraries' arrays


def described(**changes):
    return {"shape": (3, 2), "typestr": "<f4", "data": (4096, True), "version": 3} | changes


def test_an_interface_is_read():
    plain = exchange.of_interface("x", described(), None)
    assert (plain.pointer, plain.shape, plain.strides, plain.dtype) == (4096, (3, 2), (8, 4), np.float32)
    assert (plain.ndim, plain.size, plain.itemsize, len(plain)) == (2, 6, 4, 3)
    part = plain[1:]
    assert (part.pointer, part.shape, part.strides) == (4104, (2, 2), (8, 4))
    assert plain[:, None].shape == (3, 1, 2) and plain.reshape(6).strides == (4,)
    assert plain.__cuda_array_interface__ == described(data=(4096, False), strides=None, stream=1)
    wide = exchange.of_interface("x", described(strides=(16, 4), stream=1), None)
    assert wide.__cuda_array_interface__["strides"] == (16, 4)
    with pytest.raises(ValueError, match="has gaps cannot be reshaped"):
        wide.reshape(6)
    with pytest.raises(ValueError, match="in slices only, not by 0"):
        plain[0]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(plain, copy=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": object()}, "x has a mask"),
        ({"typestr": "|S4"}, r"x must hold real numbers only, but its elements are of type"),
        ({"data": None}, "x has a __cuda_array_interface__ that cannot be read"),
        ({"shape": "ab"}, "x has a __cuda_array_interface__ that cannot be read"),
    ],
)
def test_an_interface_that_cannot_be_read_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        exchange.of_interface("x", described(**changes), None)


def test_what_is_not_on_a_gpu_is_left_alone():
    class OnTheHost:
        def __dlpack_device__(self):
            return 1, 0

    class Differentiable:
        @property
        def __cuda_array_interface__(self):
            raise RuntimeError("use tensor.detach()")

    for value in (None, np.zeros(2), [1.0], 3, OnTheHost()):
        assert exchange.given("x", value) is None
    with pytest.raises(ValueError, match=r"x cannot be taken as it is: use tensor.detach"):
        exchange.given("x", Differentiable())
