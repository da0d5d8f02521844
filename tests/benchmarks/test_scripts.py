"""Every benchmark runs, and says how busy the machine was."""

import subprocess
import sys

import pytest

from helpers import ROOT

SHORT = {
    "speed.py": ["--frames", "4"],
    "growth.py": [],
    "startup.py": ["--commands", "preview"],
    "networks.py": [],
    "precisions.py": [],
    "dreams.py": ["--size", "64"],
    "cluster.py": ["--seconds", "1"],
}
"""Script -> arguments with which it takes little time."""


@pytest.mark.soak
@pytest.mark.parametrize("script", SHORT)
def test_a_benchmark_runs(script):
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--rounds", "1", *SHORT[script]]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert (
        "of the processors' time" in printed or "How busy the machine was is not known" in printed
    )


def test_every_script_that_times_anything_is_run():
    scripts = (ROOT / "benchmarks").glob("*.py")
    timing = {
        path.name for path in scripts if "add_rounds(parser)" in path.read_text(encoding="utf-8")
    }
    assert timing == set(SHORT)
