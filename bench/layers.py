"""One recurrent layer against peers: forward, and forward with backward, over the sizes of cases.py.

    python bench/layers.py --cells lstm --modes train --against torch,jax --peer-python PATH

Each contestant runs in a process of its own, pinned to one core, rounds interleaved after a warm one. `train` is the
layer with every state returned, a mean squared error and all weight gradients; nobody computes the input's gradient.
`forward` is the layer alone; weights may be packed beforehand.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from cases import LAYERS, MODES
from contest import Contestant

CELLS = ("simple_rnn", "lstm", "gru")


def main() -> None:
    """Run the contest and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--sizes", default=",".join(map(str, LAYERS)), help="hidden sizes, comma-separated")
    parser.add_argument("--against", default="torch,jax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter that has the peers installed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = ["nbrnn", *[n for n in options.against.split(",") if n]]
    results = []
    print(f"{'cell':<11}{'H':>5}{'mode':>9}  " + "".join(f"{name:>13}" for name in names) + f"{'best peer':>12}")
    for cell in options.cells.split(","):
        for size in map(int, options.sizes.split(",")):
            for mode in options.modes.split(","):
                row = contest(names, cell, size, mode, options)
                results.append(row)
                ours = row["seconds"]["nbrnn"]
                best = min((s for n, s in row["seconds"].items() if n != "nbrnn"), default=ours)
                times = "".join(f"{s * 1e3:>10.3f} ms" for s in row["seconds"].values())
                print(f"{cell:<11}{size:>5}{mode:>9}  {times}{best / ours:>11.2f}x", flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def contest(names: list[str], cell: str, size: int, mode: str, options: argparse.Namespace) -> dict:
    """Return the medians of one case."""
    wanted = [n for n in names if not (n == "onnxruntime" and mode == "train")]
    python = {name: sys.executable if name == "nbrnn" else options.peer_python for name in wanted}
    work = ["layer", cell, str(size), mode]
    players = {name: Contestant(name, work, python[name], options.cores) for name in wanted}
    for _ in range(options.rounds):
        for player in players.values():
            player.run()
    for player in players.values():
        player.process.kill()
    case = LAYERS[size]._asdict() | {"cell": cell, "mode": mode, "cores": options.cores, "rounds": options.rounds}
    return case | {
        "seconds": {name: statistics.median(p.seconds) for name, p in players.items()},
        "first": {name: p.first for name, p in players.items()},
    }


if __name__ == "__main__":
    main()
