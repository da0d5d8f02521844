import torch

from forgetting.dreams.checkpoints import FrameCheckpoints


def test_what_was_damaged_is_dreamed_again(tmp_path, dream_config):
    kept = FrameCheckpoints(tmp_path, 2)
    for index in range(9):
        kept.keep(index, (torch.full((1, 3, 4, 4), index / 10),))
    names = sorted(path.name[:13] for path in tmp_path.iterdir())
    assert names == ["state-0000003", "state-0000005", "state-0000007"]
    index, (tensor,) = kept.before(8)
    assert index == 7
    assert torch.equal(tensor, torch.full((1, 3, 4, 4), 0.7))
    assert kept.before(6)[0] == 5
    assert kept.before(2) is None
    last = next(tmp_path.glob("state-0000007*"))
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    assert kept.before(8)[0] == 5
    assert FrameCheckpoints(None, 1).before(3) is None
