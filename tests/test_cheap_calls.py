"""Calls that cost little: streams that run for long, and predict, again and again."""

import signal
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from support import assert_close, random_data, random_model, wait_while_it_works

from nbrnn import LSTM, Dense
from nbrnn.targets import cpu

# ---------------------------------------------------------------- streams: memory, Ctrl-C, plain Python


@pytest.mark.skipif(not cpu.JIT, reason="plain Python makes objects")
def test_a_million_rows_and_steps_take_no_more_memory_than_the_results():
    model = random_model([LSTM(3), Dense(1)], (None, 2), dtype="float32")
    stream, rows = model.stream(), np.ones((200_000, 2), "f4")
    stream.run(rows[:10])
    row = rows[0]
    stream.step(row)
    tracemalloc.start()
    try:
        stream.run(rows)
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 200_000 * 4 + 50_000
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(1000):
            stream.step(row)
        assert tracemalloc.get_traced_memory()[1] - before < 5_000
    finally:
        tracemalloc.stop()


LONG = """
import signal, numpy as np, nbrnn
signal.signal(signal.SIGINT, signal.default_int_handler)
stream = nbrnn.Sequential([nbrnn.LSTM(1)], input_shape=(None, 2), seed=0).stream()
stream.step(np.ones(2))
kept = stream.states
many = np.broadcast_to(np.float32(1), (2 * 10**9, 2))  # many minutes
try:
    print("ready", flush=True)
    stream.run(many)
except KeyboardInterrupt:
    same = all((stream.states[name] == state).all() for name, state in kept.items())
    print("stopped", same, flush=True)
"""


@pytest.mark.skipif(not cpu.JIT or sys.platform == "win32", reason="sends SIGINT to a process that runs for long")
def test_ctrl_c_stops_a_long_run_and_leaves_the_states(environment):
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", LONG], env=environment(), **pipes) as run:
        watch = threading.Timer(300, run.kill)  # if it never stops
        watch.start()
        try:
            assert run.stdout.readline() == "ready\n", run.stderr.read()
            wait_while_it_works(run, 0.5)
            run.send_signal(signal.SIGINT)
            assert run.stdout.readline() == "stopped True\n", run.stderr.read()
        finally:
            watch.cancel()
            run.kill()


PLAIN = """
import numpy as np, nbrnn
from nbrnn.targets import cpu
assert not cpu.JIT
for cell in (nbrnn.SimpleRNN, nbrnn.LSTM, nbrnn.GRU):
    model = nbrnn.Sequential([cell(3), nbrnn.Dense(2)], input_shape=(None, 2), seed=0, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 5, 2))
    stream = model.stream(2)
    rows = stream.run(x.swapaxes(0, 1))
    np.testing.assert_allclose(rows[-1], model.predict(x), rtol=0, atol=1e-14)
    stream.reset()
    assert (np.array([stream.step(row).copy() for row in x.swapaxes(0, 1)]) == rows).all()
    try:
        stream.step([[1, 2], [3, np.nan]])
    except ValueError as error:
        print(error)
"""


def test_streams_run_in_plain_python(run_python):
    said = run_python(PLAIN, NUMBA_DISABLE_JIT=1)
    assert said == "x holds a number that is not finite (NaN or infinite).\n" * 3


# ---------------------------------------------------------------- predict, called often


def test_predict_sees_new_numbers_and_weights_and_returns_arrays_of_their_own():
    model = random_model([LSTM(40, return_sequences=True), Dense(2)], (None, 3), seed=1)
    x, _ = random_data(model, 16, 1, steps=4)
    first, again = model.predict(x), model.predict(x)
    assert first is not again and (first == again).all()
    other = model.predict(x + 1)
    assert abs(other - first).max() > 1e-6 and (first == again).all()
    assert (model.predict(np.asfortranarray(x)) == first).all() and (model.predict(x.tolist()) == first).all()
    assert (model.predict(x[::-1]) == first[::-1]).all() and (model.predict(x[3:9], batch_size=2) == first[3:9]).all()
    weights = model.get_weights()
    model.set_weights([w + 0.1 for w in weights])
    assert abs(model.predict(x) - first).max() > 1e-6
    model.set_weights(weights)
    assert (model.predict(x) == first).all()


def test_predict_refuses_what_it_refused_when_it_is_called_again():
    model = random_model([LSTM(3), Dense(2)], (None, 2), seed=4)
    x, _ = random_data(model, 5, 2)
    expected = model.predict(x, batch_size=1)
    for bad in (np.nan, np.inf, -np.inf):
        wrong = x.copy()
        wrong[3, 1, 1] = bad
        with pytest.raises(ValueError, match=r"x holds a number that is not finite .* in sample 3"):
            model.predict(wrong, batch_size=1)
    for batch in (True, 1.0, "1"):
        with pytest.raises(ValueError, match="batch_size"):
            model.predict(x, batch_size=batch)
    assert (model.predict(x, batch_size=1) == expected).all()


def test_many_shapes_keep_a_bounded_number_of_programs():
    model = random_model([LSTM(3), Dense(2)], (None, 2), seed=4)
    x, _ = random_data(model, 30, 2)
    whole = model.predict(x)
    for n in range(1, 31):
        assert_close(model.predict(x[:n]), whole[:n], 4e-15)
    assert len(model._ready) <= 8 and len(model._executors) <= 8
    assert_close(model.predict_on_batch(x[:1]), whole[:1], 4e-15)
