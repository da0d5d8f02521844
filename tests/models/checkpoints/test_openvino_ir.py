import pytest

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints.openvino_ir import Graph


def test_a_graph_that_is_none():
    with pytest.raises(CheckpointError, match="not an OpenVINO IR"):
        Graph(b"<net", b"", "net.xml")
    xml = b"""<net><layers><layer id="0" type="Const" name="w">
    <data element_type="f32" shape="2" offset="0" size="8"/></layer></layers><edges/></net>"""
    assert Graph(xml, bytes(8), "net.xml").named("w").tolist() == [0, 0]
    with pytest.raises(CheckpointError, match="constant 'w' cannot be read"):
        Graph(xml, bytes(4), "net.xml").named("w")
    with pytest.raises(CheckpointError, match="has no constant 'v'"):
        Graph(xml, bytes(8), "net.xml").named("v")
