"""Design "groups": groups of blocks share the hidden units, and meet once a step; one launch a pass of a layer.

x Wx + b of all steps is one product before, as in the other designs, and weight gradients come after. splits.py says
how a layer lies on the chip, grouppasses.py holds the kernels, barrier.py the meetings.
"""

from collections.abc import Callable
from typing import Any

from ...kernels import KERNELS
from ...kernels.activations import SIGMOID
from .barrier import meeting, reopen
from .designs import DESIGNS, Design, Site
from .forms_cells import flat
from .forms_masks import wipe_all
from .grouppasses import kernel_of
from .launching import SIMULATED, launch, room
from .products import nothing, product
from .splits import Split, split_of

ROOM = 64 * 2**20  # bytes of x Wx + b that stand at once where the gates of all steps are not kept
OTHERS = {  # the arrays that a cell's step has beside the states and what is multiplied, see groupcells.py
    "lstm_forward": ("c", "g", "s", "a"),
    "gru_after_forward": ("c", "g", "q", "a"),
    "simple_rnn_forward": ("a",),
    "lstm_backward": ("c", "g", "s", "dc"),
    "gru_after_backward": ("h", "g", "q", "da", "through"),
    "simple_rnn_backward": ("h",),
}


def _run(kernel: Any, split: Split, t0: int, t1: int, arguments: list[Any], *last: int) -> None:
    """Launch steps t0 to t1 of a pass; in the simulator, whose blocks run one after the other, a step at a time."""
    for a, b in [(t, t + 1) for t in range(t0, t1)] if SIMULATED else [(t0, t1)]:
        given = [*arguments, *meeting(), a, b, *last]
        reopen()
        launch(kernel, *given, grid=(split.groups * split.members, split.threads), shared=split.shared)


def _others(kernel: str, own: dict[str, Any], count: int) -> list[Any]:
    """Return a cell's other arrays; the kernels of all cells take the same number."""
    arrays = [own[name] for name in OTHERS[kernel]]
    return arrays + [nothing("float32", 1)] * (count - len(arrays))


def form_of(site: Site, split: Split) -> Callable[..., None]:
    """Return what launches a pass, given the arguments of the CPU's kernel.

    Parameters
    ----------
    site : Site
    split : Split
        How it lies on the chip.

    Returns
    -------
    callable
    """
    names = [a.name for a in KERNELS[site.kernel].arguments]
    cell = site.kernel.rpartition("_")[0]
    launches = (_backward if split.backward else _forward)(site, split, cell)

    def form(*arguments: Any) -> None:
        own = dict(zip(names, arguments, strict=True))
        launches(own, kernel_of(cell, split, own["activation"], own.get("gate", SIGMOID)))

    return form


def _forward(site: Site, split: Split, cell: str) -> Callable[..., None]:
    T, B, columns = site.sizes["T"], site.sizes["B"], split.gates * split.H
    kept = site.sizes["U"] > T if cell == "simple_rnn" else site.sizes["K"] == T
    steps = T if kept else max(1, min(T, ROOM // (4 * B * columns)))
    rest = None if kept else room("inputs of groups", steps * B * columns, "float32")

    def launches(own: dict[str, Any], kernel: Any) -> None:
        x, h, initial = own["x"], own["h"], own.get("initial", 1)
        if cell == "lstm" and not initial:
            launch(wipe_all, own["c"][:1], count=own["c"][0].size)
        for first in range(0, T, steps):
            stop = min(T, first + steps)
            if rest is None:
                pre = h[1:] if cell == "simple_rnn" else own["g"]
            else:
                pre = rest[: (stop - first) * B * columns].reshape((stop - first, B, columns))
            product(flat(pre, columns), flat(x[first:stop], x.shape[2]), own["Wx"], own["b"])
            others = _others(site.kernel, own, 4)
            _run(kernel, split, first, stop, [own["Wh"], pre, own["alive"], initial, h, *others], first)

    return launches


def _backward(site: Site, split: Split, cell: str) -> Callable[..., None]:
    def launches(own: dict[str, Any], kernel: Any) -> None:
        if cell == "lstm" and not own["final"]:
            launch(wipe_all, own["dc"].reshape((1, *own["dc"].shape)), count=own["dc"].size)
        multiplied, dh0 = own["dq" if cell == "gru_after" else "da"], own["dh0"]
        steps = multiplied.shape[0] + (1 if dh0.size else 0)
        given = [own["Wh"], own["alive"], own["add"], own["dh"], multiplied, dh0, *_others(site.kernel, own, 5)]
        _run(kernel, split, 0, steps, given)

    return launches


def refuses(site: Site) -> str:
    """Return why a site cannot be run by this design, or nothing."""
    split = split_of(site)
    return split if isinstance(split, str) else ""


def describe(site: Site) -> str:
    """Return where a site's weights lie: how many groups of how many blocks, and how much of them each block has."""
    split = split_of(site)
    assert isinstance(split, Split)
    groups = f"{split.groups} group{'s' * (split.groups > 1)} of {split.members} block{'s' * (split.members > 1)}"
    return f"{groups}, {split.weights * split.threads * 4 / 1024:.3g} KB of weights in the registers of each block"


def form(site: Site) -> Callable[..., None]:
    """Return what launches a site that is not refused."""
    split = split_of(site)
    assert isinstance(split, Split)
    return form_of(site, split)


for _kernel in OTHERS:
    DESIGNS.setdefault(_kernel, []).append(Design("groups", refuses, form, describe))
