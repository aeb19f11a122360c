"""A contestant in a process of its own: orders come as lines of JSON, each is answered by a line of JSON.

python bench/contestant.py NAME THREADS
"""

import gc
import importlib
import json
import math
import os
import sys
import time
from dataclasses import replace
from typing import Any

from cases import FITS, Case

TRIALS, ENOUGH = 3, 2.0  # times of a form, and the seconds after which no more are taken


class Contestant:
    """The orders that it understands."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.module: Any = importlib.import_module(f"with_{name}")
        self.form: Any = None
        self.calls, self.part = 1, 1.0

    def start(self) -> dict[str, str]:
        """Set the threads and return versions."""
        versions = self.module.start(self.threads)
        gc.freeze()  # a library's thousands of objects stay: later collections need not look at them
        return versions

    def peaks(self, dtype: str, memory: bool) -> dict[str, float]:
        """Return what the machine can do."""
        return self.module.peaks(dtype, self.threads, memory)

    def prepare(self, case: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Make a case's work in every form, keep the fastest, and find how many calls last `seconds`."""
        self.form = None
        gc.collect()
        forms, best, first, chosen = self.forms(Case(**case)), math.inf, 0.0, ""
        tried: dict[str, float] = {}
        for name, make in forms.items():
            started = time.perf_counter()
            form = make()
            form.run()
            took = time.perf_counter() - started
            each = self.judged(form, seconds / 5) if len(forms) > 1 else 0.0
            tried[name] = each / form.units * self.part
            if each < best:
                self.form, best, first, chosen = form, each, took, name
        self.calls = self.calibrated(self.form, seconds)
        answer = {"first_s": first, "form": chosen, "calls": self.calls * self.form.units, "part": self.part}
        if len(forms) > 1:
            answer["tried_s"] = tried
        if self.form.count is not None:
            answer["flops"], answer["bytes"] = self.form.count()
        return answer

    def forms(self, case: Case) -> Any:
        """Return the library's forms of a case, with the arrays that all contestants get."""
        import inputs

        self.part = 1.0
        if case.group == "fit":
            whole = FITS[case.name]
            fit = replace(whole, epochs=max(1, whole.epochs // case.part(self.name)))
            self.part = whole.epochs / fit.epochs
            return self.module.fit(fit, *inputs.fit_arrays(fit))
        return getattr(self.module, case.group)(case, inputs.layer_arrays(case))

    def elapsed(self, form: Any, calls: int) -> float:
        """Return the seconds of one call, the mean of several."""
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in range(calls):
                form.run()
            return (time.perf_counter() - start) / calls
        finally:
            gc.enable()

    def judged(self, form: Any, seconds: float) -> float:
        """Return the best of three times of a call, or of fewer where they take long."""
        calls, times = self.calibrated(form, seconds), [math.inf]
        while len(times) <= TRIALS and sum(times[1:]) * calls < ENOUGH:
            times.append(self.elapsed(form, calls))
        return min(times)

    def calibrated(self, form: Any, seconds: float) -> int:
        """Return how many calls last `seconds` or longer."""
        calls = 1
        while True:
            each = self.elapsed(form, calls)
            if each * calls >= seconds:
                return calls
            calls = min(10 * calls, max(calls + 1, math.ceil(1.1 * seconds / each)))

    def run(self) -> float:
        """Do the work as often as it lasts long enough, and return the seconds of one."""
        return self.elapsed(self.form, self.calls) / self.form.units * self.part


def pin(threads: int) -> None:
    """Keep a contestant of one thread, and whatever its libraries start, on one core."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    """Answer orders until there are no more."""
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    pin(threads)  # before libraries are imported: they count cores
    contestant = Contestant(name, threads)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"value": getattr(contestant, order.pop("do"))(**order)}
        except Exception as error:  # told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
