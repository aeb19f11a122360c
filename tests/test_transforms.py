"""Transforms: there and back, and what cannot be turned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn.transforms import KINDS, Transform


@given(st.sampled_from(KINDS), st.integers(2, 9), st.integers(1, 3), st.data())
def test_the_way_back_gives_the_rows(kind, rows, columns, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.uniform(0.5, 9.0, (rows, columns))
    chosen = data.draw(st.permutations(range(columns)))[: data.draw(st.integers(1, columns))]
    transform = Transform(kind)
    inside = transform.forward(values, chosen)
    assert inside.shape == (rows - transform.lost, columns)
    others = [c for c in range(columns) if c not in chosen]
    np.testing.assert_array_equal(inside[:, others], values[transform.lost :, others])
    first = values[:1][:, chosen]
    back = transform.inverse(inside[None][:, :, chosen], first)[0]
    np.testing.assert_allclose(back, values[transform.lost :][:, chosen], rtol=1e-12)


def test_a_logarithm_of_what_is_not_above_zero_is_refused_by_row_and_column():
    values = np.array([[1.0, 2.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match=r"column 'b' must be above 0 everywhere, but row 1 .* holds 0"):
        Transform("log").forward(values, [1], ("a", "b"))
    assert Transform("log").forward(values, [0])[1, 1] == 0.0
    with pytest.raises(ValueError, match="transform 'logs' is unknown"):
        Transform("logs")
