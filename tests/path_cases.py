"""Runs programs as plain Python and watches which way their products take; prints what was said and what was seen.

A script for a process of its own with NUMBA_DISABLE_JIT=1: there a kernel calls its helpers by name, so they can be
watched. Whether a strip is filled by tiles or by plain loops is decided by its dtype when it is compiled.
"""

import json

import numpy as np

from nbrnn import GRU, LSTM, Dense, Sequential, SimpleRNN
from nbrnn.cases import Case, plain_copy
from nbrnn.kernels import gemm, gru, lstm, simple_rnn
from nbrnn.lowering import PREDICT, TRAIN
from nbrnn.paths import BLOCKED, FUSED, LOOPS, PACKED, TILES, paths
from nbrnn.states import state_block

CASES = {  # layers, and (steps, features)
    "few units": ([SimpleRNN(7, return_sequences=True), SimpleRNN(3), Dense(7, "tanh"), Dense(1)], (3, 2)),
    "few units of another kind": ([SimpleRNN(7, "relu"), Dense(7, "tanh", use_bias=False), Dense(2)], (3, 2)),
    "eight units": ([SimpleRNN(8, return_sequences=True), SimpleRNN(9), Dense(8, "tanh"), Dense(1)], (3, 2)),
    "small gates": ([LSTM(2, return_sequences=True), GRU(2, return_sequences=True), GRU(9), Dense(3)], (3, 2)),
    "one step": ([SimpleRNN(9), Dense(1)], (1, 2)),
    "one step of gates": ([LSTM(9, return_sequences=True), GRU(9), Dense(1)], (1, 2)),
    "one step, reset before": ([GRU(9, reset_after=False), Dense(1)], (1, 2)),
    "reset before, a small candidate": ([GRU(8, reset_after=False), Dense(1)], (3, 2)),
    "large units": ([SimpleRNN(64), Dense(66, "relu"), Dense(1)], (2, 66)),
    "large LSTM": ([LSTM(33), Dense(1)], (2, 3)),
    "large GRU": ([GRU(38), Dense(1)], (2, 3)),
    "large GRU, reset before": ([GRU(38, reset_after=False), Dense(1)], (2, 3)),
}


def executors(layers, shape):
    """Yield the programs of a model in all modes, dtypes and options that change a path."""
    rng = np.random.default_rng(0)
    model = Sequential(layers, input_shape=shape, seed=0, dtype="float32")
    model.compile("sgd", "mse")
    for dtype in ("float32", "float64", "complex128"):
        twin = plain_copy(model, dtype)
        x, y = (rng.normal(size=(20, *s)).astype(dtype) for s in (shape, model.output_shape))
        states = state_block(twin._units(), len(x), twin.dtype)
        for given in (None, states):
            case = Case(x, y, given)
            yield case.executor(twin, TRAIN, input_gradient=given is not None)
        yield Case(x, y).executor(twin, TRAIN, tape=dtype != "complex128")
        yield Case(x).executor(twin, PREDICT)


def watched(executor):
    """Run a program and yield each call with its program and the ways that its products took, in their order."""
    events, packed = [], executor.arrays.get("packed", np.zeros(0))
    complex_ = executor.arrays["params"].dtype.kind == "c"

    def strip(C, first, count, A, turned, a_at, B, *rest):
        events.append(LOOPS if complex_ else PACKED if np.may_share_memory(B, packed) else TILES)
        return STRIP(C, first, count, A, turned, a_at, B, *rest)

    def few_neurons(*arguments):
        events.append(FUSED)
        return FEW(*arguments)

    def few_gradients(*arguments):
        events.append(FUSED)
        return GRADIENTS(*arguments)

    def blocked_gradient(*arguments):
        events.append(BLOCKED)
        return BLOCKS(*arguments)

    def back_product(*arguments):
        before = len(events)
        BACK(*arguments)
        if len(events) == before:  # no strip: its own loops
            events.append(LOOPS)

    gemm.strip, gemm.few_neurons, gemm.blocked_gradient = strip, few_neurons, blocked_gradient
    gemm.few_gradients = few_gradients
    for module in (gemm, gru, lstm, simple_rnn):
        module.back_product = back_product
    calls = [(p, call) for p in executor.plan.programs.values() for call in p.calls]
    calls += [(executor.plan.prepare, call) for call in getattr(executor.plan.prepare, "calls", [])]
    seen = [[] for _ in calls]

    def watching(k, function):
        def run(*arguments):
            events.clear()
            function(*arguments)
            seen[k] += events

        return run

    assert len(executor.functions) == len(calls)
    executor.functions = [watching(k, function) for k, function in enumerate(executor.functions)]
    executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
    for (program, call), found in zip(calls, seen, strict=True):
        yield program, call, list(dict.fromkeys(found))


STRIP, FEW, BLOCKS, BACK = gemm.strip, gemm.few_neurons, gemm.blocked_gradient, gemm.back_product
GRADIENTS = gemm.few_gradients


def main():
    for name, (layers, shape) in CASES.items():
        for executor in executors(layers, shape):
            for program, call, found in watched(executor):
                print(json.dumps([name, program.dtype.name, call.kernel, paths(call, program.dtype), found]))


if __name__ == "__main__":
    main()
