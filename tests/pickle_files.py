import contextlib
import io
import pickle
import pickletools
import time
import zipfile

import pytest
import torch

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_reader, pickle_records


def everything(path):
    """Open a file and read all that is in it."""
    kind = pickle_reader.file_kind(path)
    if kind == "safetensors":
        return None
    tree = pickle_reader.read_tree(path)
    parts = [tree.root, *(tree.root.values() if isinstance(tree.root, dict) else ())]
    for part in parts:
        repr(part), pickle_records.plain(part)
        if isinstance(part, pickle_records.Stored):
            part.read()
        for look in (pickle_records.shapes, pickle_records.tensors, pickle_records.settings):
            if isinstance(part, (pickle_records.Persistent, dict)):
                with contextlib.suppress(CheckpointError):
                    look(part, str(path))
    return tree


def refused(path, content=None, match="; "):
    """The one sentence with which a file is refused, soon."""
    if content is not None:
        path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=match) as caught:
        everything(path)
    assert time.process_time() - start < 15
    said = str(caught.value)
    assert said.startswith(str(path)), said
    assert "\n" not in said, said
    assert "; " in said, said
    assert len(said) < len(str(path)) + 420, said
    return said


def survives(path, content):
    """Whether a file that was damaged can be read; if not, it is refused as it should be."""
    path.write_bytes(content)
    try:
        return everything(path) is not None
    except CheckpointError as error:
        said = str(error)
    assert said.startswith(str(path)), said
    assert "\n" not in said, said
    return False


def torch_bytes(value, zipped=True):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def opcodes(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


def named(name):
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def dumped(value):
    """The instructions that make a value, without memo, beginning and end."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 3)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()[2:-1]


def call(name, *arguments, state=None):
    return (
        named(name)
        + dumped(arguments)
        + b"R"
        + (dumped(state) + b"b" if state is not None else b"")
    )


def zip_bytes(data_pkl, *members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in (("a/data.pkl", data_pkl), *members):
            archive.writestr(name, content)
    return file.getvalue()


def same(mine, theirs):
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    assert torch.equal(mine, theirs)
    assert mine.is_contiguous()
    assert mine.untyped_storage().nbytes() == mine.numel() * mine.element_size()


# What is meant to harm


class Calls:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def within_blob(content):
    return opcodes(call("torch.storage._load_from_bytes", content))


(BLOB,) = (
    one
    for _, one, _ in pickletools.genops(pickle.dumps(torch.zeros(6), 3))
    if isinstance(one, bytes)
)


SIX = call("torch.storage._load_from_bytes", BLOB)


def tensor(offset=0, shape=(2, 3), stride=(3, 1), storage=SIX):
    """Instructions for a view of a storage of six floats."""
    more = dumped(offset) + dumped(shape) + dumped(stride) + dumped(False) + dumped({})
    return named("torch._utils._rebuild_tensor_v2") + b"(" + storage + more + b"tR"


def persistent(numel=b"K\x06", key=b"X\x01\0\0\x000", kind=b"ctorch\nFloatStorage\n", more=b""):
    return b"(X\x07\0\0\0storage" + kind + key + b"X\x03\0\0\0cpu" + numel + more + b"tQ"
