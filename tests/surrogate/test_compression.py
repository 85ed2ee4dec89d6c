import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdllm.surrogate import Polynomial, compress, expand, tensor_train
from qdllm.surrogate.bounds import bound, bound_terms
from qdllm.surrogate.compression import form_error
from qdllm.surrogate.forms import SparseForm, TrainForm, form_from_arrays, from_dense, to_dense


def _random(n_variables, n_terms, seed, n_outputs=2):
    """Distinct random terms of falling size."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3**n_variables, size=min(n_terms, 3**n_variables), replace=False)
    digits = codes[:, None] // 3 ** np.arange(n_variables) % 3
    bits = 1 << np.arange(n_variables)
    masks = (((digits == d) * bits).sum(axis=1).astype(np.uint64) for d in (1, 2))
    sizes = 10.0 ** -rng.uniform(0, 5, size=(len(codes), 1))
    return Polynomial(n_variables, *masks, sizes * rng.normal(size=(len(codes), n_outputs)))


def _worst_seen(polynomial, rng):
    """The largest value that a search finds: random angles, then each at its best in turn."""
    angles = rng.uniform(-np.pi, np.pi, size=(64, polynomial.n_variables))
    steps = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for j in list(range(polynomial.n_variables)) * 2:
        tried = np.repeat(angles[:, None], len(steps), axis=1)
        tried[:, :, j] = steps
        sizes = np.abs(polynomial(tried.reshape(-1, angles.shape[1]))).max(axis=1).reshape(64, -1)
        angles = tried[np.arange(64), sizes.argmax(axis=1)]
    return np.abs(polynomial(angles)).max(axis=0)


@given(st.integers(1, 7), st.integers(1, 60), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_bounds_hold_and_are_ordered(n_variables, n_terms, seed):
    polynomial = _random(n_variables, n_terms, seed)
    sharp, norms = bound(polynomial), bound_terms(polynomial)
    coefficients = polynomial.coefficients
    assert (_worst_seen(polynomial, np.random.default_rng(seed)) <= sharp * (1 + 1e-9)).all()
    assert (sharp <= norms * (1 + 1e-9)).all()
    assert (norms <= np.abs(coefficients).sum(axis=0) * (1 + 1e-9)).all()
    two_norms = 2 ** (n_variables / 2) * np.linalg.norm(coefficients, axis=0)
    assert (norms <= two_norms * (1 + 1e-9)).all()


def test_a_bound_can_be_reached():
    """sin x sin y + cos x cos y is 1 at most; the norms say 2^(1/2), the grid comes near."""
    sines, cosines = np.array([3, 0], np.uint64), np.array([0, 3], np.uint64)
    polynomial = Polynomial(2, sines, cosines, np.ones((2, 1)))
    assert bound_terms(polynomial) == pytest.approx(np.sqrt(2))
    assert 1 <= bound(polynomial)[0] < 1.18


@pytest.mark.parametrize("n_variables", [5, 20])
@pytest.mark.parametrize("max_error", [0.3, 0.01])
def test_the_chosen_form_keeps_the_error(n_variables, max_error):
    polynomial = _random(n_variables, 200, 3)
    form, errors = compress(polynomial, max_error)
    assert (errors <= max_error).all()
    np.testing.assert_allclose(errors, form_error(form, polynomial))
    x = np.random.default_rng(1).uniform(-5, 5, size=(500, n_variables))
    assert (np.abs(form(x) - polynomial(x)).max(axis=0) <= errors).all()
    looser, _ = compress(polynomial, 3 * max_error)
    size = sum(a.nbytes for a in form.arrays.values())
    assert sum(a.nbytes for a in looser.arrays.values()) < size


def test_what_no_rounded_form_can_keep_gets_them_all():
    polynomial = _random(4, 50, 0)
    form, errors = compress(polynomial, 1e-13)
    assert (form.precision, len(form.polynomial)) == ("float64", 50)
    assert errors.tolist() == [0, 0]


@pytest.mark.parametrize("n_variables", [1, 6, 30])
def test_a_tensor_train_of_all_ranks_is_the_polynomial(n_variables):
    polynomial = _random(n_variables, 40, 2)
    form = TrainForm(*tensor_train(polynomial, 0.0), "float64")
    x = np.random.default_rng(1).uniform(-5, 5, size=(20, n_variables))
    np.testing.assert_allclose(form(x), polynomial(x), atol=1e-12)
    if n_variables <= 6:
        np.testing.assert_allclose(form.to_dense(), to_dense(polynomial), atol=1e-12)
        np.testing.assert_allclose(from_dense(form.to_dense())(x), polynomial(x), atol=1e-12)


def test_a_product_has_rank_one():
    from qdllm.circuits import make_ansatz

    circuit = make_ansatz("brick", 5, 0)
    found = expand(circuit, np.zeros(0), np.ones((1, 1)), ["ZZZZZ"])
    assert TrainForm(*tensor_train(found.polynomial, 1e-12), "float64").ranks == [1] * 5


@pytest.mark.parametrize("precision", ["float16", "float32", "float64"])
def test_forms_come_back_from_their_arrays(precision):
    polynomial = _random(6, 30, 5)
    x = np.random.default_rng(1).uniform(-5, 5, size=(20, 6))
    for form in (
        SparseForm(polynomial, precision),
        TrainForm(*tensor_train(polynomial, 1e-3), precision),
    ):
        again = form_from_arrays(2, 6, form.arrays)
        assert (again.kind, again.precision, again.size) == (form.kind, precision, form.size)
        assert np.array_equal(again(x), form(x))
        with pytest.raises(ValueError, match=r"do not fit|differ"):
            form_from_arrays(3, 6, form.arrays)
