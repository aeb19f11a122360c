"""Design "persistent": a block keeps its sequences and all of Wh on chip over all steps; one launch a layer's pass.

Blocks do not wait for one another. What has no order in time stays outside: x Wx + b of many steps is one product
before the launch, and weight gradients come from dL/da after it. How it lies on the chip: persistent_layout.py.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda, from_dtype

from ...kernels import KERNELS
from ...kernels.activations import squash, steepness
from ...kernels.gru import blend, step_after, step_reset_back, step_unmix
from ...kernels.lstm import step, step_back
from .designs import DESIGNS, Design, Site
from .launching import launch, room
from .persistent_blocks import add_block, add_pairs, block, get_block, get_pairs, pairs, put_block, put_pairs
from .persistent_cells import CELLS
from .persistent_layout import DROPPED, THREADS, Layout, fitting, kinds_of, laid
from .persistent_layout import KERNELS as SHAPES
from .persistent_memory import apart, peek, peek4, poke, poke4, read_again
from .persistent_text import text_of
from .precision import rounded, using
from .products import nothing, product

ROOM = 32 * 2**20  # bytes of x Wx + b at once where no buffer of the program may hold all steps
CHOICE = (4, 8, 16) if config.ENABLE_CUDASIM else THREADS  # threads of a block; the simulator starts them in Python


@cache
def compiled(layout: Layout, words: frozenset[str], activation: int, gate: int) -> Any:
    """Return the CUDA kernel of a layout.

    Parameters
    ----------
    layout : Layout
    words : frozenset of str
        What holds of the call; see persistent_cells.py.
    activation, gate : int
        Codes of the activations.
    """
    real = np.float64 if layout.precision == "float64" else np.float32
    scope = {
        "cuda": cuda, "REAL": real, "KIND": from_dtype(np.dtype(real)), "DROPPED": DROPPED[layout.precision],
        "ACT": activation, "GATE": gate, "rounded": rounded, "peek": peek, "poke": poke, "peek4": peek4,
        "poke4": poke4, "apart": apart, "read_again": read_again, "squash": squash, "steepness": steepness,
        "step": step, "step_back": step_back, "blend": blend, "step_after": step_after,
        "step_unmix": step_unmix, "step_reset_back": step_reset_back,
        **{f.__name__: f for f in (block, pairs, put_block, put_pairs, get_block, get_pairs, add_block, add_pairs)},
    }  # fmt: skip
    exec(text_of(CELLS[layout.kernel], layout, words), scope)
    return cuda.jit(**({} if config.ENABLE_CUDASIM else {"launch_bounds": (layout.threads, 1)}))(scope["persistent"])


def run(layout: Layout, values: dict[str, Any], t0: int, t1: int, base: int = 0) -> None:
    """Launch steps t0 to t1 of a kernel; forward, pre[0] belongs to step `base`.

    Parameters
    ----------
    layout : Layout
    values : dict
        The arguments of the CPU's kernel by name, and "pre".
    t0, t1 : int
        Of a pass back, what steps from t1 on have left of it stands in dh and dc.
    base : int, default 0
    """
    cell, given = CELLS[layout.kernel], values.get
    there = {name for name, value in values.items() if getattr(value, "size", 0)}
    long = values["dh"] if cell.backward else values["h"]
    steps, samples = values["steps"], long.shape[1]
    words = {"masked": "mask" in there, "limited": "alive" in there, "taped": "a" in there, "biased": "bias" in there}
    words |= {"ends": "dh0" in there, "every": cell.backward and long.shape[0] == steps}
    words |= {"tape": "g" in values and values["g"].shape[0] == steps}
    words |= {f"whole_{name}": name in values and values[name].shape[0] > 2 for name in ("h", "c")}
    begun = given("final") or t1 < steps if cell.backward else given("initial") or t0 > 0
    scalars = {"base": base, "begun": bool(begun), "batch": samples, "t0": t0, "t1": t1}
    lengths = {"A": "a", "E": "da", "G": "pre" if "pre" in values else "g"}
    scalars |= {letter: values[name].shape[2] for letter, name in lengths.items() if name in there}

    def argument(name: str) -> Any:
        value = scalars.get(name, given(name, 0))
        if not hasattr(value, "size"):
            return value
        return value.reshape((value.size,)) if value.size else nothing(str(value.dtype), 1)

    holding = frozenset(word for word, holds in words.items() if holds)
    kernel = compiled(layout, holding, values["activation"], given("gate", 0))
    arguments = [argument(n) for n in [*cell.arguments.split(", "), "batch", "t0", "t1"]]
    launch(kernel, *arguments, grid=(-(-samples // layout.rows), layout.threads), shared=layout.shared)


def forward(layout: Layout, values: dict[str, Any]) -> None:
    """Launch x Wx + b of many steps, then these steps, and so on: as many at once as there is room for.

    Parameters
    ----------
    layout : Layout
    values : dict
        The arguments of the CPU's kernel by name.
    """
    x, h, Wx = values["x"], values["h"], values["Wx"]
    (T, B, D), columns = x.shape, Wx.shape[1]
    values = values | {"steps": T, "bias": values["c"] if layout.kernel == "gru_after_forward" else None}
    own = values["g"] if "g" in values else h[1:]
    whole, each = own.shape[0] == T and not values["alive"].size, own.shape[2]  # else rows without a step would change
    some = T if whole else steps_at_once(T, B, each, layout.size)
    pre = own if whole else room("x Wx", some * B * each, str(x.dtype)).reshape((some, B, each))
    for t in range(0, T, some):
        stop = min(t + some, T)
        rows, now = (stop - t) * B, pre[: stop - t]
        with using(layout.precision):
            product(now.reshape((rows, each))[:, :columns], x[t:stop].reshape((rows, D)), Wx, values["b"])
        run(layout, values | {"pre": now}, t, stop, t)


def steps_at_once(steps: int, samples: int, columns: int, size: int) -> int:
    """Return of how many steps x Wx + b is made at once where the program has no buffer for it."""
    return min(steps, max(1, ROOM // (samples * columns * size)))


def layout_of(site: Site) -> Layout | None:
    """Return how a site lies on its chip, if it fits."""
    return fitting(site.kernel, site.sizes["H"], site.sizes["B"], site.precision, site.chip, CHOICE)


def refuses(site: Site) -> str:
    """Return why a site does not fit: nothing where it does."""
    if layout_of(site) is not None:
        return ""
    H, precision, chip = site.sizes["H"], site.precision, site.chip
    least = min(
        laid(site.kernel, H, precision, chip, 1, CHOICE, kinds_of(precision)), key=lambda one: one.shared, default=None
    )
    if least is None:
        sums = max(outputs for _, outputs in SHAPES[site.kernel][0]) * H
        return f"a step of its {H} units, with {sums} sums, takes more registers than {CHOICE[-1]} threads can have"
    held = least.registers * 4 * least.threads
    left = max(0, chip.shared - least.weights[0] * least.size)
    weights = held + least.shared - least.weights[0] * least.size
    return (
        f"the recurrent weights of its {H} units take {weights // 1024} KB in {precision}, and beside what a step "
        f"needs a processor of {chip.name} has {held // 1024} KB of registers and {left // 1024} KB of shared memory "
        "for them"
    )


def describe(site: Site) -> str:
    """Return where a site's weights lie, as "4 sequences a block, 64 KB of weights in registers"."""
    return str(layout_of(site))


def form(site: Site) -> Callable[..., None]:
    """Return what launches a site's kernel, given the arguments of the CPU's."""
    layout, names = layout_of(site), [a.name for a in KERNELS[site.kernel].arguments]
    assert layout is not None

    def launches(*arguments: Any) -> None:
        values = dict(zip(names, arguments, strict=True))
        if CELLS[site.kernel].backward:
            steps = values["da"].shape[0]
            run(layout, values | {"steps": steps}, 0, steps)
        else:
            forward(layout, values)

    return launches


for _name in CELLS:
    DESIGNS.setdefault(_name, []).insert(0, Design("persistent", refuses, form, describe))
