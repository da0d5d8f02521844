import pytest

from forgetting.errors import RequestError
from forgetting.models.custom import CustomModule


def test_factories_make_networks_or_are_refused(tmp_path, monkeypatch):
    (tmp_path / "own_network.py").write_text(
        "from torch import nn\n\n"
        "def make():\n    return nn.Conv2d(3, 3, 1)\n\n"
        "def none():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    # Its only layer makes the picture.
    with pytest.raises(RequestError, match="calls no convolution"):
        CustomModule("own_network:make", shape=(3, 4, 4)).load()
    with pytest.raises(RequestError, match="must return a torch.nn.Module, got a int"):
        CustomModule("own_network:none").load()
    for factory in ("own_network:other", "nowhere_at_all:make", "own_network", ":make"):
        with pytest.raises(
            RequestError, match="cannot be imported .*write package.module:function"
        ):
            CustomModule(factory).load()
    with pytest.raises(RequestError, match="generator.low must be less"):
        CustomModule("own_network:make", low=1, high=1)
    with pytest.raises(RequestError, match="set generator.factory="):
        CustomModule("")
