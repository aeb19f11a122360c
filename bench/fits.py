"""Whole fits against peers: each contestant in a process of its own, rounds interleaved, medians and best.

    python bench/fits.py --against jax,keras --peer-python PATH --out bench/results/fits.json

The first call of each contestant compiles and is reported apart. Keras runs a part of the epochs where a whole fit
takes many seconds, and its time is multiplied; the table says so. Pinned to one core unless --cores 2.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import sys
from pathlib import Path

from cases import FITS
from contest import Contestant

PARTS = {"keras": 10}  # Keras runs epochs / 10


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
            epochs = max(1, FITS[case].epochs // PARTS.get(name, 1))
            part = FITS[case].epochs / epochs
            players[name] = Contestant(name, ["fit", case, str(epochs)], python, options.cores, part)
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
