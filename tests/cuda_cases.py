"""Models that run on both targets, and every number of their runs. As a script: run all of them in the simulator.

NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python tests/cuda_cases.py FILE.npz
"""

import sys
from dataclasses import replace

import numpy as np
from support import random_data, random_model

import nbrnn
from nbrnn import Dense, SimpleRNN
from nbrnn.arrays import flat_view
from nbrnn.lowering import PREDICT, TRAIN, Feed, make_plan
from nbrnn.program import Options, aligned
from nbrnn.training import Fit, run_once

SAMPLES, BATCH = 9, 7  # two batches, the last of 2 samples
CUDA = Options(device="cuda")  # a batch is one shard; the CPU runs such plans, too
SHAPE = (3, 2)
STACKS = {
    f"{activation}, {'every step' if every else 'last step'}": (
        lambda activation=activation, every=every: [
            SimpleRNN(9, activation, return_sequences=every),  # 81 recurrent weights: its transpose is copied
            Dense(2, "linear" if activation == "tanh" else activation),
        ]
    )
    for activation, every in (("tanh", False), ("relu", True))
} | {
    "two layers": lambda: [
        SimpleRNN(9, "tanh", return_sequences=True),
        SimpleRNN(5, "sigmoid", use_bias=False),
        Dense(17, "relu"),
        Dense(1, use_bias=False),
    ],
    "two layers, every step": lambda: [
        SimpleRNN(9, "relu", return_sequences=True),
        SimpleRNN(9, "tanh", return_sequences=True),
        Dense(1),
    ],
}
CASES = [(stack, dtype) for stack in STACKS for dtype in ("float32", "float64")]


def ready(layers, dtype="float32", optimizer=None, metrics=("mae",), samples=SAMPLES):
    """Return a model with random weights, its data, and the blocks of a plan that trains it."""
    model = random_model(layers, SHAPE, seed=5, dtype=dtype, scale=0.4)
    model.compile(optimizer or nbrnn.SGD(0.02, momentum=0.5, nesterov=True), "mse", metrics)
    model._start_optimizer()
    x, y = random_data(model, samples, 3)
    arrays = {"params": model.params, "order": np.arange(samples), "x": flat_view(x), "y": flat_view(y), **model._slots}
    arrays["hyper"][: len(model.optimizer.hyper())] = model.optimizer.hyper()
    return model, x, y, arrays


def outputs(executor_class, model, x, arrays):
    """Return the predictions, from an executor of their own."""
    plan = make_plan(model, PREDICT, Feed.of(x), None, BATCH, CUDA)
    output = aligned(plan.sizes["output"], model.dtype)
    run_once(executor_class(plan, arrays | {"output": output}))
    return output


def numbers(executor_class, stack, dtype):
    """Return by name what all buffers hold after a batch, and the losses, weights and predictions of a small fit."""
    model, x, y, arrays = ready(STACKS[stack](), dtype)
    plan = make_plan(model, TRAIN, Feed.of(x), Feed.of(y), BATCH, CUDA)
    still = executor_class(replace(plan, update=None), arrays)  # the optimizer writes over the gradients
    still.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)
    left = {}
    for s in range(plan.shards):
        for name, buffer in plan.programs[min(plan.shard, BATCH - s * plan.shard)].layout.buffers.items():
            if buffer.block in ("work", "grads", "stats"):
                left.setdefault(name, []).append(still.view(buffer, s).reshape(-1))
    found = {f"{name} of all shards": np.concatenate(parts) for name, parts in left.items()}
    history = Fit(model, executor_class(plan, arrays), 2, shuffle=True).run().history
    found |= {f"{name} of the fit": np.array(values) for name, values in history.items()}
    found |= {f"{name} after the fit": arrays[name] for name in ("params", "slots")}
    found["predictions"] = outputs(executor_class, model, x, arrays)
    return found


if __name__ == "__main__":
    import cuda_strict  # noqa: F401

    from nbrnn.targets.cuda import Executor

    every = {case: numbers(Executor, *case) for case in CASES}
    np.savez(sys.argv[1], **{f"{s}|{d}|{name}": a for (s, d), found in every.items() for name, a in found.items()})
