from pathlib import Path

import numpy as np
import pytest

from qdllm.data import asset_path
from qdllm.encoders import TransformerEncoder
from qdllm.errors import RequestError


def test_minilm_knows_what_is_alike(tmp_path: Path) -> None:
    try:
        asset_path("minilm")
    except RequestError:
        pytest.skip("the asset minilm is not here: qdllm fetch minilm")
    encoder = TransformerEncoder("minilm", cache_dir=tmp_path)
    x = encoder.encode(
        ["A man plays the guitar.", "Someone is making music.", "The bank raised its interest rates."]
    )
    assert (encoder.dim, encoder.n_parameters) == (384, 22_713_728)
    assert encoder.recipe == ("mean", True, 256, "", False)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    assert x[0] @ x[1] > 0.2 + x[0] @ x[2]
