"""Layers' results on a GPU as lines of at most 80 columns, and what stands under them."""

from collections.abc import Iterable, Iterator
from typing import Any

from gpu_cases import Case
from report import or_dash, seconds_text, three

Result = dict[str, Any]
APART = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 5e-2}  # of the outputs of both sides, at most


def summary(results: Iterable[Result]) -> str:
    """Return in a sentence how many goals are met."""
    judged = [r for r in results if r["goal"] and "ratio" in r]
    if not judged:
        return "No case here has a goal; those of 512 steps against cuDNN have."
    met = sum(r["ratio"] >= r["goal"] and r["agrees"] for r in judged)
    least = min(r["ratio"] / r["goal"] for r in judged)
    return f"{met} of {len(judged)} goals are met; the lowest ratio is {least:.2f} of its goal."


def doubts(results: Iterable[Result]) -> Iterator[str]:
    """Yield sentences about results that are not to be used as they stand."""
    for r in results:
        name = case_of(r).label
        if not r.get("agrees", True):
            yield f"{name}: outputs are {r['difference']:.2g} apart, more than {APART[r['precision']]:g}: one is wrong."
        if not r["alone"]:
            yield f"{name}: other processes were at work on the GPU."


HEAD = f"{'layer':<11}{'H':>5}{'B':>5}{'nbrnn':>10}{'cuDNN':>10}{'ratio':>7}{'goal':>6}  {'us a step':>9}  design"


def line(result: Result) -> str:
    """Return a result as a line of at most 80 columns."""

    def side(name: str) -> str:
        return or_dash(result.get(name, {}).get("median_s"), seconds_text)

    goal, ratio = or_dash(result["goal"], three), or_dash(result.get("ratio"), three)
    designs = "/".join(dict.fromkeys(result["designs"]))
    title = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}[result["cell"]]
    start = f"{title:<11}{result['H']:>5}{result['B']:>5}{side('nbrnn'):>10}{side('cudnn'):>10}"
    return f"{start}{ratio:>7}{goal:>6}  {result['nbrnn']['us_per_step']:>9.2f}  {designs}"[:80]


def case_of(result: Result) -> Case:
    """Return the case of a result."""
    return Case(**{key: result[key] for key in ("cell", "H", "B", "T", "precision", "mode")})


def lines(results: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of results, a heading where precision or mode change."""
    heading = None
    for result in results:
        if heading != (heading := (result["mode"], result["precision"], result["T"])):
            yield ""
            yield "{}, {}, T = {}".format(*heading)
            yield HEAD
        yield line(result)
