"""Layers on a GPU beside PyTorch's, whose RNN, GRU and LSTM run by cuDNN: one process, in turns, medians.

nbrnn bench --device cuda --against cudnn --out nbrnn-out/gpu

Both sides get the same weights and inputs, and their outputs are compared before anything is timed. Times are those of
the device's events, the product with the inputs included; PyTorch runs eagerly, as its users run it. *train* is
forward, a mean squared error over all states, and backward to all weight gradients; cuDNN computes the input's gradient
too, which its interface leaves no choice of.
"""

import gc
import statistics
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from gpu_cases import Case
from gpu_table import APART
from gpu_turns import shared, turn

import nbrnn
from nbrnn.lowering import PREDICT, TRAIN, Feed, make_plan
from nbrnn.plan import Plan
from nbrnn.program import Options, aligned
from nbrnn.targets.cuda import Executor
from nbrnn.targets.cuda.calls import RECURRENT, site_of
from nbrnn.targets.cuda.designs import choose, designs_of
from nbrnn.targets.cuda.device import chip, memory_left, simulating, usable
from nbrnn.targets.cuda.graphs import seconds_of
from nbrnn.targets.cuda.residence import Residence

FORMAT = 1
LAYERS: dict[str, Any] = {"lstm": nbrnn.LSTM, "gru": nbrnn.GRU, "simple_rnn": nbrnn.SimpleRNN}
LEAST = 2 if simulating() else 15  # rounds; what the simulator takes says nothing
ROUND = 0.01  # seconds that a round lasts at least, on the device
WARM = 0.0 if simulating() else 0.05  # seconds of work on the device before a player is timed: its clocks rise
DRAWN = 64  # steps of random inputs, which then repeat: drawing more takes longer than all else


@dataclass(frozen=True)
class Settings:
    """How the cases are measured."""

    peer: Any = None  # the module gpu_torch, where PyTorch takes part
    rounds: int = LEAST
    seconds: float = ROUND
    design: str = ""  # of the recurrent kernels, where not the one that is chosen by size


def arrays_for(case: Case) -> dict[str, np.ndarray]:
    """Return inputs, targets and weights, in our layouts."""
    model, rng = layer_model(case), np.random.default_rng(0)
    scale = case.H**-0.5
    Wx, Wh, b = (rng.standard_normal(w.shape, dtype=np.float32) * np.float32(scale) for w in model.get_weights())
    drawn = rng.standard_normal((2, case.B, min(case.T, DRAWN), case.H), dtype=np.float32)
    x, y = (np.resize(a.swapaxes(0, 1), (case.T, case.B, case.H)).swapaxes(0, 1).copy() for a in drawn)
    return {"Wx": Wx, "Wh": Wh, "b": b, "x": x, "y": y}


def layer_model(case: Case) -> Any:
    """Return a model of the case's layer alone."""
    quick = "glorot_uniform"  # all weights are set later; orthogonal ones take seconds
    layer = LAYERS[case.cell](case.H, return_sequences=True, recurrent_initializer=quick)
    return nbrnn.Sequential([layer], input_shape=(case.T, case.H), seed=0)


class Layer:
    """A layer of ours on the GPU, as the program that `fit` or `predict` runs, without an optimizer's step.

    Parameters
    ----------
    case : Case
    arrays : dict of str to numpy.ndarray
    design : str
    """

    def __init__(self, case: Case, arrays: dict[str, np.ndarray], design: str = "") -> None:
        self.case, self.x = case, arrays["x"]
        model = layer_model(case)
        model.set_weights([arrays[k] for k in ("Wx", "Wh", "b")])
        model.compile(loss="mse")
        model.optimizer = None
        self.model, self.design = model, design
        self.executor = self._bound(TRAIN if case.mode == "train" else PREDICT, arrays, design)

    def _bound(self, mode: str, arrays: dict[str, np.ndarray], design: str) -> Executor:
        """Return a program of the layer, bound to the device."""
        feeds = [Feed.of(arrays["x"]), Feed.of(arrays["y"]) if mode == TRAIN else None]
        plan: Plan = make_plan(self.model, mode, feeds[0], feeds[1], self.case.B, Options(device="cuda"))
        flat = {"x": arrays["x"].reshape(-1)} | ({"y": arrays["y"].reshape(-1)} if mode == TRAIN else {})
        if mode == PREDICT:
            flat["output"] = aligned(plan.sizes["output"], np.dtype(np.float32))
        shared = {"params": self.model.params, "order": np.arange(self.case.B)}
        return Executor(plan, shared | flat, Residence(self.case.precision, lasting=False), design)

    def outputs(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return every state, (B, T, H)."""
        ready = self.executor if self.case.mode == "forward" else self._bound(PREDICT, arrays, self.design)
        self._one(ready)
        size = self.x.size
        return np.array(ready.arrays["output"][:size]).reshape(self.x.shape)

    def names(self) -> list[str]:
        """Return the designs of the recurrent calls, in order."""
        program = self.executor.plan.programs[self.case.B]
        own = [call for call in program.calls if call.kernel in RECURRENT]
        return [choose(site_of(program, call, self.case.precision), self.design).name for call in own]

    def _one(self, executor: Executor) -> None:
        executor.run(0, 1, shuffle=False, seed=0, epoch=0, step=0)

    def warm(self) -> None:
        """Compile the kernels, and capture the graph of a batch."""
        for _ in range(3):
            self._one(self.executor)

    def timed(self, calls: int) -> float:
        """Return the seconds of a batch."""
        self._one(self.executor)  # sets the job's words anew
        batch = self.executor.replay(self.case.B)

        def work() -> None:
            for _ in range(calls):
                batch()

        return seconds_of(work) / calls


def measured(case: Case, settings: Settings) -> dict[str, Any]:
    """Return a case with both sides' times, their ratio, and how far their outputs are apart."""
    arrays = arrays_for(case)
    ours = Layer(case, arrays, settings.design)
    ours.warm()
    result: dict[str, Any] = asdict(case) | {"goal": case.goal, "design": settings.design, "designs": ours.names()}
    players: dict[str, Any] = {"nbrnn": ours}
    if settings.peer is not None:
        players["cudnn"] = peer = settings.peer.Layer(case, arrays)
        peer.warm()
        result["difference"] = float(abs(ours.outputs(arrays) - peer.outputs()).max())
        result["agrees"] = result["difference"] <= APART[case.precision]  # NaN does not
    calls = {name: calls_of(player, settings.seconds) for name, player in players.items()}
    times: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(settings.rounds):
        for name, player in players.items():
            times[name].append(player.timed(calls[name]))
    for name, taken in times.items():
        median = statistics.median(taken)
        result[name] = {
            "median_s": median,
            "best_s": min(taken),
            "us_per_step": median / case.T * 1e6,
            "seconds": taken,
            "calls": calls[name],
        }
    if "cudnn" in times:
        result["ratio"] = result["cudnn"]["median_s"] / result["nbrnn"]["median_s"]
    return result


def calls_of(player: Any, seconds: float) -> int:
    """Return how many calls take so many seconds, after some that warm up."""
    taken = [player.timed(1)]
    while sum(taken) < WARM and len(taken) < 100:
        taken.append(player.timed(1))
    return max(1, min(1000, round(seconds / max(min(taken), 1e-7))))


def machine() -> dict[str, Any]:
    """Return what ran: the GPU and the versions."""
    versions = {"nbrnn": nbrnn.__version__}
    for name in ("numba", "numba-cuda", "numpy", "cupy-cuda12x", "cupy-cuda13x", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"gpu": chip().name, "capability": list(chip().capability), "versions": versions}


def begin(settings: Settings) -> dict[str, Any]:
    """Return a report without results."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    own = {"format": FORMAT, "taken": taken, "rounds": settings.rounds, "machine": machine()}
    if settings.peer is not None:
        own["machine"]["versions"] |= settings.peer.versions()
    return own | {"results": [], "failures": [], "refused": []}


def designs() -> list[str]:
    """Return the names of all designs."""
    return list(dict.fromkeys(design.name for kernel in RECURRENT for design in designs_of(kernel)))


def hold(
    cases: list[Case], settings: Settings, into: dict[str, Any], status: Callable[[str], None] = lambda text: None
) -> Iterator[dict[str, Any]]:
    """Measure the cases one after the other, into a report; one that fails is named there, and the others go on."""
    with turn(alone=False):
        for case in cases if shared() else ():
            status(f"compiling for {case.label}")
            with suppress(Exception):  # what is wrong is said when it is measured
                Layer(case, arrays_for(case), settings.design).warm()
            gc.collect()
    for case in cases:
        status(case.label)
        try:
            with turn(alone=True) as alone:
                result = measured(case, settings) | {"alone": alone}
        except Exception as error:  # a library's own, such as a driver's
            text = " ".join(str(error).split()) or type(error).__name__
            refused = text.startswith(f"design {settings.design!r} cannot run")
            into["refused" if refused else "failures"].append({"case": case.label, "error": text})
            if not refused and not usable():
                into["failures"].append({"case": "the cases after it", "error": "the GPU's context is broken"})
                break
            continue
        finally:
            release(settings)
        into["results"].append(result)
        status("")
        yield result


def release(settings: Settings) -> None:
    """Give the memory of a case back."""
    gc.collect()
    with suppress(Exception):  # of a device that is not usable any more
        if settings.peer is not None:
            settings.peer.release()
        memory_left()  # numba.cuda gives back what it holds when it is asked
