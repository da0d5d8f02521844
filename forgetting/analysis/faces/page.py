"""A page of faces that one clicks: it shows the command that films those that are chosen.

The page loads nothing from elsewhere and needs no server.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from forgetting.analysis.faces.seeds import spans
from forgetting.analysis.gallery.site import STATIC as GALLERY
from forgetting.printable import quoted

STATIC = Path(__file__).parent / "static"
"""The folder of the template, the script and the style sheet."""


SCRIPT = "faces.js"
"""The name of the script; folders of faces are known by it."""


def write_page(
    folder: Path, seeds: Sequence[int], shape: tuple[int, int], words: Sequence[str]
) -> Path:
    """Write the page of the pictures ``faces/SEED.jpg`` in a folder; return its path.

    Args:
        folder: that holds them.
        seeds: of the faces.
        shape: height and width of a picture.
        words: settings that every command repeats, as a user writes them.
    """
    pages = Environment(
        loader=PackageLoader("forgetting.analysis.faces", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    shutil.copyfile(GALLERY / "style.css", folder / "style.css")
    for name in ("faces.css", SCRIPT):
        shutil.copyfile(STATIC / name, folder / name)
    page = pages.get_template("faces.html").render(
        seeds=seeds,
        spans=spans(seeds).replace("-", " to "),
        shape=shape,
        words=words,
        command=" ".join(["forgetting", "render", *map(quoted, words)]),
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path
