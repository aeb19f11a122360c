"""Ctrl-C: heard within a second or two in whatever a model does, and the model goes on from where it stopped."""

import signal
import subprocess
import sys
import threading

import pytest
from support import seconds_of, wait_while_it_works

from nbrnn.targets import cpu

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to another process")

BEGIN = """
import signal, numpy as np, nbrnn
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
rng = np.random.default_rng(0)
x, y = rng.normal(size=(30, 40, 2)), rng.normal(size=(30, 1))  # a batch takes longer than what Python does about it
def fresh():
    model = nbrnn.Sequential([nbrnn.SimpleRNN(8), nbrnn.Dense(1)], input_shape=(None, 2), seed=1)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    model.predict(x), model.evaluate(x, y)
    return model
model = fresh()
FIRST
def work():
    WORK
try:
    print("ready", flush=True)
    work()
except KeyboardInterrupt:
    print("stopped", flush=True)
assert all(np.isfinite(w).all() for w in model.get_weights())
losses = model.history.history.get("loss", [])
"""

COUNTED = """
assert len(losses) == model.epochs - 1 and np.isfinite(losses).all(), (len(losses), model.epochs)
if nbrnn.targets.compiling.JIT:  # plain Python may be stopped in the middle of a batch
    assert model.steps == model.epochs > 1, (model.steps, model.epochs)  # one batch an epoch
    other = fresh()
    other.fit(x, y, epochs=len(losses), verbose=0)
    same = all((a == b).all() for a, b in zip(model.get_weights(), other.get_weights()))
    assert same, "the weights are not those of the epochs that were counted"
"""

GO_ON = """
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
model.fit(x, y, verbose=0)
print("went on", flush=True)
"""


def interrupt(environment, work, check="", begin=""):
    """Start a process that works, send it Ctrl-C, and see that it soon stops and can go on."""
    code = BEGIN.replace("WORK", work).replace("FIRST", begin) + check + GO_ON
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", code], env=environment(), **pipes) as run:
        watch = threading.Timer(300, run.kill)  # if it never stops
        try:
            assert run.stdout.readline() == "ready\n"
            watch.start()
            wait_while_it_works(run, 0.5)
            before = seconds_of(run.pid)
            run.send_signal(signal.SIGINT)
            assert run.stdout.readline() == "stopped\n"
            assert seconds_of(run.pid) - before < 4  # of several threads
            watch.cancel()
            out, err = run.stdout.read(), run.stderr.read()  # communicate() forgets what readline() read ahead
            run.wait(timeout=300)
        finally:
            run.kill()
    assert out == "went on\n", (run.returncode, err)


def test_a_long_fit_stops_with_the_weights_and_the_history_of_what_was_done(environment):
    interrupt(environment, "model.fit(x, y, epochs=10**7, verbose=0)", COUNTED)


@pytest.mark.parametrize(
    "work",
    [
        "while True: model.fit(x, y, epochs=20, verbose=0)",
        "while True: model.train_on_batch(x, y)",
        "while True: model.fit(x, y, epochs=3, verbose=0, validation_split=0.5)",
        "while True: model.predict(x)",
    ],
    ids=["fits", "batches", "fits with validation", "predictions"],
)
def test_a_loop_of_short_calls_stops(environment, work):
    interrupt(environment, work)


@pytest.mark.skipif(not cpu.JIT, reason="plain Python hears Ctrl-C anywhere")
@pytest.mark.parametrize("work", ["model.predict(many)", "model.evaluate(many, targets)"], ids=["predict", "evaluate"])
def test_a_long_pass_over_many_samples_stops(environment, work):
    many = "many, targets = np.broadcast_to(x[:1, :1], (10**6, 4000, 2)), np.broadcast_to(y[:1], (10**6, 1))\n"
    warm = work.replace("many", "many[:64]").replace("targets", "targets[:64]")  # compiling is waited for
    interrupt(environment, work, begin=many + warm)
