"""Results that are kept between runs: used only if nobody else could have written them."""

import errno
import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from forgetting import files, private_folder, result_cache
from forgetting.result_cache import digest

KEY = digest("a graph of a network")
DATA = b"a compiled graph" * 1000
LIMIT = 10**6


@pytest.fixture
def folder(tmp_path, monkeypatch, caplog):
    """The folder of results of a cache of this test; what is logged may be asked for."""
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.DEBUG, "forgetting")
    return tmp_path / "cache" / "computed"


@pytest.fixture
def kept(folder):
    """The file of a kept result."""
    result_cache.store("graphs", KEY, DATA)
    assert result_cache.load("graphs", KEY, LIMIT) == DATA
    return folder / "graphs" / KEY


def test_results_are_kept_by_kind_and_key(folder, caplog):
    assert result_cache.load("graphs", KEY, LIMIT) is None
    assert not folder.exists()
    result_cache.store("graphs", KEY, DATA)
    result_cache.store("graphs", KEY, DATA + b"!")
    assert result_cache.load("graphs", KEY, LIMIT) == DATA + b"!"
    assert result_cache.load("choices", KEY, LIMIT) is None
    assert result_cache.load("graphs", digest("another"), LIMIT) is None
    assert caplog.messages == []
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "graphs")} == {0o700}
    assert (folder / "graphs" / KEY).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (folder / "graphs").iterdir()] == [KEY]


def test_a_name_that_leads_elsewhere_is_a_fault_of_the_caller(folder):
    for kind, key in (("..", KEY), ("graphs", "../x"), ("a/b", KEY), ("graphs", KEY[:-1])):
        with pytest.raises(ValueError, match="no result is kept as"):
            result_cache.load(kind, key, LIMIT)
        with pytest.raises(ValueError, match="no result is kept as"):
            result_cache.store(kind, key, DATA)


def refused(caplog, reason):
    """Return whether nothing is loaded, and one line says why."""
    caplog.clear()
    assert result_cache.load("graphs", KEY, LIMIT) is None
    (line,) = caplog.messages
    assert reason in line
    return True


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o707])
@pytest.mark.parametrize("name", ["computed", "computed/graphs"])
def test_a_folder_that_others_may_enter_is_not_used(kept, caplog, mode, name):
    folder = files.cache_folder() / name
    folder.chmod(mode)
    assert refused(caplog, f"has the mode {mode:03o} instead of 700")
    kept_before = kept.read_bytes()
    result_cache.store("graphs", KEY, b"other")
    assert kept.read_bytes() == kept_before
    assert folder.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_used(kept, caplog, mode):
    kept.chmod(mode)
    assert refused(caplog, "others can write")
    result_cache.store("graphs", KEY, DATA)
    assert result_cache.load("graphs", KEY, LIMIT) == DATA


def test_what_belongs_to_another_user_is_not_used(kept, caplog, monkeypatch):
    own = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: own + 1)
        assert refused(caplog, "belongs to another user")
        caplog.clear()
        result_cache.store("graphs", KEY, b"other")
        assert "belongs to another user" in caplog.text
    assert result_cache.load("graphs", KEY, LIMIT) == DATA


def test_a_file_of_another_user_is_not_used(kept, caplog):
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(kept, 12345, -1)
    assert refused(caplog, "belongs to another user")


@pytest.mark.parametrize("name", ["", "computed", "computed/graphs", f"computed/graphs/{KEY}"])
def test_links_are_not_followed(kept, caplog, tmp_path, name):
    path = tmp_path / "cache" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refused(caplog, "symbolic links" if name.endswith(KEY) else "is a link, or no folder")
    if not name.endswith(KEY):  # a link in the place of a file is replaced
        result_cache.store("graphs", digest("another"), DATA)
        assert len([*tmp_path.joinpath("elsewhere").rglob("*")]) <= 3
        assert not [*tmp_path.rglob(digest("another"))]


def test_a_link_in_the_place_of_a_result_is_replaced_and_its_file_stays(kept, tmp_path):
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    result_cache.store("graphs", KEY, b"new")
    assert result_cache.load("graphs", KEY, LIMIT) == b"new"
    assert (tmp_path / "elsewhere").read_bytes().endswith(DATA)


def test_what_is_no_regular_file_is_not_opened(kept, caplog):
    kept.unlink()
    os.mkfifo(kept)
    assert refused(caplog, "is no regular file")
    kept.unlink()
    kept.mkdir()
    assert refused(caplog, "is no regular file")
    result_cache.store("graphs", KEY, DATA)
    assert "is not kept" in caplog.text


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_a_changed_byte_is_noticed(kept, caplog, at):
    content = bytearray(kept.read_bytes())
    content[at] ^= 1
    kept.write_bytes(content)
    assert refused(caplog, "does not match its SHA-256")


@pytest.mark.parametrize("length", [0, 10, 32, 5000])
def test_a_short_file_is_noticed(kept, caplog, length):
    kept.write_bytes(kept.read_bytes()[:length])
    assert refused(caplog, "does not match its SHA-256")


def test_a_result_is_not_taken_for_another(kept):
    other = digest("another")
    kept.with_name(other).write_bytes(kept.read_bytes())
    assert result_cache.load("graphs", other, LIMIT) is None
    kept.parent.rename(kept.parent.with_name("choices"))
    assert result_cache.load("choices", KEY, LIMIT) is None


def test_a_huge_file_is_not_read(kept, caplog):
    assert result_cache.load("graphs", KEY, len(DATA)) == DATA
    with kept.open("r+b") as file:
        file.truncate(10**12)
    assert refused(caplog, "more than 1,000,000")


def test_a_full_disk_keeps_nothing(kept, caplog, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fdopen = os.fdopen
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", lambda *args: Full(fdopen(*args)))
        result_cache.store("graphs", digest("another"), DATA)
    assert "is not kept" in caplog.text
    assert "No space left" in caplog.text
    assert [path.name for path in kept.parent.iterdir()] == [KEY]
    assert result_cache.load("graphs", KEY, LIMIT) == DATA


def test_a_cache_folder_that_cannot_be_made_keeps_nothing(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "file" / "cache"))
    caplog.set_level(logging.DEBUG, "forgetting")
    result_cache.store("graphs", KEY, DATA)
    assert result_cache.load("graphs", KEY, LIMIT) is None
    assert len(caplog.messages) == 2


def use(path, seconds):
    """Let a file be used last so many seconds ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_was_not_used_for_the_longest_time_is_removed_first(folder, monkeypatch):
    keys = [digest(number) for number in range(4)]
    for number, key in enumerate(keys[:3]):
        result_cache.store("ab"[number % 2], key, bytes(100))
        use(folder / "ab"[number % 2] / key, 100 - number)
    assert result_cache.load("a", keys[0], LIMIT) == bytes(100)  # now it was used last
    monkeypatch.setattr(result_cache, "MAX_TOTAL", 3 * 132)
    result_cache.store("c", keys[3], bytes(100))
    assert {path.name for path in folder.glob("*/*")} == {keys[0], keys[2], keys[3]}
    result_cache.store("c", digest("large"), bytes(3 * 132))  # larger than everything together
    assert {path.name for path in folder.glob("*/*")} == {keys[0], keys[2], keys[3]}


def test_unfinished_files_are_removed_after_an_hour(kept):
    old, new = kept.with_name(f"{KEY}.1-aaaaaaaa.part"), kept.with_name(f"{KEY}.1-bbbbbbbb.part")
    for path in (old, new):
        path.write_bytes(b"half")
    use(old, 4000)
    result_cache.store("graphs", KEY, DATA)
    assert {path.name for path in kept.parent.iterdir()} == {KEY, new.name}


STORES = """
from forgetting import result_cache
result_cache.MAX_TOTAL = 400_000
wrong = 0
for number in range(300):
    key = result_cache.digest(number % 9)
    result_cache.store("graphs", key, bytes([number % 9]) * 90_000)
    data = result_cache.load("graphs", key, 10**6)
    wrong += data is not None and data != bytes([number % 9]) * 90_000
print(wrong)
"""


@pytest.mark.slow
def test_processes_store_and_remove_at_once(folder):
    command = [sys.executable, "-c", STORES]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == [b"0\n"] * 3
    result_cache.store("graphs", KEY, DATA)
    sizes = [path.stat().st_size for path in folder.glob("*/*")]
    assert not [*folder.rglob("*.part")]
    assert sum(sizes) < 600_000


def test_objects_of_json(folder):
    values = {"precision": "bfloat16", "decibels": 51.25, "probes": [1, 2]}
    result_cache.store_json("choices", KEY, values)
    assert result_cache.load_json("choices", KEY) == values
    for damaged in (b"[1]", b"{", b'{"a": NaN}', b"\xff"):
        result_cache.store("choices", KEY, damaged)
        assert result_cache.load_json("choices", KEY) is None
    assert result_cache.load_json("choices", digest("missing")) is None


def test_arrays_are_what_the_caller_expects(folder):
    arrays = {"distance": np.linspace(0, 1, 7), "frames": np.arange(6).reshape(2, 3)}
    result_cache.store_arrays("probes", KEY, arrays)
    shapes = {"distance": (None,), "frames": (2, 3)}
    loaded = result_cache.load_arrays("probes", KEY, shapes)
    assert loaded.keys() == arrays.keys()
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    for others in (
        {"distance": (None,)},
        {"distance": (8,), "frames": (2, 3)},
        {"distance": (None, None), "frames": (2, 3)},
        {**shapes, "more": (1,)},
    ):
        assert result_cache.load_arrays("probes", KEY, others) is None
    result_cache.store_arrays("probes", KEY, {"distance": np.array(["a"])})
    assert result_cache.load_arrays("probes", KEY, {"distance": (None,)}) is None
    result_cache.store("probes", KEY, b"no archive")
    assert result_cache.load_arrays("probes", KEY, {"distance": (None,)}) is None


def test_compressed_arrays_do_not_unpack_to_more_than_the_limit(folder, tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", zeros=np.zeros(10**7))
    result_cache.store("probes", KEY, (tmp_path / "zeros.npz").read_bytes())
    assert result_cache.load_arrays("probes", KEY, {"zeros": (None,)}) is None
    assert result_cache.load_arrays("probes", KEY, {"zeros": (None,)}, 10**8) is not None


def test_arrays_of_objects_are_not_kept(folder):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        result_cache.store_arrays("probes", KEY, {"objects": np.array([object()])})


def test_digests_tell_parts_apart():
    parts = [
        ("a", "b"),
        ("ab",),
        (["a", "b"],),
        (b"a", b"b"),
        (b"ab",),
        (b"ab", b""),
        (1,),
        (1.0,),
        (True,),
        ("1",),
        (b"1",),
        (None,),
        ({"a": 1, "b": 2},),
        ({"a": 1}, {"b": 2}),
        (),
    ]
    assert len({digest(*each) for each in parts}) == len(parts)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(memoryview(b"ab")) == digest(b"ab")
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(float("nan"))
    with pytest.raises(TypeError):
        digest(object())


def test_the_fingerprint_is_that_of_the_sources(tmp_path, monkeypatch):
    package = tmp_path / "forgetting"
    (package / "engines").mkdir(parents=True)
    for name in ("result_cache.py", "engines/openvino.py"):
        (package / name).write_text("a = 1\n")
        use(package / name, 1000)
    monkeypatch.setattr(result_cache, "__file__", str(package / "result_cache.py"))
    fingerprint = result_cache.code_fingerprint.__wrapped__
    before = fingerprint()
    assert fingerprint() == before
    (package / "engines" / "openvino.py").write_text("a = 2\n")
    use(package / "engines" / "openvino.py", 1000)
    changed = fingerprint()
    assert changed != before
    (package / "engines" / "openvino.py").rename(package / "openvino.py")
    assert fingerprint() not in (before, changed)


def test_sources_that_changed_since_the_process_began_use_no_results(tmp_path, monkeypatch):
    monkeypatch.setattr(result_cache, "__file__", str(tmp_path / "result_cache.py"))
    fingerprint = result_cache.code_fingerprint.__wrapped__
    assert fingerprint() != fingerprint(), "without sources nobody knows which version it is"
    (tmp_path / "result_cache.py").write_text("a = 1\n")
    assert fingerprint() != fingerprint()
    use(tmp_path / "result_cache.py", 10**6)
    assert fingerprint() == fingerprint()


def test_systems_without_owners_keep_results_below_the_folder_of_the_user(
    tmp_path, monkeypatch, caplog, folder
):
    """As on Windows: folders are checked by their paths."""
    monkeypatch.setattr(private_folder, "_OWNERS", False)
    monkeypatch.setattr(private_folder.Path, "home", lambda: tmp_path / "home")
    result_cache.store("graphs", KEY, DATA)
    assert "does not lie in the folder of the user" in caplog.text
    assert not folder.exists()
    monkeypatch.setattr(private_folder.Path, "home", lambda: tmp_path)
    result_cache.store("graphs", KEY, DATA)
    assert result_cache.load("graphs", KEY, LIMIT) == DATA
    for path in (folder / "graphs" / KEY, folder / "graphs", folder):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert refused(caplog, "is a link")
        path.unlink()
        (tmp_path / "elsewhere").rename(path)
    monkeypatch.setattr(result_cache, "MAX_TOTAL", len(DATA) + 50)
    result_cache.store("graphs", digest("another"), DATA)
    assert [path.name for path in folder.glob("*/*")] == [digest("another")]


def test_why_nothing_is_kept(kept, monkeypatch):
    assert result_cache.refusal() is None
    kept.parents[1].chmod(0o755)
    assert "has the mode 755 instead of 700" in result_cache.refusal()
