import pytest
import torch

from qdllm.errors import TooLargeError
from qdllm.simulate.memory import available_memory, require_memory


def test_what_does_not_fit_is_refused():
    require_memory(2**20, "a little")
    with pytest.raises(TooLargeError, match=r"simulating 60 qubits needs 16 EiB, this machine has .* free"):
        require_memory(2**64, "60 qubits")


def test_a_gpus_memory_is_its_own_and_holds_what_torch_does_not_use(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2**30, 2**36))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 3 * 2**30)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 2**30)
    gpu = torch.device("cuda", 1)
    assert available_memory(gpu) == 3 * 2**30
    require_memory(3 * 2**30, "a batch", gpu)
    with pytest.raises(TooLargeError, match="needs 4 GiB, the device cuda:1 has 3 GiB free"):
        require_memory(4 * 2**30, "a batch", gpu)
