"""What a command imports before it begins to paint, and how."""

import gc
import subprocess
import sys

import pytest

from forgetting.cli.quick_imports import quick_imports
from helpers import THREE_FRAMES

NEEDLESS = {
    "torch._dynamo": "torch's compiler, which takes as long to import as torch itself",
    "forgetting.jobs.dream": "dreams",
    "forgetting.dreams": "dreams",
    "forgetting.api": "the Python API",
    "forgetting.models.classifier_zoo": "the metrics of faces and features",
    "matplotlib": "plots",
    "torchvision": "classifiers",
    "onnxruntime": "faces in pictures",
    "ray": "clusters",
}
"""Modules that a preview of a face has no use for, and what they are for."""


@pytest.mark.slow
def test_a_preview_imports_only_what_it_needs(tmp_path):
    script = (
        "import sys\n"
        "from forgetting.__main__ import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    settings = [name for name in THREE_FRAMES if not name.startswith("engine")]
    command = [sys.executable, "-c", script, "preview", *settings, f"hydra.run.dir={tmp_path}"]
    made = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    imported = made.stderr.splitlines()
    assert {"torch", "forgetting.jobs.portrait"} <= {*imported}
    assert {name: use for name, use in NEEDLESS.items() if name in imported} == {}


@pytest.mark.parametrize("error", [None, ImportError])
def test_nothing_is_collected_while_modules_are_imported(monkeypatch, error):
    monkeypatch.delitem(sys.modules, "torch")
    frozen = gc.get_freeze_count()
    try:
        with quick_imports():
            assert not gc.isenabled()
            imported = [[] for _ in range(1000)]
            if error:
                raise error
    except ImportError:
        pass
    try:
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen + len(imported)
    finally:
        gc.unfreeze()


def test_once_torch_is_imported_collection_goes_on():
    frozen = gc.get_freeze_count()
    with quick_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
