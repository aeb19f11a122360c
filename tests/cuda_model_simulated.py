"""Models on a simulated GPU, from the user's side; test_cuda_model.py starts the process in which Numba simulates."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from support import assert_close, random_weights

import nbrnn
from nbrnn.memory import NotEnoughMemoryError
from nbrnn.slots import optimizer_arrays
from nbrnn.targets.cuda import exchange, executor, residence

TOLERANCE = 1e-11  # of the largest number, in float64: sums over a batch go in another order than the CPU's shards
rng = np.random.default_rng(4)
X, Y = rng.normal(size=(10, 3, 2)), rng.normal(size=(10, 2))


def make(layers=None, optimizer="adam", dtype="float64", device="cpu", **options):
    layers = [nbrnn.LSTM(3, dropout=0.3), nbrnn.Dense(2)] if layers is None else copy.deepcopy(layers)
    model = nbrnn.Sequential(layers, input_shape=(3, 2), seed=1, dtype=dtype, name="model")
    random_weights(model, 2, 0.4)
    model.compile(optimizer, "mse", ["mae"])
    return model.to(device, **options)


def pair(*arguments, **options):
    return make(*arguments, **options), make(*arguments, **options, device="cuda")


def same(model, expected, tolerance=TOLERANCE):
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert_close(one, other, tolerance)


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


class Watch(nbrnn.Callback):
    """Look at the weights, and change the learning rate, after every epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights()[0])
        self.model.optimizer.learning_rate *= 0.5


def test_a_fit_gives_the_cpus_numbers_and_the_same_bits_twice():
    found = []
    for model in (*pair(), make(device="cuda")):
        watch = Watch()
        options = dict(epochs=2, batch_size=4, verbose=0, validation_data=(X[:3], Y[:3]), callbacks=[watch])
        history = model.fit(X, Y, **options).history
        found.append((model, history, watch.seen))
    (cpu, wanted, seen), (gpu, history, looked), (again, _, _) = found
    assert history.keys() == wanted.keys()
    for name, values in wanted.items():
        assert_close(history[name], values, TOLERANCE, name)
    assert_close(looked, seen, TOLERANCE)
    same(gpu, cpu)
    assert bits(gpu) == bits(again) and gpu.device == "cuda"
    assert_close(gpu.predict(X), cpu.predict(X), TOLERANCE)
    assert_close(gpu.evaluate(X, Y), cpu.evaluate(X, Y), TOLERANCE)
    assert_close(gpu.train_on_batch(X, Y), cpu.train_on_batch(X, Y), TOLERANCE)
    same(gpu, cpu)


def test_masks_states_and_stateful_layers_go_along():
    ragged = [X[k, : 1 + k % 3] for k in range(10)]
    for layer in (nbrnn.GRU(3), nbrnn.Bidirectional(nbrnn.SimpleRNN(3))):
        cpu, gpu = pair([layer, nbrnn.Dense(2)])
        for model in (cpu, gpu):
            model.fit(ragged, Y, batch_size=6, epochs=1, verbose=0)
        same(gpu, cpu)
    cpu, gpu = pair([nbrnn.LSTM(3, return_state=True), nbrnn.Dense(2)])
    begin = {"lstm/h": rng.normal(size=(10, 3))}
    for one, other in zip(*(m.predict(X, initial_state=begin, batch_size=4) for m in (gpu, cpu)), strict=True):
        assert_close(one, other, TOLERANCE)
    cpu, gpu = pair([nbrnn.LSTM(3, stateful=True), nbrnn.Dense(2)])
    for model in (cpu, gpu):
        model.fit(X, Y, batch_size=5, epochs=2, shuffle=False, verbose=0)
        model.reset_states([0, 2])
    same(gpu, cpu)
    for name, state in cpu.states.items():
        assert_close(gpu.states[name], state, TOLERANCE, name)
    assert_close(gpu.predict(X, batch_size=5), cpu.predict(X, batch_size=5), TOLERANCE)


def test_several_inputs_and_outputs():
    found = []
    for device in ("cpu", "cuda"):
        a, b = nbrnn.Input((3, 2), name="a"), nbrnn.Input((2,), name="b")
        h = nbrnn.SimpleRNN(3, name="h")(a)
        joined = nbrnn.Concatenate(name="both")([h, b])
        outputs = [nbrnn.Dense(2, name="p")(joined), nbrnn.Dense(1, name="q")(h)]
        model = nbrnn.Model([a, b], outputs, seed=3, dtype="float64")
        model.compile("sgd", "mse")
        model.to(device)
        model.fit([X, Y], [Y, Y[:, :1]], batch_size=4, epochs=1, verbose=0)
        found.append((model, model.predict({"a": X, "b": Y})))
    same(found[1][0], found[0][0])
    for one, other in zip(found[1][1], found[0][1], strict=True):
        assert_close(one, other, TOLERANCE)


def test_weights_are_right_wherever_they_are_looked_at_and_changed(tmp_path):
    cpu, gpu = pair([nbrnn.Bidirectional(nbrnn.SimpleRNN(2)), nbrnn.Dense(2)])
    variable, inner = gpu.weights[0], next(iter(gpu.layers[0].inner.values()))
    for model in (cpu, gpu):
        model.fit(X, Y, batch_size=5, verbose=0)
    assert_close(inner.get_weights()[0], cpu.get_weights()[0], TOLERANCE)
    for model in (cpu, gpu):
        model.train_on_batch(X, Y)
    assert_close(variable.numpy(), cpu.weights[0].numpy(), TOLERANCE)
    for model in (cpu, gpu):
        model.train_on_batch(X, Y)
    gpu.save(tmp_path / "model.safetensors")
    loaded, twin = nbrnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(gpu)
    assert loaded.device == twin.device == "cpu" and bits(loaded) == bits(twin) == bits(gpu)
    loaded.to("cuda")
    for model in (cpu, gpu, loaded):  # the optimizer's arrays came along
        model.train_on_batch(X, Y)
    same(loaded, cpu)
    for model in (cpu, gpu):
        model.weights[0].assign(model.weights[0].numpy() + 0.1)
        model.train_on_batch(X, Y)
    same(gpu, cpu)
    for model in (cpu, gpu):
        model.set_weights([w * 0.5 for w in model.get_weights()])
    assert_close(gpu.predict(X), cpu.predict(X), TOLERANCE)
    for model in (gpu, cpu):  # no change of another model's weights in between
        for array in optimizer_arrays(model).values():  # looked at, and changed where it stands
            array *= 0.5
        model.train_on_batch(X, Y)
    same(gpu, cpu)
    for model in (cpu, gpu):
        model.compile("sgd", "mse")
        model.train_on_batch(X, Y)
    assert gpu.to("cpu").device == "cpu"
    for model in (cpu, gpu):
        model.train_on_batch(X, Y)
    same(gpu, cpu)


def test_what_stays_on_the_cpu_works_with_the_weights_of_now():
    cpu, gpu = pair([nbrnn.SimpleRNN(2), nbrnn.Dense(2)])
    stream = gpu.stream()
    for model in (cpu, gpu):
        model.fit(X, Y, batch_size=5, verbose=0)
    assert_close(stream.run(X[0])[-1], cpu.predict(X[:1])[0], TOLERANCE)
    assert_close(nbrnn.trace(gpu, X[:1], Y[:1]).loss, nbrnn.trace(cpu, X[:1], Y[:1]).loss, TOLERANCE)
    assert nbrnn.check_gradients(gpu, X[:2], Y[:2]).passed
    assert gpu.device == "cuda"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_fit_goes_on_from_a_checkpoint(tmp_path, device):
    path, whole = tmp_path / "fit.safetensors", make(device="cuda")
    whole.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    begun, ended = make(device=device), make(device="cuda")

    class Stop(nbrnn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[nbrnn.Checkpoint(path, every=1), Stop()])
    ended.fit(X, Y, batch_size=4, epochs=2, verbose=0, resume=path)
    if device == "cuda":
        assert bits(ended) == bits(whole)
    same(ended, whole)


@pytest.mark.parametrize("stateful", [False, True])
def test_a_fit_that_diverges_within_a_slice_changes_nothing_after_it(stateful):
    x, y = np.tile(X, (4, 1, 1)), np.tile(Y, (4, 1))
    y[22] = 1e200  # its square is infinite: the fifth of eight batches of five
    said = []
    for device in ("cpu", "cuda"):
        optimizer = nbrnn.Adam(nbrnn.schedules.ExponentialDecay(0.01, 2, 0.5), weight_decay=0.1, global_clipnorm=1.0)
        model = make([nbrnn.LSTM(2, stateful=stateful), nbrnn.Dense(2)], optimizer, device=device)
        with pytest.raises(nbrnn.DivergedError, match="the loss is not finite in epoch 1, batch 5") as error:
            model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
        said.append((model, str(error.value), model._slots, error.value.gradient_norms))
    (cpu, expected, slots, norms), (gpu, text, found, others) = said
    assert text == expected
    same(gpu, cpu)
    powers = slice(len(cpu.optimizer.hyper()), len(cpu.optimizer.hyper()) + cpu.optimizer.powers)
    assert_close(found["slots"], slots["slots"], TOLERANCE)
    assert_close(found["hyper"][powers], slots["hyper"][powers], TOLERANCE)
    for name, state in cpu.states.items():
        assert_close(gpu.states[name], state, TOLERANCE, name)
    for name, norm in norms.items():
        assert_close(others[name], norm, 1e-9, name)
    for model in (cpu, gpu):  # and both go on as if nothing had been
        model.fit(x[:20], y[:20], batch_size=5, shuffle=False, verbose=0)
    same(gpu, cpu)


def test_nothing_is_copied_from_batch_to_batch_or_epoch_to_epoch(monkeypatch):
    copies, own = [], {way: getattr(FakeCUDAArray, way) for way in ("copy_to_device", "copy_to_host")}

    def counted(way):
        def copy_(self, *arguments, **options):
            copies.append(way)
            return own[way](self, *arguments, **options)

        return copy_

    for way in own:
        monkeypatch.setattr(FakeCUDAArray, way, counted(way))
    counts = {}
    for batch in (5, 1):
        model = make([nbrnn.Dense(2), nbrnn.Flatten(), nbrnn.Dense(2)], "sgd", device="cuda")
        model.train_on_batch(X, Y)
        runner = model._executor("train", X, Y, batch)
        copies.clear()
        runner.run(0, len(X) // batch, shuffle=0, seed=0, epoch=0, step=0)
        counts[batch] = list(copies)
        copies.clear()
        runner.run(0, len(X) // batch, shuffle=0, seed=0, epoch=0, step=0)
        assert copies == ["copy_to_device", "copy_to_host"]  # the job, and the log
    assert counts[5] == counts[1]


def test_designs_are_named_in_the_printed_program(monkeypatch):
    model = make(device="cuda")
    text = str(model.program(batch_size=2))
    assert "on the GPU" in text and "packed" not in text
    assert re.search(r"lstm_forward +persistent ", text)
    assert "    design 1 sequence a block, 2 KB of weights in registers\n" in text
    monkeypatch.setenv("NBRNN_CUDA_DESIGN", "nosuch")
    with pytest.raises(ValueError, match=r"has no design 'nosuch'; there are .*steps"):
        str(model.program(batch_size=2))
    monkeypatch.setenv("NBRNN_CUDA_DESIGN", "steps")
    assert "lstm_backward         steps" in str(model.program(batch_size=2))
    lines = []
    model.summary(print_fn=lines.append, kernels=True)
    assert any("lstm_forward" in line and line.endswith("steps") for line in lines)


# ---------------------------------------------------------------- memory


def test_what_does_not_fit_the_card_is_refused_with_the_arithmetic(monkeypatch):
    model = make(device="cuda")
    before = bits(model)
    monkeypatch.setattr(executor, "memory_left", lambda: 1000)
    with pytest.raises(NotEnoughMemoryError, match=r"needs .* of the GPU's memory \(.*\), but 1,000 bytes of it"):
        model.fit(X, Y, verbose=0)
    assert bits(model) == before
    left = iter([0, 10**9])  # older programs make room
    monkeypatch.setattr(executor, "memory_left", lambda: next(left))
    model.predict(X)


def test_an_allocation_that_fails_is_one_sentence(monkeypatch):
    def refuse(*arguments):
        raise MemoryError

    monkeypatch.setattr(residence, "cuda", SimpleNamespace(device_array=refuse))
    with pytest.raises(NotEnoughMemoryError, match=r'could not be had: make batch_size .* model.to\("cpu"\)'):
        make(device="cuda").fit(X, Y, verbose=0)


def test_weights_are_never_left_half_read(monkeypatch):
    model = make(device="cuda")
    before = model.get_weights()
    model.train_on_batch(X, Y)
    own, calls = FakeCUDAArray.copy_to_host, []

    def fail_second(self, *arguments, **options):
        calls.append(self)
        if len(calls) > 1:
            raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")
        return own(self, *arguments, **options)

    monkeypatch.setattr(FakeCUDAArray, "copy_to_host", fail_second)
    with pytest.raises(ValueError, match=r"cannot be read back from the GPU .CUDA_ERROR_ILLEGAL_ADDRESS"):
        model.get_weights()
    for (_, view), old in zip([p for layer in model.layers for p in layer.views.items()], before, strict=True):
        np.testing.assert_array_equal(view, old)


# ---------------------------------------------------------------- other libraries' arrays


class Outside:
    """An array of another library: nothing but its interface."""

    def __init__(self, array, **changes):
        self.array = array  # keeps the memory
        data = {"shape": array.shape, "strides": array.strides, "typestr": array.dtype.str, "version": 3}
        self.__cuda_array_interface__ = data | {"data": (array.ctypes.data, False)} | changes


def test_arrays_on_the_gpu_go_in_and_out_without_a_copy(monkeypatch):
    cpu, gpu = pair([nbrnn.SimpleRNN(2), nbrnn.Dense(2)])
    x, y = X.copy(), Y.copy()
    monkeypatch.setattr(exchange.DeviceArray, "numpy", None)  # which copies
    found = gpu.predict(Outside(x))
    assert isinstance(found, exchange.DeviceArray) and found.shape == (10, 2) and len(found) == 10
    out = found.__cuda_array_interface__
    assert out["strides"] is None and out["typestr"] == "<f8" and out["version"] == 3
    monkeypatch.undo()
    assert_close(np.asarray(found), cpu.predict(X), TOLERANCE)
    for model, data in ((cpu, (X, Y)), (gpu, (Outside(x), Outside(y)))):
        model.fit(*data, batch_size=4, epochs=1, validation_split=0.2, verbose=0)
    same(gpu, cpu)
    assert_close(gpu.predict(Outside(x[::2])), cpu.predict(X[::2]), TOLERANCE)
    assert_close(gpu.predict(Outside(x[:, ::-1])), cpu.predict(X[:, ::-1]), TOLERANCE)  # runs backwards: copied
    assert_close(gpu.predict(Outside(x.astype("float32"))), cpu.predict(X.astype("float32")), TOLERANCE)
    x[:] = 0.0  # read where it stands
    assert_close(gpu.evaluate(Outside(x), Outside(y)), cpu.evaluate(x, Y), TOLERANCE)
    assert_close(
        gpu.evaluate(Outside(x), Outside(y), sample_weight=Outside(np.ones(10))), cpu.evaluate(x, Y), TOLERANCE
    )


def test_weights_are_lent_to_others(monkeypatch):
    cpu, gpu = pair([nbrnn.SimpleRNN(2), nbrnn.Dense(2)])
    lent = gpu.device_weights()
    assert list(lent) == [v.path for v in gpu.weights]
    view = exchange.of_interface("it", lent["dense/kernel"].__cuda_array_interface__, lent)
    memory = np.frombuffer(view.block()._ary, view.dtype).reshape(view.shape)
    for factor in (2.0, 3.0):
        memory *= factor
        cpu.weights[3].assign(cpu.weights[3].numpy() * factor)
        assert_close(gpu.predict(X), cpu.predict(X), TOLERANCE)
        same(gpu, cpu)
    memory += 1.0  # after a look at the weights
    cpu.weights[3].assign(cpu.weights[3].numpy() + 1.0)
    assert_close(gpu.predict(X), cpu.predict(X), TOLERANCE)
    for model in (cpu, gpu):
        model.weights[0].assign(model.weights[0].numpy() * 0.5)
        model.train_on_batch(X, Y)
    same(gpu, cpu)
    assert_close(memory, cpu.weights[3].numpy(), TOLERANCE)


def test_tokens_and_classes_are_looked_at_on_the_host():
    tokens, labels = rng.integers(0, 5, (6, 3, 1)).astype("float64"), rng.integers(0, 2, 6).astype("float64")
    models = []
    for device in ("cpu", "cuda"):
        layers = [nbrnn.Embedding(5, 2), nbrnn.SimpleRNN(2), nbrnn.Dense(2, "softmax")]
        model = nbrnn.Sequential(layers, input_shape=(None, 1), seed=1, dtype="float64").to(device)
        model.compile("sgd", "sparse_categorical_crossentropy")
        x, y = (tokens, labels) if device == "cpu" else (Outside(tokens), Outside(labels))
        model.fit(x, y, verbose=0, epochs=1)
        models.append(model)
    same(*models)
    with pytest.raises(ValueError, match=r"must hold whole numbers from 0 to 4"):
        model.predict(Outside(tokens + 5))
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 1"):
        model.fit(Outside(tokens), Outside(labels + 2), verbose=0)


def test_precision_is_of_float32_models_on_the_gpu():
    exact, rough = make(dtype="float32", device="cuda"), make(dtype="float32", device="cuda", precision="bfloat16")
    assert exact.precision == "float32" and rough.precision == "bfloat16"
    difference = abs(exact.predict(X) - rough.predict(X)).max()
    assert 1e-5 < difference < 1e-1
    with pytest.raises(ValueError, match="a float64 model rounds nothing"):
        make(device="cuda", precision="tf32")
