"""Paths: what is said of every kernel call is what the kernel does, and the program and the summary show it."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numba import types
from support import from_python, random_model

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN
from nbrnn.kernels import KERNELS, gemm
from nbrnn.kernels.tile import ROWS, VECTOR_BYTES
from nbrnn.paths import BLOCKED, FUSED, LOOPS, PACKED, RULES, TILES, VECTORS, paths, tile
from nbrnn.program import aligned
from nbrnn.targets import cpu

FORWARD = {"simple_rnn_forward", "lstm_forward", "gru_after_forward", "gru_before_forward", "dense_forward"}
BACKWARD = {"simple_rnn_backward", "lstm_backward", "gru_after_backward", "gru_before_backward", "input_gradient"}


@pytest.fixture(scope="module")
def rows():
    """Return (case, dtype, kernel, said, seen) for every call of many programs, run as plain Python and watched."""
    import os

    root = Path(nbrnn.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("path_cases.py"))],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)},
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_said_is_what_every_kernel_does(rows):
    wrong = [row for row in rows if row[3] != row[4]]
    assert not wrong and len(rows) > 1000
    assert {kernel for _, _, kernel, said, _ in rows if said} == set(RULES)


@pytest.mark.parametrize(
    ("path", "kernels", "complex_"),
    [
        (FUSED, {"simple_rnn_forward", "dense_forward", "weight_gradient"}, False),
        (FUSED, {"simple_rnn_forward", "dense_forward", "weight_gradient"}, True),
        (TILES, FORWARD | {"weight_gradient"}, False),
        (PACKED, FORWARD | BACKWARD, False),
        (BLOCKED, {"weight_gradient"}, False),
        (LOOPS, BACKWARD, False),
        (LOOPS, FORWARD | BACKWARD | {"weight_gradient"}, True),
    ],
)
def test_a_path_is_taken_by_the_kernels_that_have_it_and_by_no_other(rows, path, kernels, complex_):
    took = {kernel for _, dtype, kernel, _, seen in rows if path in seen and (dtype == "complex128") == complex_}
    assert took == kernels


def test_a_kernel_without_products_has_no_path(rows):
    without = {kernel for _, _, kernel, _, seen in rows if not seen}
    assert {"gather", "scatter", "pack", "pack_transposed", "mse", "activation_backward", "begin"} <= without
    assert {"simple_rnn_backward", "gru_after_backward"} <= without  # one step: nothing goes further back
    assert set(RULES) <= set(KERNELS)


@pytest.mark.parametrize(
    ("dtype", "strip", "gradient"),
    [
        (types.float32, gemm.tiled_strip, gemm.tiled_gradient),
        (types.float64, gemm.tiled_strip, gemm.tiled_gradient),
        (types.complex128, gemm.looped_strip, None),
    ],
)
def test_a_strip_is_compiled_to_tiles_or_to_loops_by_its_dtype(dtype, strip, gradient):
    array = types.Array(dtype, 2, "C")
    assert gemm._strip(array, *[None] * 12) is strip
    others = len(inspect.signature(gemm._blocked_gradient).parameters) - 1
    blocked = gemm._blocked_gradient(array, *[None] * others)
    assert blocked is gradient or (gradient is None and blocked.__code__.co_names == ())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tile_that_is_named_is_the_kernels(dtype):
    lanes = VECTOR_BYTES // (4 if dtype == "float32" else 8)
    assert tile(dtype) == f"tile of {ROWS} rows x {VECTORS} vectors x {lanes} lanes"
    assert from_python(gemm.panel_width)(aligned((1, 1), dtype)) == VECTORS * lanes
    assert tile("complex128") == "no tile: complex numbers take plain loops"


# ---------------------------------------------------------------- where they are shown


@pytest.fixture(scope="module")
def model():
    layers = [LSTM(65, return_sequences=True), GRU(8, reset_after=False), SimpleRNN(3, return_sequences=True)]
    return random_model([layers[0], layers[2], layers[1], Dense(1, "tanh")], (4, 3), dtype="float32")


def test_the_printed_program_names_every_path_in_80_columns(model):
    model.compile("adam", "mse")
    program = model.program(batch_size=64)
    lines = str(program).splitlines()
    assert max(map(len, lines)) <= 80 and lines[1] == tile("float32")
    assert program.samples == 16 and lines[-1].startswith("a whole batch (4 shards) needs ")
    before, shard = lines.index("before each batch:"), lines.index("each shard:")
    calls = [*program.prepare.calls, *program.calls]
    shown = [line for line in lines if line[:2].strip().isdecimal()]
    for k, (call, line) in enumerate(zip(calls, shown, strict=True)):
        assert line.split()[:2] == [str(k), call.kernel]
        assert line[26:56].strip() == " + ".join(paths(call, program.dtype))
        assert (before < lines.index(line) < shard) == (call.kernel in ("pack", "pack_transposed", "take_columns"))
    assert {PACKED, TILES, FUSED, BLOCKED, f"{LOOPS} + {PACKED}", ""} <= {line[26:56].strip() for line in shown}
    assert "before all batches:" in str(model.program(64, mode="predict")).splitlines()


def test_the_summary_lists_each_layers_kernels_with_their_paths(model):
    model.compile("adam", "mse")
    plain, lines = [], []
    model.summary(print_fn=plain.append)
    model.summary(print_fn=lines.append, kernels=True, batch_size=64)
    assert lines[: len(plain)] == plain and max(map(len, lines)) <= 80
    assert lines[len(plain) + 1] == "Kernels of a training step, batch 64, 4 shards of 16, float32"
    program, shown, layer = model.program(64), {}, ""
    for line in lines[len(plain) + 3 : -1]:
        if line.startswith("   "):
            shown[layer].append(line)
        else:
            layer = line.strip()
            shown[layer] = []
    assert list(shown) == [layer.name for layer in model.layers]
    for layer, rows in shown.items():
        own = [c for c in [*program.prepare.calls, *program.calls] if c.layer == layer]
        assert {c.kernel for c in own} == {row.split()[0].rstrip(",") for row in rows}
        assert {" + ".join(paths(c, program.dtype)) for c in own} == {row[47:].strip() for row in rows}
        assert sum(int(row.split(" x ")[1].split(",")[0].split()[0]) if " x " in row else 1 for row in rows) == len(own)
    assert any(row.split() == ["pack", "x", "8,", "before", "each", "batch"] for row in shown["lstm"])
    assert lines[-1] == f"Memory of a whole batch: {model.memory(64).total:,} bytes"


def test_the_summary_of_a_model_that_is_not_compiled_lists_a_prediction():
    lines = []
    model = random_model([SimpleRNN(9, return_sequences=True), Dense(2)], (None, 3))
    model.summary(print_fn=lines.append, kernels=True, batch_size=5, steps=3)
    assert "Kernels of a prediction, batch 5, float64" in lines
    assert [line.split() for line in lines if "forward" in line] == [
        ["simple_rnn_forward", TILES],
        ["dense_forward", TILES],
    ]
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, not None"):
        model.summary(print_fn=lines.append, kernels=True)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, not 0"):
        model.summary(print_fn=lines.append, kernels=True, batch_size=0, steps=3)
    with pytest.raises(ValueError, match="kernels must be True or False, not 'yes'"):
        model.summary(print_fn=lines.append, kernels="yes")


# ---------------------------------------------------------------- nbrnn info


def info(text):
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())


def test_info_names_threads_layer_vectors_and_tiles_and_compiles_nothing(run_python, tmp_path):
    code = "from nbrnn.cli import main; main(['info'])"
    shown = info(run_python(code, NBRNN_CACHE_DIR=tmp_path, NUMBA_NUM_THREADS=2, NBRNN_NUM_THREADS=1))
    assert shown["threads"].startswith("1 of 2; ") and "NBRNN_NUM_THREADS" in shown["threads"]
    assert shown["threads"].endswith("nbrnn.set_num_threads")
    assert shown["vectors"] == f"{VECTOR_BYTES} bytes ({8 * VECTOR_BYTES} bits)"
    assert (shown["float32"], shown["float64"]) == (tile("float32"), tile("float64"))
    assert re.fullmatch("(omp|tbb|workqueue), when threads are first needed", shown["threading layer"])
    assert Path(shown["cache folder"]).parent == tmp_path and not list(tmp_path.rglob("*.nb*"))


@pytest.mark.skipif(not cpu.JIT, reason="without the JIT no threads are started")
def test_the_threading_layer_that_is_named_is_the_one_that_runs(run_python):
    code = """
import numpy as np, nbrnn
from nbrnn.targets import cpu
print(cpu.threading_layer())
model = nbrnn.Sequential([nbrnn.LSTM(65), nbrnn.Dense(1)], input_shape=(6, 3), seed=1)
model.compile("adam", "mse")
model.fit(np.zeros((64, 6, 3)), np.zeros(64), batch_size=64, verbose=0)
print(cpu.threading_layer())
"""
    for chosen in ({}, {"NUMBA_THREADING_LAYER": "workqueue"}):
        before, after = run_python(code, NUMBA_NUM_THREADS=2, NBRNN_NUM_THREADS=2, **chosen).splitlines()
        assert before.split(", ")[0] == after.split(", ")[0] and after.endswith(", in use")
        assert not chosen or after == "workqueue, in use"


def test_info_says_what_is_wrong_with_the_number_of_threads(environment):
    line = [sys.executable, "-m", "nbrnn.cli", "info"]
    variables = environment(NBRNN_NUM_THREADS="9", NUMBA_NUM_THREADS="2")
    done = subprocess.run(line, env=variables, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: NBRNN_NUM_THREADS must be from 1 to 2, a whole number; ")
