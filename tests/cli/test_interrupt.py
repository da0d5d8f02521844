"""Ctrl-C ends with one sentence and exit code 130, whatever was running."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

LONG = ["generator=toy", "engine=torch", "film.duration=3600", "film.size=64", "pacing=units"]


def interrupt(arguments, folder, line=None, delay=0.0):
    """Run a command, press Ctrl-C after a line of its output; return exit code and output."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "forgetting", *arguments],
        cwd=folder,
        env=os.environ | {"FORGETTING_CACHE": str(folder / "cache")},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        restore_signals=True,
    )
    printed = ""
    while line is not None and line not in printed:
        printed = process.stdout.readline()
        assert printed, "it ended"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", *LONG],
        ["render", "-m", *LONG, "latent.seed=1,2"],
        ["dream", "classifier=squeezenet-imagenet", "film.size=64", "measure.names=none"],
    ],
    ids=["film", "sweep", "dream"],
)
def test_while_frames_are_rendered(tmp_path, arguments, request):
    if "dream" in arguments:
        weights = request.getfixturevalue("classifier_weights")
        arguments = [*arguments, f"classifier.weights={weights}", "film.duration=600"]
    code, output = interrupt(arguments, tmp_path, "rendering frames ...", delay=0.2)
    assert code == 130
    (sentence,) = output.splitlines()
    assert sentence.startswith("forgetting: interrupted; ")
    assert ("continues the sweep" in sentence) == ("-m" in arguments)


@pytest.mark.parametrize("verb", ["gallery", "render"])
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.3])
def test_while_libraries_are_imported(tmp_path, verb, delay):
    """Before Python itself has started, nobody can say anything."""
    arguments = [verb, *LONG] if verb == "render" else [verb, str(tmp_path)]
    code, output = interrupt(arguments, tmp_path, delay=delay)
    if "forgetting: there is no finished film" in output:
        return  # it was faster
    assert code in (130, -signal.SIGINT)
    if code == 130:
        assert [line for line in output.splitlines() if "forgetting: interrupted; " in line]
    assert "Traceback" not in output or code == -signal.SIGINT
