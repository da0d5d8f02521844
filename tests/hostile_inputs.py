"""Weights, pictures and fonts of strangers that are meant to harm.

Each is written to a path, in whose folder nothing else may change.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from forgetting.film.fonts import SHIPPED_FONT
from hostile_files import png
from hostile_pickles import HOSTILE_PICKLES
from pickle_files import BLOB, call, dumped, opcodes, zip_bytes

Builder = Callable[[Path], None]


def holding(data: bytes | Callable[[], bytes]) -> Builder:
    """Write these bytes, or those that a function returns: large ones are made when needed."""

    def build(path: Path) -> None:
        path.write_bytes(data if isinstance(data, bytes) else data())

    return build


def sparse(size: int, head: bytes = b"") -> Builder:
    """Make a file of that size, which takes no room on the disk."""

    def build(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return build


def _link_to(target: str) -> Builder:
    return lambda path: path.symlink_to(target)


def safetensors(header: object, length: int | None = None, data: bytes = b"") -> bytes:
    """Return a safetensors file with a header, and perhaps another length than it has."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _bomb() -> bytes:
    """Return an archive whose member unpacks to 1 GB."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/data.pkl", "w", force_zip64=True) as member,
    ):
        for _ in range(1000):
            member.write(bytes(2**20))
    return file.getvalue()


def _picture(kind: str, size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


FILES: Mapping[str, Builder] = {
    "nothing": holding(b""),
    "soup": holding(bytes(range(256)) * 64),
    "pipe": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "device": _link_to("/dev/zero"),
    "itself": lambda path: path.symlink_to(path),
    "terabyte": sparse(2**40),
}
"""Files that are wrong wherever they stand."""

_FLOATS = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 4]}

WEIGHTS: Mapping[str, Builder] = {
    **FILES,
    **{name: holding(data) for name, data in HOSTILE_PICKLES.items()},
    "terabyte of a pickle": sparse(2**40, b"\x80\x04"),
    "deep lists": holding(b"\x80\x04" + b"]" * 200_000 + b"."),
    "deep tuples": holding(b"\x80\x04N" + b"\x85" * 200_000 + b"."),
    "a memo of billions": holding(b"\x80\x04Nr\xff\xff\xff\xff."),
    "a frame of exabytes": holding(b"\x80\x04\x95" + b"\xff" * 8 + b"N."),
    "bytes of exabytes": holding(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"a."),
    "a number of megabytes": holding(opcodes(b"\x8b", struct.pack("<i", 2**20), b"\xff" * 2**20)),
    "a decimal of megabytes": holding(b"I" + b"9" * 2**20 + b"\n."),
    "laughs": holding(
        opcodes(b"](K\x01" + b"e\x94", *(b"](" + b"h\0" * 99 + b"e" for _ in range(9)))
    ),
    "many networks": holding(
        pickle.dumps({f"network {number}": {"a": number} for number in range(40_000)})
    ),
    "a storage inside storages": holding(dumped(call("torch.storage._load_from_bytes", BLOB))),
    "an archive of 1 GB": holding(_bomb),
    "an archive by bzip2": holding(zip_bytes(b"N.", compression=zipfile.ZIP_BZIP2)),
    "members outside": holding(zip_bytes(b"N.", ("../../outside", b"x"), ("/outside", b"x"))),
    "tensors of exabytes": holding(safetensors({"a": _FLOATS}, data=bytes(4))),
    "a header of exabytes": holding(safetensors({}, 2**63)),
    "a header that is too long": holding(safetensors({"a": "b" * 1000}, 10**6)),
    "a header of lists": holding(safetensors(b"[" * 100_000)),
    "settings of lists": holding(
        safetensors(
            {"__metadata__": {"format": "pt", "architecture": "toy", "hyperparameters": "[" * 9999}}
        )
    ),
}

PICTURES: Mapping[str, Builder] = {
    **FILES,
    "PostScript": holding(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run showpage\n"),
    "PostScript with a preview": holding(
        b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, 99, 0, 0, 0, 0, 0)
    ),
    "169 megapixels": holding(lambda: png(13_000, 13_000)),
    "4 gigapixels": holding(_picture("BMP")[:18] + struct.pack("<2i", 65_535, 65_535) + bytes(99)),
    "a GIF of gigapixels": holding(
        b"GIF89a" + b"\xff" * 4 + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;"
    ),
    "half a picture": holding(png(640, 480)[:200]),
    "half a JPEG": holding(_picture("JPEG")[:300]),
    "a drawing": holding(
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://192.0.2.1/'/></svg>"
    ),
    "a list of films": holding(b"#EXTM3U\nhttp://192.0.2.1/a.ts\n"),
    "HDF5": holding(b"\x89HDF\r\n\x1a\n" + bytes(99)),
    "a portable pixmap": holding(b"P6 60000 60000 255\n"),
}

FONTS: Mapping[str, Builder] = {
    **FILES,
    "half a font": holding(SHIPPED_FONT.read_bytes()[:20_000]),
    "tables of exabytes": holding(b"\0\1\0\0\xff\xff" + b"\xff" * 4096),
    "a collection of billions": holding(b"ttcf\0\1\0\0\xff\xff\xff\xff" + bytes(99)),
    "PostScript": holding(b"%!PS-AdobeFont-1.0: x\n(x) run\n"),
    "a web font": holding(b"wOF2" + bytes(99)),
}
