"""The results as a table of 80 columns, printed while they come, and what stands under it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cases import MODES, STREAM_MODES, TITLES, Case, threads_text

Result = dict[str, Any]
RATIO_GOAL = (6, 5)  # widths
SHORT = {"onnxruntime": "onnxrt"}


def seconds_text(seconds: float) -> str:
    """Return a time with three digits: 1.23 us, 45.6 ms, 7.89 s."""
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{three(seconds * factor)} {unit}"
    return f"{three(seconds)} s "


def three(number: float) -> str:
    """Return a number with three digits or, from 100 on, without a point."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def or_dash(value: float | None, text: Callable[[float], str]) -> str:
    """Return a number as text; a dash where there is none."""
    return "-" if value is None else text(value)


def peak_text(peak: dict[str, Any]) -> str:
    """Return what the machine can do, in a line."""
    copy = f"; copy {three(peak['gigabytes_per_s'])} GB/s" if "gigabytes_per_s" in peak else ""
    return (
        f"peak, {peak['dtype']}, {threads_text(peak['threads'])}: {three(peak['gflops'])} GFLOP/s in the tile; "
        f"NumPy {three(peak['numpy_gflops'])}{copy}"
    )


class Table:
    """Lines for results as they come; a heading where another group begins.

    Parameters
    ----------
    against : tuple of str
        The peers that take part.
    """

    def __init__(self, against: tuple[str, ...]) -> None:
        self.against = against
        self.heading: tuple[Any, ...] = ()

    def lines(self, result: Result) -> Iterator[str]:
        """Yield the lines of a result."""
        layer = result["group"] == "layer"
        heading = (result["group"], result["threads"], result["dtype"], result["mode"] if layer else "")
        if heading != self.heading:
            self.heading = heading
            yield ""
            yield from self.layer_head(result) if layer else self.work_head(result)
        yield self.layer_line(result) if layer else "\n".join(self.work_lines(result))

    def peers(self, result: Result) -> list[str]:
        """Return the peers that have a layer of this kind."""
        case = Case(*(result[k] for k in ("group", "name", "size", "mode", "dtype")))
        return [name for name in self.against if case.admits(name)]

    def layer_head(self, result: Result) -> Iterator[str]:
        yield f"{result['mode']}, {result['dtype']}, {threads_text(result['threads'])}: {MODES[result['mode']]}"
        peers = self.peers(result)
        names = [*(SHORT.get(name, name) for name in peers), "ratio", "goal"] if peers else ["MB", "best", "first"]
        speedup = f"{'speedup':>8}" if result["threads"] > 1 else ""
        widths = RATIO_GOAL if peers else ()
        yield f"{'layer':<9}{'H':>5}{'nbrnn':>8}{'GFLOP/s':>8}{'share':>6}{columns(names, *widths)}{speedup}"

    def layer_line(self, result: Result) -> str:
        found = result["contestants"]
        ours = found.get("nbrnn", {})
        title = TITLES.get(result["name"], result["name"])
        line = f"{title:<9}{result['size']:>5}{or_dash(ours.get('median_s'), seconds_text):>8}"
        line += f"{or_dash(result.get('gflops'), three):>8}{or_dash(result.get('share'), percent):>6}"
        peers = self.peers(result)
        if peers:
            cells = [or_dash(found.get(name, {}).get("median_s"), seconds_text) for name in peers]
            cells += [or_dash(result.get("ratio"), three), or_dash(result["goals"].get("best"), short)]
        else:
            cells = [or_dash(result.get("bytes"), megabytes)]
            cells += [or_dash(ours.get(key), seconds_text) for key in ("best_s", "first_s")]
        speedup = f"{or_dash(result.get('scaling'), '{:.2f}'.format):>8}" if result["threads"] > 1 else ""
        return f"{line}{columns(cells, *(RATIO_GOAL if peers else ()))}{speedup}"

    def work_head(self, result: Result) -> Iterator[str]:
        what = {"fit": "whole fits", "stream": "an LSTM, a row at a time; the state goes on"}[result["group"]]
        yield f"{what}, {result['dtype']}, {threads_text(result['threads'])}"
        names = ("median", "best", "first", "GFLOP/s", "share", "ratio", "goal")
        yield f"{'':<15}{'':<12}{columns(names, 6, *RATIO_GOAL)}"

    def work_lines(self, result: Result) -> Iterator[str]:
        label = f"LSTM {result['size']}, {result['mode']}" if result["group"] == "stream" else result["name"]
        if not result["contestants"]:
            yield f"{label:<15}-"
        for name, entry in result["contestants"].items():
            cells = [seconds_text(entry[key]) for key in ("median_s", "best_s", "first_s")]
            if name == "nbrnn":
                cells += [or_dash(result["gflops"], three), or_dash(result["share"], percent), "", ""]
            else:
                cells += ["", "", or_dash(entry.get("ratio"), three), or_dash(result["goals"].get(name), short)]
            yield f"{label:<15}{name:<12}{columns(cells, 6, *RATIO_GOAL)}".rstrip()
            label = ""


def columns(cells: Iterable[str], *widths: int) -> str:
    """Return right-justified columns of 8 characters, or of these widths at the end."""
    texts = list(cells)
    sizes = [8] * (len(texts) - len(widths)) + list(widths)
    return "".join(f"{text:>{size}}" for text, size in zip(texts, sizes, strict=True))


def short(number: float) -> str:
    """Return a goal without needless digits."""
    return f"{number:g}"


def percent(share: float) -> str:
    """Return a share without a decimal."""
    return f"{share:.0%}"


def megabytes(size: float) -> str:
    """Return a number of bytes, in megabytes."""
    return three(size / 1e6)


def notes(report: dict[str, Any], against: tuple[str, ...]) -> Iterator[str]:
    """Yield the sentences under the table: what was counted, how it was done, which goals are met."""
    results = report["results"]
    yield (
        f"Times are medians of {report['rounds']} rounds{' in turns' * bool(against)} after a warm one, each of "
        f"{report['round_s'] * 1e3:.0f} ms or more. share: of the peak. first: the first call, with all that it has to "
        "load or compile."
    )
    if against:
        yield (
            "ratio: a peer's time over ours, of layers the fastest peer's; above 1 nbrnn is faster. Each library has "
            "the layout that it likes best, and may pack weights beforehand where they do not change. Nobody computes "
            "the gradient of the input."
        )
    if any(r["group"] == "stream" for r in results):
        yield "; ".join(f"{mode}: {what}" for mode, what in STREAM_MODES.items()) + ". A peer runs a step a call."
    for name in ("nbrnn", *against):
        entries = [r["contestants"][name] for r in results if name in r["contestants"]]
        if entries and against:
            forms = Counter(entry["form"] for entry in entries)
            used = "; ".join(f"{form} ({count})" if len(forms) > 1 else form for form, count in forms.most_common())
            yield f"{name}: {used}. First call: up to {seconds_text(max(e['first_s'] for e in entries)).strip()}."
    parts = {
        f"{name} runs 1/{entry['part']:g} of {r['name']}'s epochs; its time is multiplied."
        for r in results
        for name, entry in r["contestants"].items()
        if entry["part"] != 1
    }
    yield from sorted(parts)
    yield from goals_text(results)


def failures_text(failures: list[dict[str, str]]) -> Iterator[str]:
    """Yield a sentence for each error, however many cases met it."""
    by_error: dict[str, list[str]] = {}
    for failure in failures:
        by_error.setdefault(failure["error"], []).append(failure["case"])
    for error, cases in by_error.items():
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        yield f"{cases[0]}{more}: {error}"


def goals_text(results: list[Result]) -> Iterator[str]:
    """Yield how many goals are met, by kind."""
    kinds: dict[str, list[bool]] = {}
    for r in results:
        if "nbrnn" not in r["contestants"]:
            continue
        for name, goal in r["goals"].items():
            ratio = r["ratio"] if name == "best" else r["contestants"].get(name, {}).get("ratio")
            if ratio is not None:
                kinds.setdefault("ratios", []).append(ratio >= goal)
        for key, name in (("share", "shares of the peak"), ("scaling", "speedups by two threads")):
            if r[f"{key}_goal"] is not None and r[key] is not None:
                kinds.setdefault(name, []).append(r[key] >= r[f"{key}_goal"])
    if kinds:
        yield "Goals met: " + ", ".join(f"{sum(met)} of {len(met)} {name}" for name, met in kinds.items()) + "."
