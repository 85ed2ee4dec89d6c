"""What is measured about costs, and the processes that it is measured in."""

import math
import os
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from qdllm.compare import Workers, available_cores, best_time, one_thread
from qdllm.compare.costs import peak_memory, saved_bytes
from qdllm.errors import WorkError


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a high-water mark that can be reset")
@pytest.mark.parametrize("megabytes", [40, 160, 80])
def test_memory_is_the_growth_while_the_block_runs(megabytes):
    with peak_memory() as found:
        taken = np.ones(megabytes * 2**20 // 8)
        del taken
    assert megabytes - 2 < found["megabytes"] < megabytes + 20


def test_one_thread_while_it_is_asked_for_and_as_before_after_that():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_bytes_are_those_of_what_was_really_saved():
    def save(folder):
        (folder / "weights").write_bytes(bytes(1000))
        (folder / "below").mkdir()
        (folder / "below" / "more").write_bytes(bytes(24))

    assert saved_bytes(save) == 1024


def test_every_piece_is_asked_about_in_every_round():
    asked = []
    assert 0 < best_time(asked.append, [1, 2, 3]) < math.inf
    assert asked == [1, 2, 3] * 5


@pytest.mark.parametrize("count", [1, 2])
def test_each_item_comes_back_with_its_result(count):
    with Workers(count) as workers:
        assert sorted(workers.map(math.factorial, [3, 1, 2])) == [(1, 1), (2, 2), (3, 6)]
        assert list(workers.map(math.factorial, [])) == []


def test_a_killed_process_is_one_clear_line():
    with pytest.raises(WorkError, match="try fewer --workers"), Workers(2) as workers:
        list(workers.map(os._exit, [1]))


def test_an_error_in_a_process_is_that_error_here():
    with pytest.raises(ValueError, match="negative"), Workers(2) as workers:
        list(workers.map(math.factorial, [-1]))


def test_there_is_a_core():
    assert available_cores() >= 1
