"""Compiling in several processes: what comes of it, and what happens when one of them is lost or asked for wrongly."""

import os
import subprocess
import sys

import pytest

from nbrnn.kernels import KERNELS
from nbrnn.targets import compiling

needs_jit = pytest.mark.skipif(not compiling.JIT, reason="nothing is compiled")
PROGRAM = """
import numpy as np
import nbrnn
from nbrnn.targets import cache, compiling

compiled = []
really = compiling._compile
compiling._compile = lambda name, dtype: (compiled.append(name), really(name, dtype))
{before}
if __name__ == "__main__":
    model = nbrnn.Sequential([nbrnn.Dense(3, "tanh"), nbrnn.Dense(2)], input_shape=(4,), seed=5)
    y = model.predict(np.random.default_rng(6).normal(size=(5, 4)).astype(np.float32))
    print(y.tobytes().hex())
    print(len(compiled), *sorted(name for name in ("enter", "gather_float32", "scatter_float32") if cache.holds(name)))
"""


def run(folder, before="", **variables):
    """Return the outputs' bits, how many functions this process compiled, and which the folder holds then."""
    program = folder / "program.py"
    program.write_text(PROGRAM.format(before=before))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NBRNN_", "NUMBA_CACHE"))}
    environment |= {"NBRNN_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    bits, rest = done.stdout.splitlines()
    count, *held = rest.split()
    return bits, int(count), held


@needs_jit
def test_several_processes_leave_the_same_code_as_one(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    bits, count, held = run(tmp_path / "one", NBRNN_COMPILERS="1")
    assert (count, held) == (0, ["enter", "gather_float32", "scatter_float32"])  # each where it is first needed
    again, count, held = run(tmp_path / "two", NBRNN_COMPILERS="2")
    assert again == bits and held == ["enter", "gather_float32", "scatter_float32"]
    assert 1 <= count < 4  # of four: the other process had a part
    assert run(tmp_path / "two", NBRNN_COMPILERS="2") == (bits, 0, held)


@needs_jit
@pytest.mark.parametrize("worker", ["raise SystemExit", "import time; time.sleep(0.2)"])
def test_a_lost_process_costs_time_and_nothing_else(tmp_path, worker):
    before = f"compiling.WORKER = {worker!r}"
    _, count, held = run(tmp_path, before, NBRNN_COMPILERS="2")
    assert count == 3 and held == ["enter", "gather_float32", "scatter_float32"]  # the fourth went down with it


def test_a_wrong_number_of_processes_is_refused(monkeypatch):
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("NBRNN_COMPILERS", wrong)
        with pytest.raises(ValueError, match=f"NBRNN_COMPILERS must be a whole number above 0, not '{wrong}'"):
            compiling.processes()
    monkeypatch.setenv("NBRNN_COMPILERS", "3")
    assert compiling.processes() == 3
    monkeypatch.delenv("NBRNN_COMPILERS")
    assert 1 <= compiling.processes() <= compiling.MOST


def test_kernels_with_more_code_come_first():
    ranked = sorted((name for name, entry in KERNELS.items() if entry.packaged), key=compiling._length, reverse=True)
    half = len(ranked) // 2
    assert {"lstm_forward", "gru_after_backward", "simple_rnn_forward", "dense_forward"} <= set(ranked[:half])
    assert {"begin", "accumulate", "sum_shards", "flatten"} <= set(ranked[half:])
