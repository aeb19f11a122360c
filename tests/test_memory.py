"""Memory: what is stated is what is allocated; what cannot fit is refused with the arithmetic and changes nothing."""

import hashlib
import sys

import numpy as np
import pytest
from support import random_data, random_model

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN, memory
from nbrnn.memory import GIB, MIB, NAMES, NotEnoughMemoryError, available, in_words
from nbrnn.plan import shard_size
from nbrnn.program import BLOCKS, PRIVATE, Options, aligned
from nbrnn.targets import cpu

STACKS = {
    "plain": lambda: [SimpleRNN(3), Dense(1)],
    "sequences": lambda: [LSTM(9, return_sequences=True), GRU(5, return_sequences=True), Dense(2)],
    "packed": lambda: [LSTM(65), Dense(70, "relu"), Dense(1)],
    "reset before": lambda: [GRU(40, reset_after=False, go_backwards=True), Dense(2)],
    "states": lambda: [LSTM(7, return_state=True, return_sequences=True), SimpleRNN(4, return_state=True)],
    "no recurrence": lambda: [Flatten(), Dense(3, "tanh"), Dense(1)],
}


def compiled(layers, shape=(4, 3), optimizer="adam", **settings):
    model = random_model(layers, shape, **settings)
    model.compile(optimizer, "mse", ["mae"])
    return model


def bits(model):
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


@pytest.fixture
def left(monkeypatch):
    """Return what sets how much memory is left."""
    return lambda count: monkeypatch.setattr(memory, "available", lambda: count)


# ---------------------------------------------------------------- the statement


def assert_allocated(executor, stated):
    """Compare a statement with the arrays of an executor, block by block and part by part."""
    sums = {}
    for block, (each, copies) in executor.plan.nbytes.items():
        array = executor.private[block] if BLOCKS[block][1] == PRIVATE else executor.arrays[block]
        assert array.nbytes == each * copies, block
        assert copies == (executor.plan.shards if BLOCKS[block][1] == PRIVATE else 1)
        part = NAMES.get(block, "states")
        sums[part] = sums.get(part, 0) + array.nbytes
    unused = {name for name in [*executor.private, *executor.arrays] if name not in executor.plan.nbytes}
    assert unused <= {"slots", "hyper"}  # which a training has started, and which only it reads
    assert {name: stated[name] for name in sums} == sums and stated.total == sum(sums.values())
    assert stated.new == stated.total - sum(sums.get(name, 0) for name in ("weights", "inputs", "targets"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "samples"), [(1, 1), (20, 50), (32, 32), (64, 150), (700, 600)])
@pytest.mark.parametrize("stack", STACKS)
def test_what_is_stated_is_what_the_executor_allocates(stack, batch, samples, dtype):
    model = compiled(STACKS[stack](), dtype=dtype)
    x, y = random_data(model, samples, 1)
    for mode, targets in (("train", y), ("evaluate", y), ("predict", None)):
        options = {"outputs": {"output": model._outputs(x)[0][0]}} if mode == "predict" else {}
        if mode == "predict":
            options["options"] = Options(kept=stack == "states", threads=nbrnn.get_num_threads())
        executor = model._executor(mode, x, targets, batch, **options)
        assert_allocated(executor, model.memory(batch, samples, mode=mode))


@pytest.mark.parametrize("optimizer", ["sgd", nbrnn.SGD(momentum=0.9), "rmsprop", nbrnn.Adam(global_clipnorm=1.0)])
def test_the_optimizers_arrays_count_before_and_after_the_first_fit(optimizer):
    model = compiled(STACKS["plain"](), optimizer=optimizer)
    before = model.memory(8)
    model.fit(*random_data(model, 8, 1), batch_size=8, verbose=0)
    assert model.memory(8) == before
    assert_allocated(*model._executors.values(), before)
    slots = len(model.optimizer.slots) * model.layout.sizes["params"] * 8
    assert before["optimizer"] == slots + model._slots["hyper"].nbytes


def test_states_that_are_given_and_carried_count():
    model = compiled([LSTM(6, stateful=True), Dense(1)])
    model.fit(*random_data(model, 40, 1), batch_size=40, shuffle=False, verbose=0)
    (executor,) = model._executors.values()
    assert_allocated(executor, model.memory(40))
    assert model.memory(40)["states"] == model._carried.nbytes >= 2 * 40 * 6 * 8
    model = compiled([SimpleRNN(6), Dense(1)])
    model.predict(random_data(model, 40, 1)[0], initial_state=np.ones((40, 6)))
    (executor,) = model._executors.values()
    assert_allocated(executor, executor.plan.memory)


def test_windows_that_overlap_count_as_they_stand():
    model = compiled([SimpleRNN(3), Dense(1)], (12, 1), dtype="float32")
    series = np.random.default_rng(0).normal(size=200).astype("f4")
    x = np.lib.stride_tricks.sliding_window_view(series, 12)[..., None]
    model.fit(x, series[11:], batch_size=16, verbose=0)
    (executor,) = model._executors.values()
    assert executor.plan.memory["inputs"] == series.nbytes < x.nbytes == model.memory(16, len(x))["inputs"]


def test_a_complex_model_counts_its_figures_twice_as_wide():
    model = random_model([SimpleRNN(2), Dense(1)], (3, 1), dtype="complex128")
    model.loss = compiled([Dense(1)]).loss
    program = model.program(2, mode="evaluate")
    executor = model._executor("evaluate", *random_data(model, 2, 0), 2)
    assert program.nbytes["stats"] == executor.private["stats"].nbytes


def test_the_table_adds_up_in_80_columns():
    model = compiled([LSTM(256), Dense(1)], (100, 128), dtype="float32")
    stated = model.memory(64, 1000)
    lines = str(stated).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "sequential: train, batches of 64, 4 shards of 16, float32"
    total = 0
    for line, part in zip(lines[2:-1], stated.parts, strict=True):
        words = line.removeprefix(part.name).replace(",", "").split()
        each, copies, nbytes = map(int, words[:3])
        assert each * copies == nbytes == part.nbytes and float(words[3]) == pytest.approx(nbytes / MIB, abs=1e-3)
        total += nbytes
    assert f"{total:,}" in lines[-1] and lines[-1].startswith("total") and total == stated.total
    assert stated["work"] > 4 * 16 * 100 * 4 * 256 * 4 * 2  # gates and their gradients, every step, four shards
    assert stated["inputs"] == 1000 * 100 * 128 * 4 and stated["no such part"] == 0
    last = str(model.program(batch_size=64)).splitlines()[-1]
    whole = model.memory(64).total
    assert last == f"a whole batch (4 shards) needs {whole:,} bytes, {whole / MIB:,.1f} MiB"


@pytest.mark.parametrize(
    ("nbytes", "words"), [(0, "0 bytes"), (MIB - 1, "1,048,575 bytes"), (MIB, "1.0 MiB"), (3 * GIB // 2, "1.5 GiB")]
)
def test_bytes_in_words(nbytes, words):
    assert in_words(nbytes) == words


def test_what_memory_refuses():
    model = compiled([SimpleRNN(3), Dense(1)], (None, 2))
    assert model.memory(4, steps=9).total > model.memory(4, steps=8).total
    for wrong, words in (
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
        ({"samples": 1.5, "steps": 3}, "samples must be a whole number of at least 1, not 1.5"),
        ({}, "steps must be a whole number of at least 1, not None"),
        ({"steps": 3, "mode": "fit"}, "mode 'fit' is unknown"),
    ):
        with pytest.raises(ValueError, match=words):
            model.memory(**wrong)
    with pytest.raises(ValueError, match="call compile"):
        random_model([Dense(1)], (2,)).memory()


def test_slots_of_another_optimizer_do_not_count_and_are_not_asked_for():
    model = compiled([SimpleRNN(3), Dense(1)], optimizer="adam")
    x, y = random_data(model, 8, 1)
    model.fit(x, y, verbose=0)
    model.compile("sgd", "mse")
    twin = compiled([SimpleRNN(3), Dense(1)], optimizer="sgd")
    assert model.memory(8)["optimizer"] == twin.memory(8)["optimizer"]
    assert np.isfinite(model.evaluate(x, y))


# ---------------------------------------------------------------- refused before it runs


def test_what_cannot_fit_is_refused_with_the_arithmetic_and_changes_nothing(left):
    model = compiled([LSTM(9), Dense(1)])
    x, y = random_data(model, 70, 1)
    before, history = bits(model), model.history
    calls = {
        "train": lambda: model.fit(x, y, batch_size=64, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, batch_size=64),
        "predict": lambda: model.predict(x, batch_size=64),
    }
    for mode, call in calls.items():
        stated = model.memory(64, 70, mode=mode)
        left(stated.new - 1)
        with pytest.raises(NotEnoughMemoryError) as refused:
            call()
        text = str(refused.value)
        size = shard_size(64, nbrnn.get_num_threads() if mode == "predict" else 0)
        cut = f"{64 // size} shards of {size}" if size < 64 else "1 shard of 64"
        assert text.startswith(f"sequential: {mode}, batches of 64, {cut}, float64, needs ")
        assert "\n" not in text and text.count(". ") == 0 and text.endswith(".")
        assert refused.value.needed == stated.new
        work = next(part for part in stated.parts if part.name == "work")
        for words in (
            f"needs {in_words(stated.new)} beside weights and data",
            f"work {in_words(work.nbytes)} ({64 // size} x {in_words(work.each)})",
            f"but {in_words(stated.new - 1)} of memory are available",
            "make batch_size",
        ):
            assert words in text
        assert bits(model) == before and model.history is history and (model.epochs, model.steps) == (0, 0)
        assert not model._executors
        left(stated.new)
        call()
        model._executors.clear()
        model.set_weights(compiled([LSTM(9), Dense(1)]).get_weights())
        model.epochs, model.steps, model.history = 0, 0, history


def test_a_smaller_batch_fits_where_a_large_one_does_not(left):
    model = compiled([SimpleRNN(9), Dense(1)])
    x, y = random_data(model, 200, 1)
    left(model.memory(16, 200).new)
    with pytest.raises(ValueError, match="make batch_size"):
        model.fit(x, y, batch_size=200, verbose=0)
    model.fit(x, y, batch_size=16, verbose=0)


def test_a_validation_that_cannot_fit_is_refused_before_the_first_epoch(left):
    model = compiled([SimpleRNN(9), Dense(1)])
    x, y = random_data(model, 300, 1)
    before = bits(model)
    needed = model.memory(8, 20).new + model.memory(256, 280, mode="evaluate").new
    for _ in range(2):  # the second time the programs are there, but have not run
        left(needed - 1)
        with pytest.raises(ValueError, match=r"train, batches of 8, .* with sequential: evaluate, batches of 256, "):
            model.fit(x[:20], y[:20], batch_size=8, validation_data=(x[20:], y[20:]), verbose=0)
        assert bits(model) == before and model.epochs == 0
    left(needed)
    model.fit(x[:20], y[:20], batch_size=8, validation_data=(x[20:], y[20:]), verbose=0)
    left(0)  # what has its memory already is not asked for it again
    model.fit(x[:20], y[:20], batch_size=8, validation_data=(x[20:], y[20:]), verbose=0)


def test_nothing_is_refused_where_the_system_does_not_tell(left):
    left(None)
    model = compiled([SimpleRNN(2), Dense(1)])
    model.fit(*random_data(model, 4, 1), verbose=0)
    assert model.epochs == 1


@pytest.mark.parametrize("shape", [(2**44, 8), 2**60, 2**62, (2**40, 2**40)])
def test_an_allocation_that_fails_is_one_sentence(shape):
    with pytest.raises(NotEnoughMemoryError, match=r"of memory could not be had, .* make batch_size") as refused:
        aligned(shape, "f4")
    assert refused.value.needed == 4 * int(np.prod(shape, dtype=object))


def test_the_command_line_says_it_in_one_sentence(left, tmp_path):
    from click.testing import CliRunner

    from nbrnn.cli import main

    left(1000)
    result = CliRunner().invoke(main, ["train", "sunspots", "--epochs", "1", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("Error: ") and "available: make batch_size" in result.output


# ---------------------------------------------------------------- what is left


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Return what writes the files by which a system tells its memory."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return write


MEMINFO = "MemTotal:       24684084 kB\nMemFree:        1 kB\nMemAvailable:   1000 kB\n"


def test_what_the_machine_has_left(system):
    system(proc__meminfo=MEMINFO)
    assert available() == 1000 * 1024


@pytest.mark.parametrize("path", ["/", "/a/b", "/only/on/the/host"])
def test_the_least_of_all_limits_counts_without_cached_files(system, path):
    system(proc__meminfo=MEMINFO, proc__self__cgroup=f"0::{path}\n")
    system(groups__memory_dot_max="900000\n", groups__memory_dot_current="700000\n")
    assert available() == 200000
    system(groups__memory_dot_stat="anon 500000\ninactive_file 150000\n")
    assert available() == 350000
    system(groups__a__memory_dot_max="max\n", groups__a__memory_dot_current="5\n")
    system(groups__a__b__memory_dot_max="1000\n", groups__a__b__memory_dot_current="1500\n")
    assert available() == (0 if path == "/a/b" else 350000)


def test_the_first_version_of_control_groups(system):
    system(proc__meminfo=MEMINFO, proc__self__cgroup="5:cpu:/\n4:hugetlb,memory:/job\n0::/\n")
    system(groups__memory__memory_dot_limit_in_bytes=f"{2**63 - 4096}\n")
    system(groups__memory__memory_dot_usage_in_bytes="5\n")
    assert available() == 1000 * 1024
    system(groups__memory__job__memory_dot_limit_in_bytes="8000\n")
    system(groups__memory__job__memory_dot_usage_in_bytes="6000\n")
    system(groups__memory__job__memory_dot_stat="total_inactive_file 500\n")
    assert available() == 2500


def test_without_such_files_the_machines_memory_counts_or_nothing(system, monkeypatch):
    pages = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(memory.os, "sysconf", pages.__getitem__, raising=False)
    assert available() == 40960
    monkeypatch.delattr(memory.os, "sysconf")
    assert available() is None


def test_this_machine_has_memory_left():
    count = available()
    assert count is None or count > 64 * MIB


# ---------------------------------------------------------------- a real process

PEAK = """
import numpy as np, nbrnn

def fit(samples, steps, optimizer):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, steps, 128), dtype=np.float32)
    y = rng.standard_normal((samples, 1), dtype=np.float32)
    model = nbrnn.Sequential([nbrnn.LSTM(256), nbrnn.Dense(1)], input_shape=(steps, 128), seed=0)
    model.compile(optimizer, "mse")
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    return model

def status(word):  # ru_maxrss would not do: it begins with that of the process that started this one
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(word))

warm = fit(64, 2, "adam")  # kernels and threads are there after it, and stay; its own arrays too
before = status("VmRSS:")
model = fit(256, 100, "adam")
print(status("VmHWM:") - before, model.memory(64, 256).total)
"""


@pytest.mark.skipif(not cpu.JIT or sys.platform != "linux", reason="needs compiled kernels, and /proc")
def test_a_fits_peak_of_resident_memory_is_what_was_stated(run_python):
    """The process is warm: one batch of the same layers with two steps has run, so that only this fit's memory counts.

    A first run may have compiled the kernels, whose memory would be used again, so it is a second that is measured.
    """
    run_python(PEAK)
    taken, stated = map(int, run_python(PEAK).split())
    assert 0.5 * stated <= taken <= 1.2 * stated, f"{taken:,} bytes were taken, {stated:,} were stated"
