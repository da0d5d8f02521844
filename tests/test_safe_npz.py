"""Arrays from strangers: what a header claims is checked before memory is taken."""

import io
import zipfile

import numpy as np
import pytest

from forgetting import safe_npz
from forgetting.errors import RequestError


def npy(shape, data=b"", descr="<f4", version=(1, 0)):
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    write = {1: np.lib.format.write_array_header_1_0, 2: np.lib.format.write_array_header_2_0}
    write[version[0]](file, header)
    return file.getvalue() + data


def write(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_what_numpy_writes_is_read(tmp_path):
    arrays = {
        "whole": np.arange(6).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "other end": np.arange(3, dtype=">f8"),
        "text": np.array(["one", "zwei", "τρία"]),
        "nothing": np.zeros((0, 4), np.float32),
        "single": np.array(0.5),
        "truth": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        with (tmp_path / "arrays.npz").open("wb") as file:
            save(file, **arrays)
        read = safe_npz.load_arrays(tmp_path / "arrays.npz")
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        ("not as large as its header", npy((10**9,))),
        ("not as large as its header", npy((10**30,))),
        ("not as large as its header", npy((-1,), bytes(4))),
        ("not as large as its header", npy((3,), bytes(16))),
        ("holds object", npy((1,), bytes(8), "|O")),
        (r"holds \[\('a'", npy((1,), bytes(4), [("a", "<f4")])),
        ("of 3 dimensions", npy((1, 1, 1), bytes(4))),
        (".", npy((1,), bytes(4)).replace(b"(1,)", b"9**9")),
        (".", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
        (".", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"),
        ("format of numpy", b"\x93NUMPY\x03\x00" + npy((1,), bytes(4))[8:]),
        (".", b""),
    ],
)
def test_what_no_plan_holds_is_refused(tmp_path, reason, content):
    with pytest.raises(ValueError, match=reason):
        safe_npz.load_arrays(write(tmp_path / "arrays.npz", ("rank.npy", content)))
    with pytest.raises((ValueError, SyntaxError), match=reason):
        safe_npz.read_array(io.BytesIO(content), len(content))


def test_archives_that_are_none_of_arrays(tmp_path):
    good = npy((1,), bytes(4))
    with pytest.raises(ValueError, match="names of their own"):
        safe_npz.load_arrays(write(tmp_path / "a.npz", ("script.py", b"print()")))
    many = write(tmp_path / "b.npz", *((f"{number:050}.npy", good) for number in range(12_000)))
    with pytest.raises(ValueError, match="list of members is far too long"):
        safe_npz.load_arrays(many)
    (tmp_path / "link.npz").symlink_to(write(tmp_path / "c.npz", ("rank.npy", good)))
    assert safe_npz.load_arrays(tmp_path / "link.npz").keys() == {"rank"}
    with pytest.raises(RequestError, match="is a link"):
        safe_npz.load_arrays(tmp_path / "link.npz", links=False)
