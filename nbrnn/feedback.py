"""Layers that get their own outputs back: Feedback (NARX) and Jordan. The equations: kernels/feedback.py."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from .checks import flag, one_of, whole_number
from .graph import Shape, unique_name
from .joins import rows
from .layers import Backward, Dense, Layer, Weight, known
from .pointwise import Pointwise
from .program import Buffer, Program
from .recurrent import Recurrent
from .sampling import ScheduledSampling
from .truncation import segments
from .unrolled import Steps
from .wrappers import Wrapper, copied, described, made

TEACHER, FREE = "teacher_forcing", "free_running"
OUTPUTS = "outputs"  # the name of the state's holder among the layers
Lowered = tuple[Buffer, Callable[[Buffer, Buffer | None], None]]


class Returned(Recurrent):
    """The outputs that are fed back, as a state "y" of their layer: (samples, lags * outputs), the youngest first."""

    kind, states, go_backwards = "layer", ("y",), False

    def __init__(self, units: int, return_state: bool, stateful: bool) -> None:
        Layer.__init__(self)
        self.units, self.return_state, self.stateful = units, return_state, stateful

    def declared(self, shape: Shape) -> list[Weight]:
        return []

    def state_names(self) -> list[str]:
        return [f"{str(self.name).rpartition('/')[0]}/y"]


class Feedback(Wrapper):
    """Layers that at every step see, beside their input, what they gave at the last steps (NARX).

    The input of step t is [x_t, y_(t-1), ..., y_(t-lags)]. While training y is the target (teacher forcing), the
    output (free running, with exact gradients through it), or one of the two by chance (scheduled sampling). `predict`
    and `evaluate` always feed back the outputs. The outputs before the first step are the state "<name>/y",
    (samples, lags * outputs), the youngest first: zeros, or given as `initial_state`.

    Parameters
    ----------
    layers : Layer or sequence of Layer
        What a step goes through: Dense, Activation, Softmax, SimpleRNN, LSTM, GRU. The last one gives the outputs.
    lags : int, default 1
        How many of the last outputs are fed back.
    training : {"teacher_forcing", "free_running"} or ScheduledSampling
        What is fed back in a training. All but "free_running" need the targets: the layer's output is then an output
        of the model, for every step, whose loss takes targets of its own shape.
    return_sequences : bool, default True
        Whether the output is that of every step, (T, O), or of the last one, (O,).
    return_state : bool, default False
        Whether `predict` returns the last states after the outputs.
    stateful : bool, default False
        As for SimpleRNN.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If a layer cannot go step by step, none has units, or the arguments do not fit each other.

    Notes
    -----
    Weights: those of the layers, in their order; the first one's kernel has a row for each of x and of the outputs fed
    back, the youngest first. Source: Lin et al. 1996.
    """

    kind = "feedback"

    def __init__(
        self,
        layers: Layer | Sequence[Layer],
        lags: int = 1,
        training: str | ScheduledSampling = TEACHER,
        return_sequences: bool = True,
        return_state: bool = False,
        stateful: bool = False,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        self.lags, self.training = whole_number("lags", lags), training
        if not isinstance(training, ScheduledSampling):
            self.training = one_of("training", training, (TEACHER, FREE))
        self.return_sequences = flag("return_sequences", return_sequences)
        if not self.return_sequences and self.training != FREE:
            raise ValueError(
                "return_sequences=False leaves no targets for the steps to feed back: give training='free_running'."
            )
        flags = {"return_state": flag("return_state", return_state), "stateful": flag("stateful", stateful)}
        inner = _within(layers, flags)
        self.outputs = next((int(one.units) for one in reversed([*inner.values()]) if hasattr(one, "units")), 0)
        if not self.outputs:
            raise ValueError("one of the layers of Feedback must have units, as Dense(1) has.")
        memory = Returned(self.lags * self.outputs, **flags)
        super().__init__({OUTPUTS: memory} | inner, input_shape, name)

    @property
    def memory(self) -> Returned:
        """What holds the outputs that are fed back."""
        return cast("Returned", self.inner[OUTPUTS])

    @property
    def steps(self) -> list[Layer]:
        """The layers that a step goes through."""
        return [layer for own, layer in self.inner.items() if own != OUTPUTS]

    def declared(self, shape: Shape) -> list[Weight]:
        found, at = [], self._seen(shape)
        for own, layer in self.inner.items():
            if own != OUTPUTS:
                found += [replace(weight, name=f"{own}/{weight.name}") for weight in layer.declared(at)]
                at = layer.output_shape(at)
        return found

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"layer {self.title} needs sequences (time steps, features), but its input is {shape}.")
        return (shape[0], self.outputs) if self.return_sequences else (self.outputs,)

    def _seen(self, shape: Shape) -> Shape:
        """Return what the first layer sees of sequences."""
        return (shape[0], known(shape[-1]) + self.memory.units)

    def config(self) -> dict[str, Any]:
        layers = [described(layer, name=own) for own, layer in self.inner.items() if own != OUTPUTS]
        return super().config() | {"layers": layers, "lags": self.lags} | self._flags()

    def _flags(self) -> dict[str, Any]:
        training = self.training
        return {
            "training": asdict(training) if isinstance(training, ScheduledSampling) else training,
            "return_sequences": self.return_sequences,
            "return_state": self.memory.return_state,
            "stateful": self.memory.stateful,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        own = dict(config)
        if isinstance(own.get("training"), dict):
            own["training"] = ScheduledSampling(**own["training"])
        if isinstance(own.get("layers"), list):
            own["layers"] = [made(entry) for entry in own["layers"]]
        return super().from_config(own)

    def carrying(self) -> Feedback:
        """Return a twin whose layers carry their states from batch to batch."""
        twin = copy.copy(self)
        twin.inner = {own: copy.copy(layer) for own, layer in self.inner.items()}
        for layer in twin.leaves():
            if isinstance(layer, Recurrent):
                layer.stateful = True
        return twin

    # ------------------------------------------------------------------ lowering

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        if p.masks and p.masks[0]:
            raise ValueError(
                f"layer {self.title} cannot leave out masked steps: give sample_weight, 0 for what does not count."
            )
        steps, samples, features = x.shape
        fed = p.buffer(f"{self.name}/fed", self.lags + steps, samples, self.outputs)  # back: the oldest first
        p.aliases[f"{self.memory.name}/h"] = fed[self.lags - 1 :]
        seen = p.buffer(f"{self.name}/seen", steps, samples, features + self.memory.units)
        self._begin(p, fed)
        p.call("put_columns", part=rows(x), first=0, W=rows(seen))
        forced = p.training and not p.options.sampled and self.training == TEACHER
        y, backward = (self._at_once if forced else self._by_steps)(p, seen, fed, features)

        def back(dy: Buffer, wanted: bool) -> Buffer | None:
            dx = p.buffer(f"{self.name}/dx", *x.shape) if wanted else None
            backward(dy.reshape(-1, samples, self.outputs), dx)
            return dx

        return (y if self.return_sequences else y[-1]), back

    def _begin(self, p: Program, fed: Buffer) -> None:
        """Add the calls that fetch the outputs before the first step."""
        memory, (name,) = self.memory, self.memory.state_names()
        if not self.memory.given(p):
            p.clear(fed[: self.lags])
            return
        state = p.buffer(f"{self.name}/y_before", fed.shape[1], memory.units)
        memory.fetch(p, name, state)
        for j in range(self.lags):
            p.call("take_columns", W=state, first=j * self.outputs, part=fed[self.lags - 1 - j])

    def _end(self, p: Program, fed: Buffer) -> None:
        """Add the calls that keep the last outputs as the layer's state."""
        memory, (name,) = self.memory, self.memory.state_names()
        last = p.last[name] = p.buffer(name, fed.shape[1], memory.units)
        p.call("lag", fed=fed[-self.lags :], first=0, W=last.reshape(1, *last.shape))
        memory.keep(p, name, last)

    def _target(self, p: Program, shape: tuple[int, ...]) -> Buffer:
        """Return the targets, a row a step."""
        what = f"layer {self.title} feeds targets back while training, so"
        if p.target is None:
            raise ValueError(
                f"{what} its output must be an output of the model with a loss; else give training='free_running'."
            )
        target = p.target()
        if target.shape != shape:
            raise ValueError(
                f"{what} the loss must take {self.outputs} numbers a step as targets, not {target.shape[-1]}; else "
                "give training='free_running'."
            )
        return target

    def _at_once(self, p: Program, seen: Buffer, fed: Buffer, features: int) -> Lowered:
        """Lower the layers over all steps: where targets are fed back, no step waits for the one before."""
        (steps, samples, _), lags = seen.shape, self.lags
        target = self._target(p, (steps, samples, self.outputs))
        p.call("scaled", x=rows(target), factor=1.0, y=rows(fed[lags:]))
        p.call("lag", fed=fed[: lags + steps - 1], first=features, W=seen)
        self._end(p, fed)
        y, backs = seen, []
        for layer in self.steps:
            y, back = layer.lower(p, y)
            backs.append(back)

        def backward(dy: Buffer, dx: Buffer | None) -> None:
            first = self.memory.given(p) and p.options.input_gradient
            p.aliases[f"{self.memory.name}/dh"] = dy
            d: Buffer | None = dy
            for k, back in reversed([*enumerate(backs)]):
                assert d is not None
                d = back(d, k > 0 or first or dx is not None)
            if d is not None and dx is not None:
                p.call("take_columns", W=rows(d), first=0, part=rows(dx))
            if d is not None and first:
                dfed = self._gradients(p, fed)
                p.call("lag_back", dW=d, first=features, skip=0, dfed=dfed[: lags + steps - 1])
                self._first_gradient(p, dfed)

        return y, backward

    def _by_steps(self, p: Program, seen: Buffer, fed: Buffer, features: int) -> Lowered:
        """Lower the layers step by step."""
        (steps, samples, _), lags, shape = seen.shape, self.lags, fed[self.lags :].shape
        chain = Steps(self.steps, (steps, seen.shape[-1]))
        chain.begin(p, steps, samples)
        coins, y = None, fed[lags:]
        if p.training and not p.options.sampled and isinstance(self.training, ScheduledSampling):
            target, y = self._target(p, shape), p.buffer(f"{self.name}/y_of_steps", *shape)
            coins = self.training.draw(p, f"{self.name}/coins", steps, samples)
        for t in range(steps):
            p.call("lag", fed=fed[t : t + lags], first=features, W=seen[t : t + 1])
            p.call("scaled", x=chain.forward(p, t, seen[t]), factor=1.0, y=y[t])
            if coins is not None:
                p.call("choose", y=y[t], target=target[t], coin=coins[t], fed=fed[lags + t])
        self._end(p, fed)
        chain.end(p)

        def backward(dy: Buffer, dx: Buffer | None) -> None:
            # Where outputs are fed back, what comes from the loss and what comes through the feedback are one gradient.
            dfed = self._gradients(p, fed, dy if coins is None else None)
            given = dfed[lags:]
            if coins is not None:
                given = p.buffer(f"{self.name}/dy_of_steps", *shape)
                p.call("spread", dy=dy, dh=given)
            p.aliases[f"{self.memory.name}/dh"] = given
            chain.start_back(p)
            before = p.adding
            for first, end in segments(p, steps, True):
                for t in range(end - 1, first - 1, -1):
                    if coins is not None:
                        p.call("choose_back", dfed=dfed[lags + t], coin=coins[t], dy=given[t])
                    d = chain.backward(p, t, given[t], 0 < first == t)
                    skip = max(0, lags + first - t) if first else 0
                    whole = d.reshape(1, *d.shape)
                    p.call("lag_back", dW=whole, first=features, skip=skip, dfed=dfed[t : t + lags])
                    if dx is not None:
                        p.call("take_columns", W=d, first=0, part=dx[t])
                    p.adding = True
            p.adding = before
            chain.end_back(p)
            self._first_gradient(p, dfed)

        return y, backward

    def _gradients(self, p: Program, fed: Buffer, dy: Buffer | None = None) -> Buffer:
        """Return the gradients of what is fed back, so far: from the loss, and from the last outputs as a state."""
        dfed = p.buffer(f"{self.name}/dfed", *fed.shape)
        p.clear(dfed if dy is None else dfed[: self.lags])
        if dy is not None:
            p.call("spread", dy=dy, dh=dfed[self.lags :])
        last = p.from_last.get(self.memory.state_names()[0])
        if last is not None:
            p.call("lag_back", dW=last.reshape(1, *last.shape), first=0, skip=0, dfed=dfed[-self.lags :])
        return dfed

    def _first_gradient(self, p: Program, dfed: Buffer) -> None:
        """Add the call that gives the gradient of the outputs before the first step."""
        if self.memory.given(p):
            d = p.buffer(f"{self.name}/dy0", dfed.shape[1], self.memory.units)
            p.call("lag", fed=dfed[: self.lags], first=0, W=d.reshape(1, *d.shape))


class Jordan(Feedback):
    """The Jordan layer: h_t = act(x_t Wx + y_(t-1) Wy + b), y_t = out(h_t V + c). Its state is the last output.

    Parameters
    ----------
    units : int
        Number of hidden units H.
    outputs : int
        Number of outputs O.
    activation : str, default "tanh"
        Of the hidden units; names as for SimpleRNN.
    output_activation : str, default "linear"
        Of the outputs.
    training, return_sequences, return_state, stateful
        As for Feedback.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If a size is no positive whole number, a name is unknown, or the arguments do not fit each other.

    Notes
    -----
    Weights, in order: hidden/kernel (D + O, H), Wx above Wy; hidden/bias (H,), output/kernel (H, O), output/bias (O,).
    Source: Jordan 1986.
    """

    kind = "jordan"

    def __init__(
        self,
        units: int,
        outputs: int,
        activation: str = "tanh",
        output_activation: str = "linear",
        training: str | ScheduledSampling = TEACHER,
        return_sequences: bool = True,
        return_state: bool = False,
        stateful: bool = False,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        self.units, self.activation = whole_number("units", units), activation
        self.output_activation = output_activation
        layers = [
            Dense(units, activation, name="hidden"),
            Dense(whole_number("outputs", outputs), output_activation, name="output"),
        ]
        flags = (training, return_sequences, return_state, stateful)
        super().__init__(layers, 1, *flags, input_shape=input_shape, name=name)

    def config(self) -> dict[str, Any]:
        own = {"units": self.units, "outputs": self.outputs, "activation": self.activation}
        return Layer.config(self) | own | {"output_activation": self.output_activation} | self._flags()


def _within(layers: Layer | Sequence[Layer], flags: dict[str, bool]) -> dict[str, Layer]:
    """Return copies of the layers that a step goes through, by their names within the wrapper.

    Raises
    ------
    ValueError
        If one of them cannot go step by step, or two have one name.
    """
    given = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not given:
        raise ValueError("layers of Feedback must hold at least one layer, such as nbrnn.Dense(1).")
    found: dict[str, Layer] = {}
    for layer in given:
        if not isinstance(layer, (Dense, Pointwise, Recurrent)) or isinstance(layer, Returned):
            raise ValueError(
                "layers of Feedback must be Dense, Activation, Softmax, SimpleRNN, LSTM or GRU layers, not "
                f"{type(layer).__name__}."
            )
        recurs = isinstance(layer, Recurrent)
        if isinstance(layer, Recurrent) and (layer.go_backwards or layer.dropout or layer.recurrent_dropout):
            raise ValueError(f"layer {layer.title} within Feedback cannot have go_backwards or dropout.")
        base = layer.title.rpartition("/")[2]
        number = sum(own.rstrip("_0123456789") == base for own in found)
        own = unique_name(layer.name and base, base, [OUTPUTS, *found], number)
        found[own] = copied("layers", layer, own, **({"return_sequences": True} | flags if recurs else {}))
    return found
