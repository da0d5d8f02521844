"""Files that are meant to harm: folders of runs, each damaged in one way.

Every builder gets the copy of a finished run and spoils it. ``OUTSIDE`` is the name of a folder
beside that of the runs; what lies in it must be neither read nor changed.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forgetting.ablation import plan as plans

OUTSIDE = "outside"

Builder = Callable[[Path], None]


def outside(run: Path) -> Path:
    """Return the folder that must be neither read nor changed; ``run`` lies in that of the runs."""
    return run.parents[1] / OUTSIDE


def write_outside(folder: Path) -> None:
    """Write the files that links of hostile runs lead to."""
    folder.mkdir()
    for name in ("film.mp4", "plan.npz", "recipe.yaml", "poster.png"):
        (folder / name).write_bytes(b"a secret")
    (folder / "segments").mkdir()
    (folder / "lock").write_bytes(b"a secret")


def link(name: str) -> Builder:
    """Put a link to the file of that name outside in the place of a file."""

    def build(run: Path) -> None:
        _remove(run / name)
        (run / name).symlink_to(outside(run) / name)

    return build


def pipe(name: str) -> Builder:
    def build(run: Path) -> None:
        _remove(run / name)
        os.mkfifo(run / name)

    return build


def device(name: str) -> Builder:
    def build(run: Path) -> None:
        _remove(run / name)
        (run / name).symlink_to("/dev/zero")

    return build


def content(name: str, data: bytes | str) -> Builder:
    """Write other bytes into a file."""

    def build(run: Path) -> None:
        (run / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return build


def sparse(name: str, size: int) -> Builder:
    """Make a file of that size, which takes no room on the disk."""

    def build(run: Path) -> None:
        with (run / name).open("r+b") as file:
            file.truncate(size)

    return build


def arrays(**changed: Any) -> Builder:
    """Replace arrays of the plan; None removes one."""

    def build(run: Path) -> None:
        values = dict(np.load(run / "plan.npz")) | changed
        with (run / "plan.npz").open("wb") as file:
            np.savez_compressed(file, **{k: v for k, v in values.items() if v is not None})

    return build


def recipe(change: Callable[[str], str]) -> Builder:
    """Change the recipe, in the plan and beside the film."""

    def build(run: Path) -> None:
        plan = plans.load_plan(run / "plan.npz")
        changed = change(plan.recipe)
        assert changed != plan.recipe
        plans.save_plan(replace(plan, recipe=changed), run / "plan.npz")
        (run / "recipe.yaml").write_bytes(changed.encode("utf-8", "surrogatepass"))

    return build


def replaced(old: str, new: str) -> Builder:
    return recipe(lambda text: text.replace(old, new, 1))


def summary(text: str) -> Builder:
    return content("summary.json", text)


def members(method: int | None = None, flag: int = 0, name: str = "rank.npy") -> Builder:
    """Change how a member of the plan claims to be compressed, or to be encrypted."""

    def build(run: Path) -> None:
        data = bytearray((run / "plan.npz").read_bytes())
        for beginning, flags, length in ((b"PK\3\4", 6, 26), (b"PK\1\2", 8, 28)):
            header = 30 if length == 26 else 46
            at = data.find(beginning)
            while at >= 0:
                size = struct.unpack_from("<H", data, at + length)[0]
                if bytes(data[at + header : at + header + size]) == name.encode():
                    struct.pack_into("<H", data, at + flags, flag)
                    if method is not None:
                        struct.pack_into("<H", data, at + flags + 2, method)
                at = data.find(beginning, at + 4)
        (run / "plan.npz").write_bytes(data)

    return build


def unpacking_to(size: int, method: int) -> Builder:
    """Add an array that unpacks to so many bytes."""

    def build(run: Path) -> None:
        columns = np.load(run / "plan.npz")["rank"].size
        head = io.BytesIO()
        shape = {"descr": "<f4", "fortran_order": False, "shape": (size // 4 // columns, columns)}
        np.lib.format.write_array_header_1_0(head, shape)
        size_of_data = 4 * columns * shape["shape"][0]
        with (
            zipfile.ZipFile(run / "plan.npz", "a", method) as archive,
            archive.open("ablation.npy", "w", force_zip64=True) as file,
        ):
            file.write(head.getvalue())
            for _ in range(size_of_data // 2**24):
                file.write(bytes(2**24))
            file.write(bytes(size_of_data % 2**24))

    return build


def giant_png(run: Path) -> None:
    """Write a poster of 169 million pixels, 160 kB in the file."""
    (run / "poster.png").write_bytes(png(13_000, 13_000))


def png(width: int, height: int) -> bytes:
    """Return a black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes((width + 1) * height), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def playlist(run: Path) -> None:
    """Make the film a list of other films for ffmpeg."""
    film = outside(run) / "film.mp4"
    (run / "film.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://" + f"{film}\n#EXT-X-ENDLIST\n"
    )


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _laughs(text: str) -> str:
    levels = [f"  a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9)]
    return text + "laughs:\n  a0: &a0 [ha]\n" + "".join(levels)


CURVE = "frame,seconds,gone,structure\n"

RUNS: Mapping[str, tuple[str, Builder]] = {
    # files that are no files
    "film link": ("film.mp4 is a link", link("film.mp4")),
    "film pipe": ("film.mp4 is not a regular file", pipe("film.mp4")),
    "film device": ("film.mp4 is a link", device("film.mp4")),
    "plan link": ("plan.npz is a link", link("plan.npz")),
    "plan pipe": ("plan.npz is not a regular file", pipe("plan.npz")),
    "plan device": ("plan.npz is a link", device("plan.npz")),
    "recipe link": ("recipe.yaml is a link", link("recipe.yaml")),
    "recipe pipe": ("recipe.yaml is not a regular file", pipe("recipe.yaml")),
    "recipe device": ("recipe.yaml is a link", device("recipe.yaml")),
    "summary pipe": ("summary.json is not a regular file", pipe("summary.json")),
    "summary device": ("summary.json is a link", device("summary.json")),
    "curve pipe": ("curve.csv is not a regular file", pipe("curve.csv")),
    "curve device": ("curve.csv is a link", device("curve.csv")),
    # plans
    "plan noise": ("is not a plan", content("plan.npz", bytes(range(256)) * 8)),
    "plan empty": ("is not a plan", content("plan.npz", b"")),
    "plan sparse": ("is not a plan", sparse("plan.npz", 2**40)),
    "plan of gigabytes": ("claims to unpack to", unpacking_to(2**28, zipfile.ZIP_DEFLATED)),
    "plan by LZMA": ("another method than deflate", unpacking_to(2**24, zipfile.ZIP_LZMA)),
    "plan encrypted": ("a member is encrypted", members(flag=1)),
    "plan by an unknown method": ("another method than deflate", members(method=97)),
    "plan with bad checksums": ("is not a plan", members(method=0)),
    "plan of one layer": ("is not a plan", arrays(layers=np.array("all"))),
    "plan of numbers": ("layers is of the type", arrays(layers=np.array([1, 2, 3]))),
    "plan of odd units": (
        "no name of a layer",
        arrays(layers=np.array(["souls/x", "b", "c", "d"])),
    ),
    "plan of equal layers": ("names of their own", arrays(layers=np.array(["b", "b", "c", "d"]))),
    "plan of endless channels": (
        "is not a plan",
        arrays(channels=np.full(4, np.inf)),
    ),
    "plan of negative channels": ("has -", arrays(channels=np.array([-4, 28, 16, 12]))),
    "plan of wide maps": (
        "units of",
        arrays(resolutions=np.array([[2**60, 1]] * 4)),
    ),
    "plan without ranks": ("is not a plan", arrays(rank=None)),
    "plan of half a letter": ("is not a plan", arrays(recipe=np.array("\ud800"))),
    # recipes
    "recipe of laughs": ("larger than a config can be", recipe(_laughs)),
    "recipe of depth": ("the recipe in plan", recipe(lambda text: text + "x: " + "[" * 20_000)),
    "recipe of soup": ("holds no config", recipe(lambda text: "carrots: 3\n")),
    "recipe with an object": (
        "holds the tag",
        recipe(lambda text: text + "x: !!python/object/apply:os.system [true]\n"),
    ),
    "recipe with a resolver": (
        "an interpolation",
        recipe(lambda text: text + "x: ${oc.env:HOME}\n"),
    ),
    "recipe of digits": (
        "holds a number of 400 characters",
        replaced("  shape:\n", f"  shape: {'9' * 400}\n  x:\n"),
    ),
    "recipe of many digits": ("holds a number", recipe(lambda text: text + f"x: {'9' * 5000}\n")),
    "recipe of words": ("must be a number", replaced("    fps: 3\n", "    fps: fast\n")),
    "recipe of lists": ("must be|no", replaced("    format: mp4\n", "    format: [mp4]\n")),
    "recipe without a film": ("holds no config", replaced("  film:\n", "  movie:\n")),
    "recipe with a date": ("", recipe(lambda text: text + "x: 2001-01-01\n")),
    "recipe with another film": ("has|setting", replaced("    title: null\n", "    heap: 3\n")),
    "recipe of wrong parts": ("", replaced("  ordering:\n", "  ordering: 3\n  disorder:\n")),
    "recipe too large": ("more than|larger", sparse("recipe.yaml", 2**32)),
    # summaries and curves
    "summary of soup": ("cannot be read as JSON", summary("{carrots")),
    "summary of depth": ("cannot be read as JSON", summary("[" * 100_000)),
    "summary of a list": ("holds no JSON object", summary("[1, 2]")),
    "summary of nothing": (
        "no finite number",
        summary('{"evenness": NaN, "render_seconds": Infinity}'),
    ),
    "summary of digits": (
        "a number of 401 digits",
        summary(json.dumps({"evenness": 10**400, "half_life": [1]})),
    ),
    "summary too large": ("more than", sparse("summary.json", 2**32)),
    "curve of soup": ("no forgetting curve", content("curve.csv", "carrots\n3\n")),
    "curve of nothing": ("no forgetting curve", content("curve.csv", "")),
    "curve of heads": ("no forgetting curve", content("curve.csv", CURVE)),
    "curve of infinity": ("count up", content("curve.csv", f"{CURVE}0,inf,0,0\n1,inf,1,1\n")),
    "curve of NaN": ("count up", content("curve.csv", f"{CURVE}nan,0,0,0\n1,nan,1,1\n")),
    "curve that goes back": ("count up", content("curve.csv", f"{CURVE}1,1,0,0\n0,0,1,1\n")),
    "curve of shares": ("in .0, 1.", content("curve.csv", f"{CURVE}0,0,-5,0\n1,1,7,1\n")),
    "curve of large numbers": ("beyond", content("curve.csv", f"{CURVE}0,0,0,0\n1,1,1,1e300\n")),
    "curve of letters": ("no forgetting curve", content("curve.csv", f"{CURVE}0,0,0,a\n")),
    "curve of a long field": (
        "no forgetting curve",
        content("curve.csv", CURVE + "0,0,0," + "9" * 200_000 + "x\n"),
    ),
    "curve too large": ("more than", sparse("curve.csv", 2**32)),
}
"""Name -> why such a run cannot be read (a pattern; empty if it can), and its builder."""

FILMS: Mapping[str, tuple[str, Builder]] = {
    "poster link": ("poster.png is a link", link("poster.png")),
    "poster pipe": ("poster.png is not a regular file", pipe("poster.png")),
    "poster of PostScript": (
        "is no picture",
        content("poster.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
    ),
    "poster of 169 megapixels": ("pixels are opened", giant_png),
    "poster missing": ("is no picture", lambda run: _remove(run / "poster.png")),
    "film of noise": ("cannot be decoded|is no film", content("film.mp4", bytes(range(256)) * 99)),
    "film of films": ("cannot be decoded|is no film", playlist),
}
"""Name -> why the pictures of such a run cannot be shown (a pattern), and its builder."""
