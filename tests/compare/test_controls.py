import numpy as np

from qdllm.compare import fit_logistic_regression


def test_a_class_with_one_row_needs_no_cross_validation():
    X = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0]])
    y = np.array(["a", "a", "b"])
    model = fit_logistic_regression(X, y, np.zeros(3, dtype=bool))
    assert model.predict_proba(X)[:, 1].argmax() == 2
