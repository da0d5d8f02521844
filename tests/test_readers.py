"""Each kind of file that may come from a stranger is opened in one place, which has the limits."""

import ast

import pytest

from helpers import ROOT

OPENED_IN = {
    "yaml": ("safe_yaml.py",),
    "json": ("files.py",),
    "np": ("safe_npz.py",),
    "numpy": ("safe_npz.py",),
    "OmegaConf": (),
    "Image": ("film/images.py",),
    "iio": ("film/images.py",),
    "ImageFont": ("film/fonts.py",),
    "pickle": (),
    "cv2": (),
    "torch": ("models/generator_zoo.py",),  # files of the package index, whose hashes are known
    "tarfile": ("models/downloads.py",),  # the same
    "zipfile": ("models/downloads.py", "safe_npz.py", "models/checkpoints/pickle_reader.py"),
}
"""Module or class -> the files of the package that open something with it."""

OPENING = {
    *("load", "loads", "load_all", "safe_load", "safe_load_all", "full_load", "unsafe_load"),
    *("parse", "open", "imopen", "imread", "imread_v2", "imiter", "get_reader", "truetype"),
    *("open_memmap", "fromfile", "memmap", "ZipFile", "VideoCapture", "Unpickler"),
    "load_default",
}


def opening_calls(tree):
    """Yield the names of the modules or classes by which a source file opens something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in OPENING and node.value.id in OPENED_IN:
                yield node.value.id
        elif isinstance(node, ast.ImportFrom) and node.module in OPENED_IN:
            names = {alias.name for alias in node.names}
            if names & OPENING:
                yield node.module


def test_files_of_strangers_are_opened_in_one_place():
    package, opened = ROOT / "forgetting", {name: set() for name in OPENED_IN}
    for path in package.rglob("*.py"):
        for name in opening_calls(ast.parse(path.read_text())):
            opened[name].add(path.relative_to(package).as_posix())
    assert {name: paths - {*OPENED_IN[name]} for name, paths in opened.items() if paths} == {
        name: set() for name, paths in opened.items() if paths
    }


@pytest.mark.parametrize(
    "source",
    ["json.loads(x)", "from json import load", "Image.open(p)", "np.load(p)", "pickle.load(f)"],
)
def test_an_opening_is_seen(source):
    assert [*opening_calls(ast.parse(source))]
