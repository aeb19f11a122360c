"""Without the JIT the same table runs in plain Python: the same weights, and kernels that a debugger can enter."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import assert_close, random_data, random_model

import nbrnn
from nbrnn import Dense, Flatten, SimpleRNN
from nbrnn.targets import cpu

TRAIN = """
import json, sys, numpy as np, nbrnn
from nbrnn.targets import cpu
assert not cpu.JIT
def trained(layers, dtype, weights, x, y):
    model = nbrnn.Sequential([getattr(nbrnn, k)(**c) for k, c in layers], input_shape=(3, 2), seed=7, dtype=dtype)
    model.set_weights([np.array(w) for w in weights])
    model.compile(nbrnn.Adam(0.01, global_clipnorm=0.5), "huber", ["mae"])
    history = model.fit(np.array(x), np.array(y), batch_size=40, epochs=3, verbose=0).history
    return [w.tolist() for w in model.get_weights()], history, model.predict(np.array(x)).tolist()
print(json.dumps([trained(**case) for case in json.loads(sys.argv[1])]))
"""


@pytest.mark.skipif(not cpu.JIT, reason="compares with the compiled kernels")
def test_plain_python_gives_the_compiled_weights(run_python):
    stacks = [
        [SimpleRNN(4, "tanh", return_sequences=True), SimpleRNN(10, "sigmoid"), Dense(2, "softsign")],
        [SimpleRNN(9, "relu", return_sequences=True), Flatten(), Dense(2, "elu")],
    ]
    cases, models = [], []
    for dtype in ("float32", "float64"):
        for k, layers in enumerate(stacks):
            fresh = [type(layer)(**layer.config()) for layer in layers]
            model = random_model(fresh, (3, 2), seed=7, dtype=dtype)
            x, y = random_data(model, 45, k)
            described = [(type(layer).__name__, layer.config()) for layer in layers]
            weights = [w.tolist() for w in model.get_weights()]
            cases.append(dict(layers=described, dtype=dtype, weights=weights, x=x.tolist(), y=y.tolist()))
            model.compile(nbrnn.Adam(0.01, global_clipnorm=0.5), "huber", ["mae"])
            models.append((model, model.fit(x, y, batch_size=40, epochs=3, verbose=0).history, x))
    plain = json.loads(run_python(TRAIN, json.dumps(cases), NUMBA_DISABLE_JIT=1))
    for (model, history, x), (weights, plain_history, outputs) in zip(models, plain, strict=True):
        tolerance = 1e-4 if model.dtype == "float32" else 1e-12
        for compiled, interpreted in zip(model.get_weights(), weights, strict=True):
            assert_close(interpreted, compiled, tolerance)
        assert_close(outputs, model.predict(x), tolerance)
        for name, numbers in history.items():
            np.testing.assert_allclose(plain_history[name], numbers, rtol=tolerance)


TRACED = """
import sys, numpy as np, nbrnn
seen = {}
def trace(frame, event, argument):
    if "kernels" in frame.f_code.co_filename:
        seen.setdefault(frame.f_code.co_name, set()).add(frame.f_lineno)
        if frame.f_code.co_name == "simple_rnn_backward" and "t" in frame.f_locals:
            seen.setdefault("t", set()).add(frame.f_locals["t"])
    return trace
model = nbrnn.Sequential([nbrnn.SimpleRNN(2), nbrnn.Dense(1)], input_shape=(3, 1), seed=0)
model.compile("adam", "mse")
sys.settrace(trace)
model.fit(np.ones((4, 3, 1)), np.ones(4), verbose=0)
sys.settrace(None)
print(sorted(seen["t"]), {name: len(lines) for name, lines in sorted(seen.items())})
"""


def test_a_trace_function_sees_every_line_of_the_kernels(run_python):
    steps, lines = run_python(TRACED, NUMBA_DISABLE_JIT=1).split("] ")
    assert steps == "[0, 1, 2"
    for kernel in ("gather", "simple_rnn_forward", "dense_forward", "mse", "simple_rnn_backward", "adam", "permute"):
        assert f"'{kernel}': " in lines


LEARN = """
import numpy as np, nbrnn
model = nbrnn.Sequential([nbrnn.SimpleRNN(2)], input_shape=(3, 1), seed=0)
model.predict(np.ones((4, 3, 1)))
"""


def test_a_breakpoint_in_a_kernel_is_reached(environment, tmp_path):
    script = tmp_path / "learn.py"
    script.write_text(LEARN)
    kernel = Path(nbrnn.__file__).parent / "kernels" / "simple_rnn.py"
    forward = next(n for n in ast.walk(ast.parse(kernel.read_text())) if getattr(n, "name", "") == "simple_rnn_forward")
    loop = next(n for n in ast.walk(forward) if isinstance(n, ast.For))  # over the steps
    show = f"p 'step', {loop.target.id}, x.shape"
    commands = [f"b {kernel}:{loop.body[0].lineno}", "c", show, "c", show, "q"]
    arguments = [part for command in commands for part in ("-c", command)]
    done = subprocess.run(
        [sys.executable, "-m", "pdb", *arguments, str(script)],
        env=environment(NUMBA_DISABLE_JIT=1),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "('step', 0, (3, 4, 1))" in done.stdout and "('step', 1, (3, 4, 1))" in done.stdout, done.stdout
