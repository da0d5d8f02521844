import struct
import warnings
import zipfile

import pytest
import torch

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_reader, pickle_records
from pickle_files import (
    BLOB,
    call,
    dumped,
    named,
    opcodes,
    persistent,
    refused,
    tensor,
    torch_bytes,
    within_blob,
    zip_bytes,
)


def test_tensors_that_do_not_fit(tmp_path):
    path = tmp_path / "n.pkl"
    path.write_bytes(opcodes(tensor(1, (2, 2), (3, 1))))
    assert pickle_reader.read_tree(path).root.read().tolist() == [[0, 0], [0, 0]]
    for offset, shape, stride in [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (-1, (2,), (1,)),
        (0, (-2, -3), (3, 1)),
        (0, (2,), (-1,)),
        (0, (2, 3), (1,)),
        (0, (2,), (6,)),
        (0, (10**15,), (0,)),
        (0, (100, 100), (0, 0)),
        (0, (3, 3), (1, 1)),
        (0, (0, 2**39, 2**39), (1, 1, 1)),
        (0, (1,) * 33, (1,) * 33),
        (0, (2**62, 4, 0), (1, 1, 1)),
        (0, (1,), (2**63,)),
        (2**63, (0,), (1,)),
        (0, [2, 3], (3, 1)),
        (0, (2.0, 3), (3, 1)),
        (0, (True, 3), (3, 1)),
        (None, (2,), (1,)),
        (0, None, None),
    ]:
        refused(path, opcodes(tensor(offset, shape, stride)))
    for storage in (
        dumped(None),
        dumped(b"123456"),
        tensor(),
        dumped({}),
        named("torch.FloatStorage"),
    ):
        refused(path, opcodes(tensor(storage=storage)))
    refused(path, opcodes(call("torch._utils._rebuild_tensor_v2", 1)), "arguments that do not fit")
    refused(path, opcodes(call("torch._utils._rebuild_parameter", 1, True, {})))
    # A few numbers, repeated so often that they are far more than the file.
    many = b"".join(dumped(str(n)) + b"h\1" for n in range(1000))
    path.write_bytes(opcodes(tensor(0, (6,), (1,)), b"q\1}(", many, b"u\x86"))
    tree = pickle_reader.read_tree(path)
    with pytest.raises(CheckpointError, match="repeats its weights"):
        pickle_records.tensors(tree.root[1], "a")


def test_storages_that_lie(tmp_path):
    path = tmp_path / "n.pkl"
    number = struct.pack("<q", 6)
    assert BLOB.count(number) == 1
    content = torch_bytes({"a": torch.zeros(6)}, zipped=False)
    assert content.count(b"K\x06N") == content.count(number) == 1
    lies = {
        "longer": lambda blob: blob.replace(number, struct.pack("<q", 7)),
        "petabytes": lambda blob: blob.replace(number, struct.pack("<q", 2**50)),
        "negative": lambda blob: blob.replace(number, struct.pack("<q", -1)),
        "both longer": lambda blob: blob.replace(number, struct.pack("<q", 7)).replace(
            b"K\x06N", b"K\x07N"
        ),
        "id petabytes": lambda blob: blob.replace(b"K\x06N", b"\x8a\x07\0\0\0\0\0\0\x04N"),
        "id negative": lambda blob: blob.replace(b"K\x06N", b"J\xff\xff\xff\xffN"),
        "id is a name": lambda blob: blob.replace(b"K\x06N", b"ctorch\nfloat32\nN"),
        "a view": lambda blob: blob.replace(b"K\x06N", b"K\x06)"),
        "another type": lambda blob: blob.replace(b"FloatStorage", b"DoubleStorage"),
        "no type": lambda blob: blob.replace(b"ctorch\nFloatStorage", b"ctorch\nfloat32"),
        "more behind": lambda blob: blob + b"x",
        "less": lambda blob: blob[:-1],
        "other magic": lambda blob: blob.replace(b"\x8a\x0a\x6c", b"\x8a\x0a\x6d"),
        "other version": lambda blob: blob.replace(b"M\xe9\x03.", b"M\xea\x03."),
        "nothing": lambda blob: b"",
        "a value": lambda blob: torch_bytes([1], zipped=False),
        "a blob": lambda blob: within_blob(blob),
    }
    for lie, change in lies.items():
        assert change(BLOB) != BLOB
        refused(path, opcodes(call("torch.storage._load_from_bytes", change(BLOB))))
        if lie not in ("other magic", "nothing", "a value", "a blob"):
            refused(tmp_path / "n.pt", change(content))
    refused(path, opcodes(call("torch.storage._load_from_bytes", "abc")), "do not fit")
    refused(
        path,
        opcodes(dumped(("storage", "0")), b"Q"),
        "no checkpoint needs its instruction BINPERSID",
    )


def test_zips_that_lie(tmp_path):
    path = tmp_path / "n.pt"
    good, data = (
        opcodes(b"}", dumped("a"), tensor(storage=persistent()), b"s"),
        ("a/data/0", bytes(24)),
    )
    path.write_bytes(zip_bytes(good, data))
    assert pickle_records.tensors(pickle_reader.read_tree(path).root, "")["a"].tolist() == [
        [0, 0, 0],
        [0, 0, 0],
    ]
    for lie in (
        persistent(b"K\x07"),
        persistent(b"\x8a\x08\0\0\0\0\0\0\0\x10"),
        persistent(b"J\xff\xff\xff\xff"),
        persistent(b"G\x40\x18\0\0\0\0\0\0"),
        persistent(key=b"X\x0b\0\0\0../data.pkl"),
        persistent(key=b"K\x00"),
        persistent(kind=b"ctorch\nDoubleStorage\n"),
        persistent(kind=b"ctorch\nfloat32\n"),
        persistent(more=b"K\x01"),
        persistent() + persistent(b"K\x05") + b"\x86",
        dumped(("module", "a")) + b"Q",
        dumped("storage") + b"Q",
        dumped(("storage",)) + b"Q",
    ):
        refused(path, zip_bytes(opcodes(lie), data), "cannot be read")
    refused(path, zip_bytes(good), "missing or too short")
    refused(path, zip_bytes(good + b"N", data), "1 bytes follow")
    refused(path, zip_bytes(good, data, ("a/byteorder", b"big")), "big-endian")
    refused(path, zip_bytes(good, data, ("b/data.pkl", good)), "no checkpoint")
    refused(path, zip_bytes(good, data, compression=zipfile.ZIP_DEFLATED), "compressed")
    refused(
        path,
        zip_bytes(good, ("a/data/0", bytes(10**8)), compression=zipfile.ZIP_DEFLATED),
        "compressed",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(path, zip_bytes(good, data, data), "duplicates")
    whole = zip_bytes(good, data)
    central, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    second = whole.index(b"PK\1\2", central + 1)
    for at, value in {
        central + 20: b"\xff\xff\xff\x7f\xff\xff\xff\x7f",  # sizes
        second + 20: b"\xff\xff\xff\x7f\xff\xff\xff\x7f",
        central + 42: b"\xff\xff\xff\x7f",  # its position
        second + 42: b"\5\0\0\0",
        central + 28: b"\xff\xff",  # length of the name
        central + 8: b"\1",  # encrypted
        26: b"\xff\xff",  # length of the name, again
        end + 12: b"\xff\xff\xff\x7f",  # length of the list
        end + 16: b"\xff\xff\xff\x7f",  # position of the list
        0: b"PK\3\4\0\0",
    }.items():
        broken = whole[:at] + value + whole[at + len(value) :]
        if broken != whole and at:
            refused(path, broken)
    refused(path, b"PK\3\4" + bytes(100), "not a zip file")
    refused(path, whole[:-30])
    giant = b"PK\1\2" + bytes(42)  # a list of many members without a name
    giant = b"PK\3\4" + giant * 60_000
    refused(
        path,
        giant
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 60_000 % 2**16, 60_000 % 2**16, len(giant) - 4, 4, 0),
        "far too long",
    )
