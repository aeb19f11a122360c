"""All host code, numba-cuda and cuda-core included, on a driver that looks at everything and runs nothing.

test_cuda_host.py builds it (driver/libcuda.c) and starts the process in which it stands for NVIDIA's.
"""

import ctypes
import gc
import os
import threading
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from column_major import ColumnMajor
from numba import cuda
from support import random_weights

import nbrnn
from nbrnn.memory import NotEnoughMemoryError
from nbrnn.targets.cuda import device, graphs, keeping, products
from nbrnn.targets.cuda.cublas import WORKSPACE, Library
from nbrnn.targets.cuda.exchange import DeviceArray

DRIVER = ctypes.CDLL("libcuda.so.1")
DRIVER.fake_used.restype = ctypes.c_size_t
DRIVER.fake_memory.argtypes = [ctypes.c_size_t]
ALL = 1 << 34  # bytes of the card
LOG = Path(os.environ["FAKE_CUDA_LOG"])
rng = np.random.default_rng(5)
X, Y = rng.normal(size=(22, 3, 2)).astype("float32"), rng.normal(size=(22, 2)).astype("float32")


@pytest.fixture(autouse=True)
def well():
    """Let the driver work again after a test."""
    LOG.write_text("")
    yield
    DRIVER.fake_fail(b"", 0, 0)
    DRIVER.fake_memory(ALL)


def log(*words):
    """Return the driver's lines that begin with one of some words, all if none is given."""
    return [line for line in LOG.read_text().splitlines() if not words or line.split()[0] in words]


def make(**options):
    model = nbrnn.Sequential([nbrnn.LSTM(4, dropout=0.2, **options), nbrnn.Dense(2)], input_shape=(3, 2), seed=1)
    random_weights(model, 3)
    model.compile("adam", "mse", ["mae"])
    return model


def fit(model, **options):
    return model.fit(X, Y, batch_size=4, epochs=2, verbose=0, **options)


def same(model, weights):
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fit_is_a_replay_a_batch_and_nothing_else_goes_on_while_it_is_captured():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make().to("cuda")
        before = model.get_weights()
        fit(model)
    assert not log("refused", "failed")
    assert len(log("capture")) == 2 and len(log("replay")) == 2 * 6 - 2
    assert {len(log("node"))} == {2 * int(line.split()[1]) for line in log("replay")}  # as many for both sizes
    same(model, before)
    LOG.write_text("")
    fit(model)
    assert not log("alloc", "load", "launch", "capture") and len(log("replay")) == 12
    assert model.predict(X).shape == (22, 2)


def test_another_process_finds_every_kernel_compiled(monkeypatch):
    from numba.cuda import dispatcher

    fit(make().to("cuda"))
    found = []
    for each in gc.get_objects():
        if isinstance(each, dispatcher.CUDADispatcher) and isinstance(each._cache, keeping.Kept):
            found += [(each, signature, form) for signature, form in each.overloads.items()]
    assert len(found) > 15
    codes = {}
    for kernel, signature, form in found:
        head, code = keeping._read(kernel._cache.path(signature))
        made, again = form._codelibrary, keeping._kernel(signature, head, code)._codelibrary
        assert again.get_cubin().code == code and head["entry"] in code.decode("latin-1")
        if made.get_cubin().code == code:
            assert again.get_cufunc().attrs == made.get_cufunc().attrs
        codes.setdefault(kernel._cache.path(signature), set()).add((kernel.__name__, str(signature)))
    assert all(len(known) == 1 for known in codes.values())
    path = keeping.folder(keeping.capability())
    assert path.parent == Path(os.environ["NBRNN_CACHE_DIR"]) and path.name.startswith("kernels-cuda90-")


def test_kernels_that_differ_in_a_constant_are_not_taken_for_one_another():
    from nbrnn.targets.cuda.tiles import PLAIN, TURNED, Tile, tiled

    sizes = Tile(16, 16, 8, 8, 8), Tile(16, 16, 16, 8, 8)
    forms = [(form, tile, np.dtype(kind), *words) for form in (PLAIN, TURNED) for tile in sizes
             for kind in ("float32", "float64") for words in ((False, False, False), (True, True, False))]  # fmt: skip
    keys = {keeping.Kept(kernel.py_func, kernel.targetoptions).key for kernel in (tiled(*form) for form in forms)}
    assert len(keys) == len(forms) and None not in keys
    texts = []
    for number in (1.0, 2.0):
        scope = {"cuda": cuda, "NUMBER": number}
        exec("def f(x):\n    x[0] = NUMBER", scope)
        texts.append(keeping.Kept(scope["f"], {}).key)
    assert texts[0] != texts[1]


def test_a_file_that_is_not_whole_is_not_loaded(tmp_path):
    path = tmp_path / "k.cubin"
    for text in (b"", b"{}", b"nothing\n", b'{"bytes": 3, "sha256": "no"}\nabc'):
        path.write_bytes(text)
        assert keeping._read(path) is None


def test_memory_that_is_stated_is_what_is_taken():
    before, model = used(), make().to("cuda")
    fit(model)
    taken, stated = used() - before, model.memory(batch_size=4, samples=22)
    assert stated["scratch"] > 65536 and stated["compiled kernels"] >= 10 * 2**17
    assert 0 <= stated.total - stated["compiled kernels"] - taken < 8192
    del model
    assert used() == before


def used():
    """Return the bytes that are taken, when all that can be is given back."""
    gc.collect()
    device.memory_left()
    return DRIVER.fake_used()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_library_is_opened_before_a_batch_and_captured_on_its_stream(precision, monkeypatch):
    library, streams = Library(ColumnMajor()), set()
    own = library.use
    monkeypatch.setattr(library, "use", lambda stream: (streams.add(stream), own(stream)))
    monkeypatch.setattr(products, "library", lambda: (library, ""))
    monkeypatch.setattr(products, "LIBRARY_FROM", dict.fromkeys(products.LIBRARY_FROM, 0))
    monkeypatch.setattr(products, "LOW_ROWS", 0)
    before, model = used(), make().to("cuda", precision=precision)
    stated = model.memory(batch_size=4, samples=22)
    assert stated["cuBLAS"] == 64 * 2**20 and library.handle is None and used() == before
    fit(model)
    assert library.workspace.nbytes == WORKSPACE and len(streams) == 3 and 0 in streams  # and of two captures
    taken = used() - before - WORKSPACE
    assert 0 <= stated.total - stated["compiled kernels"] - stated["cuBLAS"] - taken < 64
    assert not log("refused")


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1])
def test_memory_that_runs_out_leaves_the_model_as_it_was(share, monkeypatch):
    from nbrnn.targets.cuda import executor

    before, model = used(), make().to("cuda")
    fit(model)
    taken = used() - before
    model = make().to("cuda")
    weights, before = model.get_weights(), used()
    LOG.write_text("")
    DRIVER.fake_memory(before + taken)  # less than is stated: none is left for kernels
    with pytest.raises(NotEnoughMemoryError, match=r"needs .* of the GPU's memory .*compiled kernels .* free"):
        fit(model)
    assert not log("alloc", "launch")
    monkeypatch.setattr(executor, "require_card", lambda *arguments: None)
    DRIVER.fake_memory(before + int(taken * share) - 1)
    with pytest.raises(NotEnoughMemoryError, match=r"of the GPU's memory could not be had .* are free\): make batch_"):
        fit(model)
    DRIVER.fake_memory(ALL)
    assert not log("launch", "replay")
    same(model, weights)
    fit(model)
    assert log("replay")


@pytest.mark.parametrize(
    ("function", "after", "code", "words"),
    [
        ("cuLaunchKernelEx", 3, 701, r"the GPU, or its driver, has failed \(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        ("cuLaunchKernelEx", 30, 1, r"could not be captured as a CUDA graph \(CUDA_ERROR_INVALID_VALUE.*\): set"),
        ("cuStreamBeginCapture_v2", 1, 900, r"could not be captured as a CUDA graph \(CUDA_ERROR_STREAM_CAPTURE"),
        ("cuGraphInstantiateWithParams", 1, 2, r"more of the GPU's memory could not be had"),
        ("cuMemAlloc_v2", 1, 1, r"the GPU, or its driver, has failed \(.*cuMemAlloc.*: start Python again"),
        ("cuMemAlloc_v2", 9, 1, r"the GPU, or its driver, has failed \(.*cuMemAlloc.*: start Python again"),
        ("cuGraphLaunch", 1, 2, r"more of the GPU's memory could not be had"),
        ("cuMemcpyDtoH_v2", 1, 719, r"the GPU, or its driver, has failed \(.*start Python again"),
    ],
)  # fmt: skip
def test_what_the_driver_refuses_is_one_sentence_and_the_next_fit_works(function, after, code, words):
    model = make().to("cuda")
    before = model.get_weights()
    DRIVER.fake_fail(function.encode(), after, code)
    with pytest.raises(ValueError, match=words) as error:
        fit(model)
    assert "\n" not in str(error.value) and log("failed")
    assert graphs.Queue.now == 0 and not graphs.Queue.trying and len(log("capture")) == len(log("captured"))
    DRIVER.fake_fail(b"", 0, 0)
    same(model, before)
    fit(model)


def test_a_device_that_is_lost_leaves_the_hosts_weights():
    model = make().to("cuda")
    before = model.get_weights()
    model.train_on_batch(X, Y)
    DRIVER.fake_fail(b"cuMemcpyDtoH_v2", 1, 700)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"cannot be read back from the GPU .*: model.to\(\"cpu\"\) goes on from"):
            model.get_weights()
    assert model.to("cpu").device == "cpu"
    same(model, before)
    model.fit(X, Y, verbose=0)


def test_blocks_that_do_not_meet_are_told_of_and_nothing_is_lost(monkeypatch):
    from nbrnn.targets.cuda import barrier

    model = make().to("cuda")
    fit(model)
    before, status = model._slots["hyper"].copy(), barrier.meeting()[1]
    status.copy_to_device(np.array([1], np.int32))
    with pytest.raises(ValueError, match=r"did not meet.*NBRNN_CUDA_DESIGN=steps.*model.to\(\"cpu\"\)\.$"):
        fit(model)
    np.testing.assert_array_equal(model._slots["hyper"], before)
    fit(model)


def test_another_thread_predicts_and_a_forked_process_is_told():
    model, found = make().to("cuda"), []
    threads = [threading.Thread(target=lambda: found.append(model.predict(X))) for _ in range(3)]
    for each in threads:
        each.start()
        each.join()
    assert len(found) == 3 and found[0].shape == (22, 2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            make().to("cuda")
        except ValueError as error:
            code = 0 if "forked" in str(error) and "spawn" in str(error) else 2
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def outside(array, **changes):
    """Return what another library would hand over."""
    return SimpleNamespace(__cuda_array_interface__=array.__cuda_array_interface__ | changes, keep=array)


def test_arrays_of_others_are_waited_for_and_looked_at(monkeypatch):
    model, there = make().to("cuda"), cuda.to_device(X)
    for changes, waits in (
        ({"version": 2}, ["wait for all"]), ({"stream": 77}, ["wait for a stream"]), ({"stream": 2}, [
        "wait for a default stream"]), ({"stream": 1}, []), ({"stream": None}, []),
    ):  # fmt: skip
        LOG.write_text("")
        found = model.predict(outside(there, **changes))
        assert log("wait") == waits
        assert found.__cuda_array_interface__["stream"] == 1 and found.numpy().shape == (22, 2)
    assert cuda.as_cuda_array(found).copy_to_host().shape == (22, 2)
    with pytest.raises(ValueError, match="x says that it stands on a GPU, but the driver knows no such memory"):
        model.predict(outside(there, data=(4096, False)))
    monkeypatch.setenv("FAKE_CUDA_ORDINAL", "1")
    ctypes.CDLL(None).setenv(b"FAKE_CUDA_ORDINAL", b"1", 1)
    with pytest.raises(ValueError, match="x stands on GPU 1, but the model is on GPU 0: copy it there first"):
        model.predict(outside(there))
    ctypes.CDLL(None).unsetenv(b"FAKE_CUDA_ORDINAL")


def test_graphs_hold_no_memory_that_is_given_back():
    model = make().to("cuda")
    for samples in (22, 10, 22, 5):
        for _ in range(3):
            there = cuda.to_device(X[:samples].copy())
            found = model.predict(outside(there), batch_size=4)
            del there
            used()
            assert found.numpy().shape == (samples, 2)
        fit(model)
    for batch in range(1, 12):  # older executors go
        model.predict(X[:11], batch_size=batch)
        used()
    fit(model)
    assert not log("refused")


def test_threads_take_turns():
    models, errors = [make().to("cuda") for _ in range(3)], []

    def work(model):
        try:
            for _ in range(5):
                fit(model)
                model.memory(batch_size=4)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors and not log("refused")
    assert len(log("replay")) == 3 * (5 * 12 - 2) and len(log("capture")) == 6


def test_arrays_come_by_dlpack():
    from cuda.core.utils import StridedMemoryView

    model, there = make().to("cuda"), cuda.to_device(X)
    view = StridedMemoryView.from_cuda_array_interface(there, stream_ptr=-1)

    class Only:
        def __dlpack__(self, **options):
            self.options = options
            return view.__dlpack__()

        def __dlpack_device__(self):
            return 2, 0

    given = Only()
    found = model.predict(given)
    assert isinstance(found, DeviceArray) and given.options["stream"] == 1
    np.testing.assert_array_equal(model._taken("x", given).numpy(), X)


def test_weights_are_lent_and_looked_at_again():
    model = make().to("cuda")
    model.train_on_batch(X, Y)
    lent = model.device_weights()["dense/bias"]
    cuda.as_cuda_array(lent).copy_to_device(np.array([3.0, 4.0], "float32"))
    model.predict(X)
    np.testing.assert_array_equal(model.get_weights()[-1], [3.0, 4.0])
    assert "wait for all" in log()
