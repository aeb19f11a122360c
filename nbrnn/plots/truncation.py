"""Truncated gradients beside the full one: what averaging removes, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from .style import BACKWARD, GREY, caption, new_figure, tidy


def plot_truncation(noise: Mapping[int, float], bias: Mapping[int, float], title: str = "") -> Figure:
    """Draw how far truncated gradients lie from the full one: of one batch, and averaged over many.

    Parameters
    ----------
    noise : dict of int to float
        By k, the steps that the gradient goes back: the distance of one batch's gradient from the full gradient of all
        samples, over the latter's length.
    bias : dict of int to float
        By the same k: the distance of the mean over all batches.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no k, the two have not the same ones, or a distance of the noise is not above 0.

    Notes
    -----
    The axis is logarithmic. A bias below a millionth of the smallest noise is rounding and is drawn as an arrow.
    """
    steps = sorted(noise)
    if not steps or steps != sorted(bias):
        raise ValueError(f"noise and bias must hold the same k, not {steps} and {sorted(bias)}.")
    if min(noise.values()) <= 0:
        raise ValueError(f"noise must hold distances above 0, not {min(noise.values()):g}.")
    floor = 1e-6 * min(noise.values())
    kept = [k for k in steps if bias[k] > floor]
    figure = new_figure(8, 4.4)
    axes = figure.subplots()
    axes.plot(steps, [noise[k] for k in steps], "o-", color=GREY, lw=2.5, label="one batch: noise and bias")
    axes.plot(kept, [bias[k] for k in kept], "s-", color=BACKWARD, lw=1.8, label="mean of all batches: bias")
    axes.set_yscale("log")
    low = axes.get_ylim()[0]
    for k in steps:
        if k not in kept:
            style = {"arrowstyle": "-|>", "color": BACKWARD}
            axes.annotate("", (k, low), (k, low * 5), arrowprops=style)
            axes.text(k, low * 6, "0", ha="center", color=BACKWARD)
    axes.set_xticks(steps)
    axes.set(xlabel="k: steps that the gradient goes back", ylabel="distance / length of the full gradient")
    axes.set_title(title, parse_math=False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    tidy(axes)
    caption(
        figure,
        "grey is how far the gradient of one batch lies from the full gradient of all samples; most of it is chance. "
        "The mean over all batches (squares) has no chance left: what remains is the bias, which no number of samples "
        "removes. An arrow says that nothing remains.",
    )
    return figure
