"""nbrnn as a contestant: through what a user calls, `fit`, `predict` and `stream`; gradients alone by the executor."""

import os
from importlib.metadata import version
from typing import Any

import numpy as np
import peak
from cases import Case, Fit
from inputs import Form, Forms

import nbrnn
from nbrnn.cases import Case as Bound
from nbrnn.plan import Plan
from nbrnn.program import Call, Program
from nbrnn.targets import cpu
from nbrnn.usermodule import cells_of

LAYERS: dict[str, Any] = {"simple_rnn": nbrnn.SimpleRNN, "lstm": nbrnn.LSTM, "gru": nbrnn.GRU}
MODULE = "NBRNN_BENCH_MODULE"  # the file of --module
ROWS = 256  # of a call of the compiled loop


def start(threads: int) -> dict[str, str]:
    """Return the versions that matter; the number of threads comes from the environment."""
    if not cpu.JIT:
        raise RuntimeError("the kernels would run as plain Python; unset NUMBA_DISABLE_JIT")
    if os.environ.get(MODULE):
        LAYERS.update(cells_of(os.environ[MODULE]))
    return {"nbrnn": nbrnn.__version__, "numba": version("numba"), "numpy": np.__version__}


peaks = peak.peaks


def moved(program: Program, call: Call) -> int:
    """Return the bytes of the arrays that a call reads and writes; of the user's arrays, the shard's part alone."""
    reads, writes = list(call.buffers(False)), list(call.buffers(True))
    reads, writes = (writes, writes) if call.kernel == "gather" else (reads, writes)
    reads, writes = (reads[:1], reads[:1]) if call.kernel == "scatter" else (reads, writes)
    return sum(program.bytes_of(buffer) for buffer in (*reads, *writes))


def batch_work(plan: Plan, size: int) -> tuple[int, int]:
    """Return the FLOPs and bytes of a batch of a size, by the kernels' own counts."""
    programs = [plan.programs[min(plan.shard, size - start)] for start in range(0, size, plan.shard)]
    programs += [p for p in (plan.update, plan.prepare) if p is not None]
    calls = [(program, call) for program in programs for call in program.calls]
    return sum(call.flops for _, call in calls), sum(moved(program, call) for program, call in calls)


def epoch_work(plan: Plan) -> tuple[int, int]:
    """Return the FLOPs and bytes of all samples."""
    starts = range(0, plan.samples, plan.batch)
    pairs = [batch_work(plan, min(plan.batch, plan.samples - start)) for start in starts]
    return sum(flops for flops, _ in pairs), sum(size for _, size in pairs)


def last_executor(model: Any) -> cpu.Executor:
    """Return what a model ran last."""
    return next(reversed(model._executors.values()))


def layer_executor(case: Case, a: dict[str, np.ndarray]) -> cpu.Executor:
    """Return the ordinary training program of a layer, without an optimizer."""
    model = layer_model(case, a)
    model.compile(loss="mse")
    model.optimizer = None
    return Bound(a["x"], a["y"]).executor(model, "train", input_gradient=False)


def layer_model(case: Case, a: dict[str, np.ndarray]) -> Any:
    """Return a model of one layer that returns every state."""
    layer = LAYERS[case.name](case.size, return_sequences=True)
    model = nbrnn.Sequential([layer], input_shape=a["x"].shape[1:], seed=0, dtype=case.dtype)
    if "Wx" in a:
        model.set_weights([a["Wx"], a["Wh"], a["b"]])
    return model


def layer(case: Case, a: dict[str, np.ndarray]) -> Forms:
    def forward() -> Form:
        model = layer_model(case, a)
        return Form(lambda: model.predict(a["x"]), 1, lambda: epoch_work(last_executor(model).plan))

    def train() -> Form:
        executor = layer_executor(case, a)
        run = lambda: executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)  # noqa: E731
        return Form(run, 1, lambda: epoch_work(executor.plan))

    return {"predict": forward} if case.mode == "forward" else {"a batch's program": train}


def fit_model(fit: Fit) -> Any:
    """Return the compiled model of a fit."""
    layers = [LAYERS[fit.cell](fit.units, activation=fit.activation)]
    layers += [nbrnn.Dense(units, activation=activation) for units, activation in fit.dense]
    model = nbrnn.Sequential(layers, input_shape=(fit.steps, fit.features), seed=0)
    model.compile(optimizer=fit.optimizer, loss="mse")
    return model


def fit(fit: Fit, x: np.ndarray, y: np.ndarray) -> Forms:
    def make() -> Form:
        model = fit_model(fit)

        def count() -> tuple[int, int]:
            flops, size = epoch_work(last_executor(model).plan)
            return flops * fit.epochs, size * fit.epochs

        return Form(lambda: model.fit(x, y, batch_size=fit.batch, epochs=fit.epochs, verbose=0), 1, count)

    return {"fit": make}


def stream(case: Case, a: dict[str, np.ndarray]) -> Forms:
    def make() -> Form:
        F = case.sizes.F
        model = nbrnn.Sequential([nbrnn.LSTM(case.size)], input_shape=(None, F), seed=0)
        model.set_weights([a["Wx"], a["Wh"], a["b"]])
        session, x = model.stream(batch_size=1), a["x"][0, 0]
        rows = np.random.default_rng(1).standard_normal((ROWS, F)).astype(case.dtype)
        program = model.program(batch_size=1, mode="predict", steps=1)

        def count() -> tuple[int, int]:
            return sum(c.flops for c in program.calls), sum(moved(program, c) for c in program.calls)

        if case.mode == "step":
            return Form(lambda: session.step(x), 1, count)
        return Form(lambda: session.run(rows), ROWS, count)

    return {f"stream.{'step' if case.mode == 'step' else 'run'}": make}
