"""Whole layers in plain NumPy, from the equations: sequences are (samples, time steps, features), as users see them."""

import numpy as np
from reference import ACTIVATIONS, act


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


def cell(layer, x, *states):
    """Return what a recurrent layer gives, and its last states."""
    rows, last = recurrent(layer, x, states or None)
    return [rows if layer.return_sequences else last[0], *last]


MERGES = {
    "concat": lambda y, z: np.concatenate([y, z], axis=-1),
    "sum": lambda y, z: y + z,
    "ave": lambda y, z: (y + z) / 2,
    "mul": lambda y, z: y * z,
    None: lambda y, z: [y, z],
}


def bidirectional(wrapper, x, *states):
    half = len(states) // 2
    (y, *first), (z, *second) = cell(wrapper.both[0], x, *states[:half]), cell(wrapper.both[1], x, *states[half:])
    merged = MERGES[wrapper.merge_mode](y, z[:, ::-1] if wrapper.both[0].return_sequences else z)
    return [*(merged if wrapper.merge_mode is None else [merged]), *first, *second]


def dense(layer, x):
    W, *b = layer.get_weights()
    return activate(layer.activation, x @ W + (b[0] if b else 0.0))


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
    "Add": lambda layer, *xs: sum(xs),
    "Concatenate": lambda layer, *xs: np.concatenate(xs, axis=layer.axis),
}


def forward(layer, *inputs):
    """Return what a layer gives for arrays."""
    return TWINS[type(layer).__name__](layer, *inputs)


def predict(model, xs):
    """Return a model's outputs for its inputs, both as lists, then the last states that a chain's layers return."""
    values, states = dict(enumerate(xs)), []
    for node in model.graph.nodes:
        made = forward(node.layer, *(values[v] for v in node.sources))
        made = made if isinstance(made, list) else [made]
        values.update(zip(node.results, made, strict=False))
        if len(node.results) == 1 and getattr(node.layer, "return_state", False):
            states += made[1:]
    return [values[v] for v in model.graph.outputs] + states
