"""Whole fits against peers: each contestant in a process of its own, rounds interleaved, medians and best.

    python bench/fits.py --against jax,keras --peer-python PATH --out bench/results/fits.json

The first call of each contestant compiles and is reported apart. Keras runs a part of the epochs where a whole fit
takes many seconds, and its time is multiplied; the table says so. Pinned to one core unless --cores 2.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from cases import FITS

HERE = Path(__file__).parent
PARTS = {"keras": 10}  # Keras runs epochs / 10


class Contestant:
    """A process that runs one fit whenever it is asked."""

    def __init__(self, name: str, case: str, python: str, cores: int) -> None:
        self.name = name
        epochs = max(1, FITS[case].epochs // PARTS.get(name, 1))
        self.part = FITS[case].epochs / epochs
        environment = dict(os.environ, PYTHONPATH=str(HERE.parent))
        if cores == 1:
            environment |= {"OMP_NUM_THREADS": "1", "NBRNN_NUM_THREADS": "1", "XLA_FLAGS": ONE_THREAD}
        command = [python, str(HERE / "contestants.py"), name, case, str(epochs)]
        if cores == 1 and shutil.which("taskset"):
            command = ["taskset", "-c", "0", *command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if name == "keras" else None,
            text=True,
            env=environment,
        )
        self.first = self._answer()
        self.seconds: list[float] = []

    def _answer(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} stopped; is it installed for its interpreter?")
        return float(json.loads(line)) * self.part

    def run(self) -> None:
        """Run the fit once and keep its time."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.seconds.append(self._answer())


ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def main() -> None:
    """Run the contest and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="jax", help="comma-separated: jax, keras")
    parser.add_argument("--cases", default=",".join(FITS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter that has the peers installed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = ["nbrnn", *options.against.split(",")]
    results = []
    for case in options.cases.split(","):
        players = {}
        for name in names:
            python = sys.executable if name == "nbrnn" else options.peer_python
            players[name] = Contestant(name, case, python, options.cores)
        for player in players.values():
            player.run()  # warm
            player.seconds.clear()
        for _ in range(options.rounds):
            for player in players.values():
                player.run()
        ours = statistics.median(players["nbrnn"].seconds)
        print(f"{case}: {FITS[case].source}, {options.rounds} interleaved rounds, {options.cores} core(s)")
        for name, player in players.items():
            median, best = statistics.median(player.seconds), min(player.seconds)
            note = f"  ({player.part:g} x a part of the epochs)" if player.part != 1 else ""
            print(
                f"  {name:<8}first {player.first:8.2f} s   median {median * 1e3:10.2f} ms   best {best * 1e3:10.2f} ms"
                f"   ratio {median / ours:8.1f}{note}"
            )
            results.append(
                {
                    "case": dataclasses.asdict(FITS[case]),
                    "contestant": name,
                    "first_s": player.first,
                    "median_s": median,
                    "best_s": best,
                    "ratio_of_medians": median / ours,
                    "cores": options.cores,
                    "rounds": options.rounds,
                }
            )
            player.process.kill()
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        machine = platform.processor() or platform.machine()
        options.out.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
