"""What the kernels of the chosen designs use of a GPU, at many sizes, compiled without one: a line each, spills marked.

python tests/cuda_scan.py [--chips A100 H200] [--precisions float32] [--near 24] [--part 8]

All of them take hours. `--near 24` takes persistent ones that leave less than 24 registers, `--part 8` every eighth.
"""

import argparse
from itertools import product
from tempfile import TemporaryDirectory

from cuda_compiling import compiled
from cuda_persistent_compiled import EVERYTHING, TRAINING, assembled
from test_cuda_groups import signature_of

from nbrnn.kernels.activations import SIGMOID, TANH
from nbrnn.targets.cuda import grouppasses, persistent
from nbrnn.targets.cuda.designs import PRECISIONS, Site, choose
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_layout import KERNELS
from nbrnn.targets.cuda.splits import split_of

UNITS = (1, 8, 17, 32, 48, 64, 96, 100, 128, 160, 192, 224, 256, 384, 512, 640, 768, 1024)
SAMPLES = (1, 16, 64, 128, 1024)
WORDS = {"inference": frozenset({"biased"}), "training": TRAINING, "all options": EVERYTHING}


def kernels(chips, precisions):
    """Return what is to be compiled, each once: by design, chip, site, how it lies, and the options of a call."""
    found = {}
    for chip, kernel, precision, units, samples in product(chips, KERNELS, precisions, UNITS, SAMPLES):
        site = Site(kernel, {"T": 5, "B": samples, "H": units}, frozenset(), precision, CHIPS[chip])
        name = choose(site).name
        if name == "persistent":
            for option in WORDS:
                found.setdefault((name, chip, kernel, persistent.layout_of(site), option), site)
        elif name == "groups":
            found.setdefault((name, chip, kernel, split_of(site), ""), site)
    return list(found.items())


def most_of(chip, lies):
    """Return how many registers a thread may have."""
    return min(255, CHIPS[chip].registers // lies.threads // 8 * 8)


def left(key):
    """Return how many registers a persistent kernel is expected to leave."""
    return most_of(key[1], key[3]) - key[3].needed


def describe(key, site, folder):
    """Return a kernel's line."""
    design, chip, kernel, lies, option = key
    if design == "persistent":
        made = assembled(lies, WORDS[option], chip, folder)
        told = f"{lies.rows} rows, {lies.abreast} abreast, {lies.items} items, {lies.registers} of {lies.needed}"
    else:
        cell, way = kernel.rsplit("_", 1)
        made = compiled(
            grouppasses.kernel_of(cell, lies, TANH, SIGMOID), signature_of(cell, way), CHIPS[chip].capability, folder
        )
        told = f"{lies.groups} groups, {lies.members} members, {lies.weights} of {lies.weights + lies.read + lies.sums}"
    most = most_of(chip, lies)
    bad = made.spills or made.stack or ".local" in made.ptx or made.registers > most or lies.shared > CHIPS[chip].shared
    return (
        f"{chip} {design} {kernel} {site.precision} H={site.sizes['H']} B={site.sizes['B']} {option}: {told} expected, "
        f"{made.registers} of {most} registers, {lies.threads} threads, spills {made.spills}, stack {made.stack}, "
        f"shared {lies.shared} of {CHIPS[chip].shared}{'  <-- BAD' * bool(bad)}"
    )


def main():
    """Print a line for each kernel."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chips", nargs="+", choices=list(CHIPS), default=list(CHIPS))
    options.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    options.add_argument("--part", type=int, default=1, help="take each so-manyth of them")
    options.add_argument("--near", type=int, help="take only those that leave less than so many registers")
    given = options.parse_args()
    found = kernels(given.chips, given.precisions)
    if given.near is not None:
        found = [(key, site) for key, site in found if key[0] == "persistent" and left(key) < given.near]
    with TemporaryDirectory() as folder:
        for key, site in found[:: given.part]:
            print(describe(key, site, folder), flush=True)


if __name__ == "__main__":
    main()
