"""What the engine on OpenVINO needs of the library itself."""

import subprocess
import sys

import pytest

SCRIPT = """
import socket
import sys

import torch

from forgetting.engines import openvino_graphs

def refused(*_):
    raise SystemExit("a connection was opened")

socket.socket.connect = refused
openvino_graphs._trace(torch.nn.ReLU(), torch.ones(1, 3))
assert "openvino.tools.ovc" in sys.modules, "nothing was converted"
reporting = [name for name, module in sys.modules.items() if module and "_telemetry" in name]
print("\\n".join(reporting))
"""


@pytest.mark.slow
def test_nothing_is_reported_to_the_maker_of_openvino():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""
