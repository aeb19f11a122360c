"""A fit killed by SIGKILL at random moments and resumed ends with the bits of one that was never stopped."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from nbrnn.targets import cpu

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its processes by fork"),
    pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python"),
]

# A process with everything imported and compiled; it forks one for every fit, which the test kills.
SERVER = """
import hashlib, json, os, sys
import numpy as np, nbrnn

nbrnn.set_num_threads(1)  # threads do not survive a fork
VARIANT, EPOCHS = sys.argv[1], int(sys.argv[2])

def fit(path, epochs, record=None):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(57, 6, 2)), rng.normal(size=(57, 1))
    stateful = VARIANT == "stateful"
    layers = [nbrnn.LSTM(5, return_sequences=True, stateful=stateful), nbrnn.SimpleRNN(4), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, input_shape=(6, 2), seed=3)
    model.compile(nbrnn.Adam(0.01), "mse", ["mae"])
    settings, callbacks = {"batch_size": 5}, [nbrnn.CSVLogger(path + ".csv", append=False)]
    checkpoint = nbrnn.Checkpoint(path, every=7)
    if stateful:
        x, y, settings = x[:50], y[:50], settings | {"shuffle": False}
        checkpoint = nbrnn.Checkpoint(path, every=4)
    if VARIANT == "validation":
        settings["validation_split"] = 0.2
        callbacks += [nbrnn.EarlyStopping(patience=40, restore_best_weights=True, start_from_epoch=epochs - 60),
                      nbrnn.ReduceLROnPlateau(patience=3, factor=0.9, cooldown=2)]
        checkpoint = nbrnn.Checkpoint(path)
    if VARIANT == "batches":
        class Sum(nbrnn.Callback):
            total = 0.0
            def on_train_batch_end(self, batch, logs): self.total += logs["loss"]
            def on_epoch_end(self, epoch, logs): logs["sum"] = self.total
            def state(self): return {"total": self.total}
            def set_state(self, state): self.total = state["total"]
        callbacks += [Sum(), nbrnn.LearningRateScheduler(lambda epoch, rate: rate * 0.999)]
        checkpoint = nbrnn.Checkpoint(path, seconds=0.002)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[checkpoint, *callbacks], resume=True, **settings)
    arrays = [*model.get_weights(), *model._slots.values(), *model.states.values()]
    numbers = [hashlib.sha256(a.tobytes()).hexdigest() for a in arrays]
    rest = [model.history.history, model.history.epoch, model.epochs, model.steps, open(path + ".csv").read()]
    if record:
        with open(record, "w") as file:
            json.dump([numbers, rest, model.optimizer.learning_rate], file)

fit(sys.argv[3], 61)  # compiles
print("ready", flush=True)
for line in sys.stdin:
    path, record = line.split()
    child = os.fork()
    if child == 0:
        fit(path, EPOCHS, record)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
VARIANTS = {"shuffle": 150, "stateful": 150, "validation": 150, "batches": 150}
KILLS = 5  # of each: 20 in all


def start(environment, variant, folder):
    arguments = [sys.executable, "-c", SERVER, variant, VARIANTS[variant], folder / "warm"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, arguments)], env=environment(), **pipes)


def attempt(server, path, record, seconds=None, saved=False):
    """Start a fit, kill it after some seconds, and return whether it was killed; without seconds, let it end.

    The seconds begin with the fit, or with its first checkpoint.
    """
    server.stdin.write(f"{path} {record}\n")
    server.stdin.flush()
    child = int(server.stdout.readline())
    if seconds is not None:
        while saved and not (path.exists() or record.exists()):
            time.sleep(0.002)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    status = int(server.stdout.readline())
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_fit_that_is_killed_and_resumed_ends_with_the_same_bits(environment, tmp_path, variant):
    draw, kills, inside = random.Random(variant), 0, 0
    with start(environment, variant, tmp_path) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            began = time.perf_counter()
            attempt(server, tmp_path / "whole", tmp_path / "whole.json")
            spent = time.perf_counter() - began
            wanted = json.loads((tmp_path / "whole.json").read_text())
            path, record = tmp_path / "run", tmp_path / "run.json"
            while kills < KILLS or not record.exists():
                if record.exists():  # it came to its end before it could be killed often enough
                    record.unlink()
                    path.unlink(missing_ok=True)
                seconds = draw.uniform(0, spent / 4) if kills < KILLS else None
                killed = attempt(server, path, record, seconds, saved=kills % 2 == 1)
                kills += killed
                inside += killed and path.exists()
        finally:
            server.stdin.close()
            server.kill()
    assert json.loads(record.read_text()) == wanted
    assert inside, "it was never killed with a checkpoint there"
    assert not list(tmp_path.glob(".*")), "something half-written is left"
