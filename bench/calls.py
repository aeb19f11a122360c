"""Nanoseconds of each kernel call of a fit's table, alone and warm: where does a step's time go?

python bench/calls.py mlm
"""

import argparse
import statistics
import time

import numpy as np
from cases import FITS
from contestants import data, prepare_nbrnn


def main() -> None:
    """Time the whole table, the empty table, and each call of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=FITS)
    case = FITS[parser.parse_args().case]
    prepare_nbrnn(case, *data(case))()
    executor = CAUGHT[-1]
    plan, spans = executor.plan, executor.spans.copy()
    batches = 2000

    def nanoseconds() -> float:
        times = []
        for _ in range(15):
            start = time.perf_counter()
            executor.run(0, batches, shuffle=True, seed=0, epoch=0, step=0)
            times.append((time.perf_counter() - start) / batches * 1e9)
        return statistics.median(times)

    total = nanoseconds()
    executor.spans[:] = 0
    empty = nanoseconds()
    print(f"{'whole step':<24}{total:8.1f} ns\n{'runner and gaps':<24}{empty:8.1f}")
    calls = [c for p in (*plan.programs.values(), plan.update) for c in p.calls]
    for k, call in enumerate(calls):
        executor.spans[:] = 0
        executor.spans[plan.shard] = k, k + 1
        print(f"{call.kernel:<24}{nanoseconds() - empty:8.1f}")
    executor.spans[:] = spans


CAUGHT: list = []


def _catch() -> None:
    """Keep the executors that a fit makes."""
    from nbrnn.targets import cpu

    make = cpu.Executor.__init__

    def keep(self, plan, arrays):
        make(self, plan, arrays)
        CAUGHT.append(self)

    cpu.Executor.__init__ = keep


if __name__ == "__main__":
    np.seterr(all="ignore")
    _catch()
    main()
