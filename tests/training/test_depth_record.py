import numpy as np
import pytest
import torch

from stochastic_depth import CheckpointError
from stochastic_depth.training._depth_record import DepthRecord

COSTS = [3.0, 1.0, 4.0]


def record(*, in_part: bool = False) -> DepthRecord:
    def survival(step: int) -> torch.Tensor:
        return torch.tensor([1.0, 0.9, 0.6], dtype=torch.float64) - 0.1 * step

    return DepthRecord(4, COSTS, 0.8, survival, in_part=in_part)


def test_constant_depth_is_the_whole_network():
    assert record().realised(range(4)) == (3.0, 1.0)


def test_realised_depth_and_cost_of_the_whole_network():
    depth = record()
    depth.add(0, torch.tensor([1.0, 0.0, 0.0]))
    depth.add(1, torch.tensor([1.0, 1.0, 0.0]))
    blocks, cost = depth.realised(range(2))
    assert blocks == 1.5
    # Blocks are 0.8 of the network: 0.2 always runs, and of the 0.8 a share (3 + 4) / 16.
    assert cost == pytest.approx(0.2 + 0.8 * (3 + 4) / 16)


def test_gates_of_a_part_of_the_batch_count_by_their_share():
    depth = record(in_part=True)
    depth.add(2, torch.tensor([1.0, 0.0, 0.25]))
    assert depth.realised(range(2, 3)).blocks == 1.25
    assert depth.active[2].tolist() == [1.0, 0.0, 0.25]


def test_expected_depth_follows_the_curriculum():
    blocks, cost = record().expected(range(3))
    assert blocks == pytest.approx(2.5 - 0.3)
    share = (3 * 0.9 + 1 * 0.8 + 4 * 0.5) / 8
    assert cost == pytest.approx(0.2 + 0.8 * share)


def test_a_network_without_blocks():
    depth = DepthRecord(2, [], 1.0, lambda step: torch.ones(0, dtype=torch.float64))
    assert depth.realised(range(2)) == depth.expected(range(2)) == (0.0, 1.0)


def test_reading_takes_the_steps_before_the_checkpoint(tmp_path):
    written, read = record(), record()
    for step in range(3):
        written.add(step, torch.tensor([0.0, float(step == 1), 0.0]))
    written.write(tmp_path / "gates.npy", 3)
    read.read(tmp_path / "gates.npy", 2)
    assert read.active.tolist() == [[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 1]]
    assert np.load(tmp_path / "gates.npy").dtype == np.uint8


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY nonsense"])
def test_gates_that_cannot_be_read(content, tmp_path):
    path = tmp_path / "gates.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"gates.npy must hold the gates of the 2 steps"):
        record().read(path, 2)


def test_gates_of_too_few_steps(tmp_path):
    record().write(tmp_path / "gates.npy", 1)
    with pytest.raises(CheckpointError, match=r"its shape is \(1, 3\)"):
        record().read(tmp_path / "gates.npy", 2)
