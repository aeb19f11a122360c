"""The time of each kernel call of a table, alone and warm: where does a step's time go?

python bench/calls.py mlm
python bench/calls.py lstm 256 train
"""

import argparse
import statistics
import time

import peak
from cases import CELLS, DTYPES, FITS, LAYERS, MODES, Case
from inputs import fit_arrays, layer_arrays
from report import seconds_text, three
from with_nbrnn import fit_model, last_executor, layer_executor, layer_model

from nbrnn.program import Program
from nbrnn.targets import cpu

ROUNDS, LONG = 9, 0.02  # seconds


def executor_of(name: str, size: int, mode: str, dtype: str) -> cpu.Executor:
    """Return a fit's table, or a layer's, bound to random numbers."""
    if name in FITS:
        model = fit_model(FITS[name])
        model.fit(*fit_arrays(FITS[name]), batch_size=FITS[name].batch, epochs=1, verbose=0)
        return last_executor(model)
    case = Case("layer", name, size, mode, dtype)
    arrays = layer_arrays(case)
    if mode == "train":
        return layer_executor(case, arrays)
    model = layer_model(case, arrays)
    model.predict(arrays["x"])
    return last_executor(model)


def source(program: Program, k: int) -> int:
    """Return the call that fills what call k writes over, or k: alone, it would run away or fade away."""
    call = program.calls[k]
    kept = set(call.buffers(False)) & set(call.buffers(True))
    places = {(b.block, b.offset) for b in kept}
    for j in range(k - 1, -1, -1):
        if places & {(b.block, b.offset) for b in program.calls[j].buffers(True)}:
            return j
    return k


def main() -> None:
    """Time the whole table, the empty table, and each call of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=[*FITS, *CELLS], help="a fit, or a layer's cell")
    parser.add_argument("size", nargs="?", type=int, choices=LAYERS, default=256, help="hidden size of a layer")
    parser.add_argument("mode", nargs="?", choices=MODES, default="train")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = parser.parse_args()
    cpu.set_num_threads(1)
    executor = executor_of(options.name, options.size, options.mode, options.dtype)
    plan, whole = executor.plan, executor.spans.copy()
    top, step = peak.tile_peak(options.dtype), {"shuffle": False, "seed": 0, "epoch": 0, "step": 0}

    def timed() -> float:
        """Return the seconds of a batch."""
        batches, times = 1, []
        while len(times) < ROUNDS:
            start = time.perf_counter()
            done, _ = executor.run(0, batches, **step)
            taken = time.perf_counter() - start
            if done < batches:
                raise SystemExit("the numbers are not finite any more; the optimizer refused its step.")
            if taken < LONG:
                batches *= 2
                times.clear()
            else:
                times.append(taken / batches)
        return statistics.median(times)

    def line(label: str, seconds: float, flops: int = 0) -> None:
        if seconds <= 0:  # a difference of two times that the machine's noise has swallowed
            print(f"{label:<26}{'-':>9}")
            return
        rate = flops / seconds / 1e9
        print(f"{label:<26}{seconds_text(seconds):>9}" + (f"{three(rate):>9}{rate / top:>7.0%}" if flops else ""))

    # The optimizer's step stands in the span of 0 samples and runs once a batch.
    parts = [(plan.shard, plan.shards, plan.programs[plan.shard])] + ([(0, 1, plan.update)] if plan.update else [])
    total = timed()
    executor.spans[:] = 0
    empty = timed()
    print(f"{plan.shards} shard(s) of {plan.shard} samples a batch, 1 thread; peak {three(top)} GFLOP/s")
    print(f"{'call, in all shards':<26}{'time':>9}{'GFLOP/s':>9}{'share':>7}")
    flops = 0
    for samples, times, program in parts:
        first = whole[samples, 0]
        for k, call in enumerate(program.calls):
            executor.spans[:] = whole
            executor.run(0, 1, **step)
            executor.spans[:] = 0
            start = source(program, k)
            executor.spans[samples] = first + start, first + k
            before = empty if start == k else timed()
            executor.spans[samples] = first + start, first + k + 1
            line(call.kernel, timed() - before, times * call.flops)
            flops += times * call.flops
    line("runner and gaps", empty)
    line("whole batch", total, flops)


if __name__ == "__main__":
    main()
