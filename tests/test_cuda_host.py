"""What the host does for a GPU, without one: nothing runs, all else is real.

Once on a driver that is built for it (driver/libcuda.c), where numba-cuda, cuda-core and the bindings do what they do
on a GPU; and once with numba-cuda's arrays over the host's memory, where nothing is compiled.
"""

import contextlib
import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config, cuda
from support import random_weights

import nbrnn

pytestmark = [
    pytest.mark.cuda_compile,
    pytest.mark.skipif(
        getattr(cuda, "implementation", "") != "NVIDIA" or bool(config.ENABLE_CUDASIM),
        reason="numba-cuda is not installed",
    ),
]


HERE = Path(__file__).parent


def header():
    """Return the folder of cuda.h, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations] if spec else []
    found = [p.parent for folder in folders for p in sorted(folder.glob("*/include/cuda.h"))]
    return found[0] if found else None


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """Return the folder of a driver that runs nothing."""
    compiler, place = shutil.which("cc") or shutil.which("gcc"), tmp_path_factory.mktemp("driver")
    if sys.platform != "linux" or not compiler or header() is None:
        pytest.skip("no C compiler, or no cuda.h (nvidia-cuda-runtime-cu12)")
    named = ["-o", place / "libcuda.so.1", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", f"-I{header()}", HERE / "driver" / "libcuda.c", *named], check=True
    )
    return place


def test_all_host_code_on_a_driver_that_runs_nothing(driver, environment, tmp_path):
    variables = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA_LOG": tmp_path / "log"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "cuda_driven.py"],
        env=environment(**variables), check=False, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout


SAY = """
import nbrnn
try:
    nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,)).to("cuda")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FAKE_CUDA_DEVICES", 0, "the NVIDIA driver finds no GPU: type nvidia-smi"),
        ("FAKE_CUDA_INIT", 804, "the NVIDIA driver does not start (error 804 of cuInit)"),
        ("FAKE_CUDA_VERSION", 11080, "knows CUDA 11.8 at most, which is too old"),
        ("FAKE_CUDA_START", 46, "the GPU does not start (CUDA_ERROR_DEVICE_UNAVAILABLE"),
        ("FAKE_CUDA_START", 2, "the GPU does not start (CUDA_ERROR_OUT_OF_MEMORY"),
        ("FAKE_CUDA_CAPABILITY", 61, "No GPU has compute capability 6.1, but the kernels need 7.0 or later"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told_of_in_a_sentence(driver, run_python, variable, value, words):
    said = run_python(SAY, LD_LIBRARY_PATH=driver, **{variable: value})
    assert words in said and said.endswith('or stay on the CPU: model.to("cpu").\n') and said.count("\n") == 1


def test_info_tells_of_the_gpu_that_is_there(driver, run_python):
    code = "from nbrnn.cli import main; main(['info'], standalone_mode=False)"
    said = run_python(code, LD_LIBRARY_PATH=driver)
    assert "No GPU, compute capability 9.0, 132 processors" in said and "16.0 GiB free of 16.0 GiB" in said
    assert "own tiles" in said or "cuBLAS failed: cublasCreate_v2" in said  # it is told, and all else too
    assert "none: the GPU does not start" in run_python(code, LD_LIBRARY_PATH=driver, FAKE_CUDA_START=46)


class Card:
    """Stands for a GPU: memory of the host, launches that are noted, graphs that note what they are asked."""

    def __init__(self):
        self.launched, self.graphs, self.replays, self.left = [], [], 0, 10**9

    def memalloc(self, size):
        from numba.cuda.cudadrv import driver

        memory = np.full(size, 0xFF, np.uint8)
        return driver.MemoryPointer(self, driver.binding.CUdeviceptr(memory.ctypes.data), size, owner=memory)

    def builder(self):
        card, before = self, len(self.launched)

        def complete():
            card.graphs.append(card.launched[before:])
            return SimpleNamespace(launch=card.replay, close=lambda: None)

        nothing = lambda: None
        return SimpleNamespace(begin_building=nothing, end_building=nothing, complete=complete, close=nothing)

    def replay(self, stream):
        assert stream == "default"
        self.replays += 1


@pytest.fixture
def card(monkeypatch):
    """Put a card in the place of the driver."""
    from numba.cuda.cudadrv import devicearray, devices, driver
    from numba.cuda.dispatcher import CUDADispatcher

    from nbrnn.targets.cuda import calls, device, exchange, executor, graphs, launching, products, residence

    there = Card()

    def address(of):
        return of.ctypes.data if isinstance(of, np.ndarray) else of.device_ctypes_pointer.value

    def move(to, source, size, stream=0):
        ctypes.memmove(address(to), address(source), size)

    monkeypatch.setattr(devices, "get_context", lambda *a: there)
    monkeypatch.setattr(devices._runtime, "get_or_create_context", lambda *a: there)
    monkeypatch.setattr(devices._runtime, "ensure_context", contextlib.nullcontext)
    monkeypatch.setattr(driver, "host_to_device", move)
    monkeypatch.setattr(driver, "device_to_host", move)
    monkeypatch.setattr(driver, "device_to_device", move)
    monkeypatch.setattr(driver, "device_memset", lambda a, v, n, stream=0: ctypes.memset(address(a), v, n))
    monkeypatch.setattr(devicearray._driver, "is_device_memory", lambda a: not isinstance(a, np.ndarray))

    def getitem(self, where):
        return lambda *arguments: there.launched.append((self, tuple(map(self.typeof_pyval, arguments)), where))

    monkeypatch.setattr(CUDADispatcher, "__getitem__", getitem)
    monkeypatch.setattr(device, "_missing_here", lambda: "")
    for module in (device, calls, products):
        monkeypatch.setattr(module, "chip", lambda: device.CHIPS["H200"])
    for module in (device, executor):
        monkeypatch.setattr(module, "memory_left", lambda: there.left)
    monkeypatch.setattr(residence, "memory_left", lambda: there.left)
    monkeypatch.setattr(graphs, "new_builder", there.builder)
    monkeypatch.setattr(graphs, "default_stream", lambda: "default")
    monkeypatch.setattr(graphs, "undisturbed", contextlib.nullcontext)
    monkeypatch.setattr(launching, "make_ready", lambda *arguments: None)
    monkeypatch.setattr(exchange, "_require_here", lambda name, pointer: None)
    return there


def model_on(card, layers, **options):
    model = nbrnn.Sequential(layers, input_shape=(3, 2), seed=1)
    random_weights(model, 1)
    model.compile(options.pop("optimizer", "adam"), "mse", ["mae"])
    return model.to("cuda", **options)


X, Y = np.zeros((22, 3, 2), "float32"), np.zeros((22, 2), "float32")


def test_an_epoch_is_a_launch_a_batch(card):
    model = model_on(card, [nbrnn.LSTM(4, dropout=0.2), nbrnn.Dense(2)])
    before = [w.copy() for w in model.get_weights()]
    history = model.fit(X, Y, batch_size=4, epochs=4, verbose=0)
    assert history.history["loss"] == [0.0] * 4  # nothing ran, and the log was cleared
    assert len(card.graphs) == 2 and len(card.graphs[0]) > 20  # of batches of 4 and of 2
    assert card.replays == 4 * 6 - 2
    eager = len(card.launched) - sum(map(len, card.graphs))
    assert eager == sum(map(len, card.graphs)) and card.launched[0][0].py_func.__name__ == "begin_batch"
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    launches = len(card.launched)
    model.fit(X, Y, batch_size=4, verbose=0)
    assert len(card.launched) == launches and card.replays == 4 * 6 - 2 + 6


def test_arguments_are_typed_as_kernels_want_them(card):
    from numba import types

    model = model_on(card, [nbrnn.GRU(4), nbrnn.Dense(2)])
    model.fit(X, Y, batch_size=4, verbose=0)
    for kernel, kinds, (_, _, stream, _) in card.launched:
        for name, kind in zip(kernel.py_func.__code__.co_varnames, kinds, strict=False):
            if name == "alive":
                assert kind.dtype == types.int64, kernel.py_func.__name__
            if name in ("control", "job", "order"):
                assert kind.dtype == types.int64
        assert not any(k == types.float64 for k in kinds), kernel.py_func.__name__  # a scalar that would promote
        assert stream == 0 or hasattr(stream, "begin_building")


def test_predictions_of_other_arrays_replay_the_same_graph(card):
    model = model_on(card, [nbrnn.SimpleRNN(4), nbrnn.Dense(2)])
    for _ in range(4):
        assert model.predict(X.copy(), batch_size=11).shape == (22, 2)
    assert len(card.graphs) == 1 and card.replays == 7
    outside = SimpleNamespace(__cuda_array_interface__=cuda.to_device(X).__cuda_array_interface__, keep=X)
    card.graphs.clear()
    for _ in range(3):  # the inputs stand where they stood, the results in places of their own
        found = model.predict(outside, batch_size=11)
        assert found.__cuda_array_interface__["shape"] == (22, 2) and len(card.graphs) == 1


def test_what_does_not_fit_is_refused_before_it_is_taken(card):
    model = model_on(card, [nbrnn.LSTM(64), nbrnn.Dense(2)])
    card.left = 10_000
    with pytest.raises(ValueError, match=r"needs .* of the GPU's memory .*, but 10,000 bytes of it are free"):
        model.fit(X, Y, verbose=0)
    assert not card.launched


def test_a_failure_that_the_log_tells_of_is_found(card, monkeypatch):
    from nbrnn.targets.cuda import graphs

    model = model_on(card, [nbrnn.Dense(2), nbrnn.Flatten(), nbrnn.Dense(2)], optimizer="sgd")
    model.train_on_batch(X, Y)
    runner = model._executor("train", X, Y, 4)
    own = graphs.Replayed.__call__

    def failing(self):
        own(self)
        runner.log[:2].copy_to_device(np.array([graphs.LOSS_NOT_FINITE, 2.0]))

    monkeypatch.setattr(graphs.Replayed, "__call__", failing)
    done, log = runner.run(0, 6, shuffle=1, seed=0, epoch=0, step=0)
    assert done == 2 and log.shape == (3, 2)
    job = runner.job.copy_to_host()
    assert job[graphs.AT] == 2 and job[graphs.FAILED] == graphs.LOSS_NOT_FINITE
