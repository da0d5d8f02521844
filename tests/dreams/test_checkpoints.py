"""Checkpoints of dreams whose frames depend on the frame before."""

import torch

from forgetting.dreams.checkpoints import FrameCheckpoints


def test_damaged_checkpoints_are_ignored(tmp_path):
    checkpoints = FrameCheckpoints(tmp_path, 2)
    for index in range(9):
        checkpoints.save(index, (torch.full((1, 3, 4, 4), index / 10),))
    names = sorted(path.name[:13] for path in tmp_path.iterdir())
    assert names == ["state-0000003", "state-0000005", "state-0000007"]
    index, (tensor,) = checkpoints.latest_before(8)
    assert index == 7
    assert torch.equal(tensor, torch.full((1, 3, 4, 4), 0.7))
    assert checkpoints.latest_before(6)[0] == 5
    assert checkpoints.latest_before(2) is None
    last = next(tmp_path.glob("state-0000007*"))
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    assert checkpoints.latest_before(8)[0] == 5
    assert FrameCheckpoints(None, 1).latest_before(3) is None
