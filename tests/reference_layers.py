"""Whole layers in plain NumPy, from the equations: sequences are (samples, time steps, features), as users see them."""

import inspect

import numpy as np
from reference import ACTIVATIONS, act

import nbrnn
from nbrnn.recurrent import Recurrent
from nbrnn.rehearsal import lengths


def activate(name, a):
    """Apply an activation to every number, or softmax to the last axis."""
    if name == "softmax":
        powers = np.exp(a - a.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    return np.vectorize(act)(a, ACTIVATIONS.index(name))


def recurrent(layer, x, states=None, x_mask=1.0, h_mask=1.0):
    """Return every state h, in the order in which the layer takes the steps, and the last states.

    A mask of variational dropout is the same at all steps: `x_mask` of the inputs, `h_mask` of h_(t-1).
    """
    kind, H = type(layer).__name__, layer.units
    Wx, Wh, *bias = layer.get_weights()
    b = bias[0] if bias else np.zeros(Wx.shape[1])
    h, c = [np.zeros((len(x), H)) for _ in "hc"] if states is None else [*states, None][:2]
    rows, gate, new = [], getattr(layer, "recurrent_activation", None), layer.activation
    for t in range(x.shape[1])[:: -1 if layer.go_backwards else 1]:
        own, seen = x[:, t] * x_mask, h * h_mask
        if kind == "SimpleRNN":
            h = activate(new, own @ Wx + seen @ Wh + b)
        elif kind == "LSTM":
            i, f, g, o = np.split(own @ Wx + seen @ Wh + b, 4, axis=1)
            c = activate(gate, f) * c + activate(gate, i) * activate(new, g)
            h = activate(gate, o) * activate(new, c)
        elif layer.reset_after:
            both = b if bias else np.zeros((2, 3 * H))
            (z, r, n), (uz, ur, un) = np.split(own @ Wx + both[0], 3, 1), np.split(seen @ Wh + both[1], 3, 1)
            z, r = activate(gate, z + uz), activate(gate, r + ur)
            h = z * h + (1 - z) * activate(new, n + r * un)
        else:
            z, r, n = np.split(own @ Wx + b, 3, axis=1)
            z, r = activate(gate, z + seen @ Wh[:, :H]), activate(gate, r + seen @ Wh[:, H : 2 * H])
            h = z * h + (1 - z) * activate(new, n + (r * seen) @ Wh[:, 2 * H :])
        rows.append(h)
    return np.stack(rows, axis=1), [h, c] if kind == "LSTM" else [h]


def held(layer, x, mask):
    """Return what a recurrent layer gives at every step, and its last h: states of the steps that count, held."""
    y, last = np.zeros((*x.shape[:2], layer.units)), np.zeros((len(x), layer.units))
    for i, valid in enumerate(mask):
        steps = range(x.shape[1])[:: -1 if layer.go_backwards else 1]
        rows = x[i : i + 1, valid]
        states = iter(states_of(layer, rows)[0][0] if valid.any() else ())
        for place, t in enumerate(steps):
            last[i] = next(states) if valid[t] else last[i]
            y[i, place] = last[i] if valid[t] or not layer.zero_output_for_mask else 0
    return y, last


def states_of(layer, x, states=None):
    """Return every state and the last ones, of the package's cells and of custom ones."""
    return (custom if isinstance(layer, nbrnn.Cell) else recurrent)(layer, x, states)


def custom(layer, x, states=None):
    """Run a custom cell's step as plain Python."""
    own, sizes = layer.steps, {"B": len(x), "D": x.shape[2], "H": layer.units}
    weights = dict(zip(own.params, layer.get_weights(), strict=True))
    now, rows = [np.zeros((len(x), layer.units)) for _ in own.carry] if states is None else states, []
    for t in range(x.shape[1])[:: -1 if layer.go_backwards else 1]:
        given = {"x": x[:, t], **{f"{name}_prev": s for name, s in zip(own.carry, now, strict=True)}}
        made = {name: np.zeros_like(s) for name, s in zip(own.carry, now, strict=True)}
        made |= {name: np.zeros(lengths(dims, sizes)) for name, dims in own.tape.items()}
        names = inspect.signature(own.forward).parameters
        own.forward(**{n: v for n, v in (weights | layer.values | given | made).items() if n in names})
        now = [made[name] for name in own.carry]
        rows.append(now[0])
    return np.stack(rows, axis=1), now


def cell(layer, x, *states, mask=None):
    """Return what a recurrent layer gives, and its last states where no mask is known."""
    if mask is not None:
        rows, last = held(layer, x, mask)
        return [rows if layer.return_sequences else rows[:, -1]]
    rows, last = states_of(layer, x, list(states) or None)
    return [rows if layer.return_sequences else last[0], *last]


def feedback(layer, x):
    """Return what layers give that see their own last outputs."""
    fed, states, rows = [np.zeros((len(x), layer.outputs))] * layer.lags, {}, []
    for t in range(x.shape[1]):
        y = np.concatenate([x[:, t], *fed], axis=1)
        for one in layer.steps:
            if isinstance(one, Recurrent):
                _, states[one.name] = states_of(one, y[:, None], states.get(one.name))
                y = states[one.name][0]
            else:
                y = forward(one, y)
        rows.append(y)
        fed = [y, *fed[:-1]]
    return np.stack(rows, axis=1) if layer.return_sequences else rows[-1]


MERGES = {
    "concat": lambda y, z: np.concatenate([y, z], axis=-1),
    "sum": lambda y, z: y + z,
    "ave": lambda y, z: (y + z) / 2,
    "mul": lambda y, z: y * z,
    None: lambda y, z: [y, z],
}


def bidirectional(wrapper, x, *states, mask=None):
    half, ways = len(states) // 2, wrapper.both
    (y, *first), (z, *second) = cell(ways[0], x, *states[:half], mask=mask), cell(ways[1], x, *states[half:], mask=mask)
    merged = MERGES[wrapper.merge_mode](y, z[:, ::-1] if ways[0].return_sequences else z)
    return [*(merged if wrapper.merge_mode is None else [merged]), *first, *second]


def dense(layer, x):
    W, *b = layer.get_weights()
    return activate(layer.activation, x @ W + (b[0] if b else 0.0))


def masking(layer, x, mask=None):
    return x * out_mask(layer, [x], [mask])[..., None]


TWINS = {
    "SimpleRNN": cell,
    "LSTM": cell,
    "GRU": cell,
    "Bidirectional": bidirectional,
    "TimeDistributed": lambda wrapper, x: np.stack([forward(wrapper.layer, x[:, t]) for t in range(x.shape[1])], 1),
    "Dense": dense,
    "Activation": lambda layer, x: activate(layer.activation, x),
    "Softmax": lambda layer, x: activate("softmax", x),
    "Flatten": lambda layer, x: x.reshape(len(x), -1),
    "Dropout": lambda layer, x: x,  # a prediction drops nothing
    "Embedding": lambda layer, x: layer.get_weights()[0][x.reshape(len(x), -1).astype(int)],
    "RepeatVector": lambda layer, x: np.stack([x] * layer.n, axis=1),
    "Reshape": lambda layer, x: x.reshape(len(x), *layer.target_shape),
    "Permute": lambda layer, x: x.transpose(0, *layer.dims),
    "Masking": masking,
    "Feedback": feedback,
    "Jordan": feedback,
    "Add": lambda layer, *xs: sum(xs),
    "Concatenate": lambda layer, *xs: np.concatenate(xs, axis=layer.axis),
}
SKIPPING = (Recurrent, nbrnn.Bidirectional, nbrnn.Masking)  # what masks change


def forward(layer, *inputs, **mask):
    """Return what a layer gives for arrays, and a mask of its steps where it leaves some out."""
    twin = cell if isinstance(layer, nbrnn.Cell) else TWINS[type(layer).__name__]
    return twin(layer, *inputs, **mask)


def out_mask(layer, inputs, masks):
    """Return the mask of what a layer gives."""
    if isinstance(layer, nbrnn.Masking):
        own = (inputs[0] != layer.mask_value).any(axis=-1)
        return own if masks[0] is None else own & masks[0]
    if isinstance(layer, nbrnn.Concatenate) and layer.axis in (1, -2) and inputs[0].ndim == 3 and any_of(masks):
        ones = [np.ones(x.shape[:2], bool) if m is None else m for x, m in zip(inputs, masks, strict=True)]
        return np.concatenate(ones, axis=1)
    return None if any(mask is None for mask in masks) else np.logical_or.reduce(masks)


def any_of(masks):
    return any(mask is not None for mask in masks)


def predict(model, xs, masks=None):
    """Return a model's outputs for its inputs, both as lists, then the last states that a chain's return."""
    values, states, seen = dict(enumerate(xs)), [], dict(enumerate(masks or [None] * len(xs)))
    for node in model.graph.nodes:
        inputs, own = [values[v] for v in node.sources], [seen.get(v) for v in node.sources]
        skips = isinstance(node.layer, SKIPPING) and own[0] is not None
        made = forward(node.layer, *inputs, **({"mask": own[0]} if skips else {}))
        made = made if isinstance(made, list) else [made]
        left = out_mask(node.layer, inputs, own)
        for v, value in zip(node.results, made, strict=False):
            values[v], seen[v] = value, left if value.ndim == 3 else None
        if len(node.results) == 1 and getattr(node.layer, "return_state", False):
            states += made[1:]
    return [values[v] for v in model.graph.outputs] + states
