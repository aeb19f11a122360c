"""nbrnn.utils: classes as rows, padded sequences, one seed for all."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_bad_input import refused

import nbrnn
from nbrnn.utils import pad_sequences, set_random_seed, to_categorical


@given(st.lists(st.integers(0, 6), min_size=1), st.integers(0, 3))
def test_rows_hold_a_one_where_the_class_is(labels, more):
    rows = to_categorical(labels)
    assert rows.shape == (len(labels), max(labels) + 1) and (rows.argmax(axis=1) == labels).all()
    assert (rows.sum(axis=1) == 1).all() and set(np.unique(rows)) <= {0.0, 1.0}
    wide = to_categorical(np.array(labels)[:, None], num_classes=max(labels) + 1 + more)
    assert wide.shape == (len(labels), max(labels) + 1 + more) and (wide[:, : rows.shape[1]] == rows).all()


@pytest.mark.parametrize(
    ("x", "classes", "words"),
    [
        ([0, 3], 3, ("x must hold classes, whole numbers from 0 to 2, but holds 3",)),
        ([-1], None, ("whole numbers of at least 0, but holds -1",)),
        ([0.5], None, ("but holds 0.5",)),
        ([], None, ("x holds no classes",)),
        ([0], 0, ("num_classes must be a whole number of at least 1",)),
        (["a"], None, ("x must hold real numbers only",)),
        ([np.nan], None, ("but holds nan",)),
    ],
)
def test_what_is_no_class_is_refused(x, classes, words):
    refused(lambda: to_categorical(x, classes), *words)


ends = st.sampled_from(("pre", "post"))


@given(st.lists(st.lists(st.integers(1, 99), max_size=5), min_size=1), st.integers(1, 7) | st.none(), ends, ends)
def test_sequences_stand_at_their_end_of_the_array(sequences, maxlen, padding, truncating):
    if not any(sequences):
        refused(lambda: pad_sequences(sequences, maxlen), "a sequence that is not empty")
        return
    out = pad_sequences(sequences, maxlen, padding=padding, truncating=truncating, value=-1)
    steps = max(map(len, sequences)) if maxlen is None else maxlen
    assert out.shape == (len(sequences), steps) and out.dtype == np.int32
    for row, sequence in zip(out, sequences, strict=True):
        kept = (sequence[-steps:] if truncating == "pre" else sequence[:steps]) if sequence else []
        filler = [-1] * (steps - len(kept))
        assert row.tolist() == (filler + kept if padding == "pre" else kept + filler)


def test_padded_sequences_with_a_mask_are_sequences_of_different_lengths():
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, 2)) for n in (3, 5, 2)]
    model = nbrnn.Sequential([nbrnn.Masking(), nbrnn.LSTM(3), nbrnn.Dense(1)], (None, 2), seed=0, dtype="float64")
    padded = pad_sequences(sequences, dtype="float64")
    np.testing.assert_allclose(model.predict(padded), model.predict(sequences), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pad_sequences([1, 2]), ("sequences must be a list of sequences such as", "not [1, 2]")),
        (lambda: pad_sequences("ab"), ("sequences must be a list of sequences such as",)),
        (lambda: pad_sequences([["a"]]), ("sequences[0] must hold real numbers only",)),
        (lambda: pad_sequences([[1], [[1, 2]]]), ("sequences[1] has steps of shape (2,)", "has ()")),
        (lambda: pad_sequences([[1]], padding="left"), ("padding 'left' is unknown",)),
        (lambda: pad_sequences([[1]], truncating="left"), ("truncating 'left' is unknown",)),
        (lambda: pad_sequences([[1]], maxlen=0), ("maxlen must be a whole number of at least 1, not 0",)),
        (lambda: set_random_seed(-1), ("seed must be a whole number of at least 0, not -1",)),
        (lambda: set_random_seed(2**32), ("seed must be below 2**32",)),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    refused(call, *words)


@pytest.fixture
def unseeded(monkeypatch):
    """Put the generators back, and let seeds be drawn freely again."""
    monkeypatch.setattr(nbrnn.initializers, "_draws", None)
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002


@pytest.mark.usefixtures("unseeded")
def test_one_seed_decides_models_and_generators():
    def drawn(seed):
        set_random_seed(seed)
        models = [nbrnn.Sequential([nbrnn.Dropout(0.5), nbrnn.Dense(2)], (3,)) for _ in range(2)]
        dropped = models[0].predict(np.ones((4, 3)), training=True).tolist()
        return [m.seed for m in models], dropped, random.random(), np.random.random()  # noqa: NPY002

    first, again, other = drawn(7), drawn(7), drawn(8)
    assert first == again and first[0][0] != first[0][1]
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert nbrnn.Sequential([nbrnn.Dense(1)], (3,), seed=5).seed == 5


def test_pictures_are_where_keras_has_them():
    assert nbrnn.utils.plot_model is nbrnn.plot_model
