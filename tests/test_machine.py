import datetime

import torch

from qdllm.machine import describe_machine


def test_a_measurement_says_where_and_when_it_was_made():
    found = describe_machine("torch")
    assert datetime.date.fromisoformat(found["date"]).year >= 2024
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["torch"] == torch.__version__
