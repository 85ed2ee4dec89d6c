"""How shots are divided over the circuits of an input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdllm.devices.reading import Runs, allot_shots


@given(
    st.lists(
        st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=4).map(lambda w: [x / sum(w) for x in w]),
        min_size=1,
        max_size=5,
    ),
    st.integers(4, 300),
    st.sampled_from([1, 100]),
)
def test_shots_are_divided_in_proportion_and_none_is_added(weights, steps, step):
    inputs = np.repeat(np.arange(len(weights)), [len(of_one) for of_one in weights])
    flat = np.array([weight for of_one in weights for weight in of_one])
    shots = allot_shots(Runs(None, inputs, inputs, flat), steps * step, step)
    assert (np.bincount(inputs, shots) == steps * step).all()
    assert (shots >= step).all()
    assert (shots % step == 0).all()
    most = flat == np.array([max(weights[i]) for i in inputs])
    assert (shots[most] <= np.ceil(flat[most] * steps) * step).all()


def test_no_circuit_goes_without_a_shot():
    runs = Runs(None, np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.999, 0.001, 1.0]))
    assert allot_shots(runs, 8).tolist() == [7, 1, 8]
