"""The verb ``cache``: it lists what the cache folder holds, and empties it."""

import os

import pytest

from forgetting import files, result_cache

KEY = result_cache.digest("a graph")
STATISTIC = "statistics/rms-96-e9037365962ba7ad.safetensors"
MODEL = "models/ffhq-mobile-e9037365.safetensors"
OTHERS = ("models/mine.safetensors", "statistics/notes.txt", "ffhq-mobile.lock")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder that holds something of everything, and files of somebody else."""
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "cache"))
    folder = files.cache_folder()
    for number in range(3):
        result_cache.store("graphs", result_cache.digest(number), bytes(500_000 - 32))
    result_cache.store("choices", KEY, bytes(68))
    contents = {STATISTIC: 2_000_000, MODEL: 3_000_000, f"files/{KEY[:32]}-net.pkl": 4_000_000}
    for name, size in (contents | dict.fromkeys(OTHERS, 10)).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(bytes(size))
    return folder


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_listing(command_line, cache):
    result = command_line("cache")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert rows == [
        [str(cache)],
        ["files", "size", "folder"],
        ["computed", "choices", "1", "0.0", "MB", "computed/choices"],
        ["computed", "graphs", "3", "1.5", "MB", "computed/graphs"],
        ["statistics", "1", "2.0", "MB", "statistics"],
        ["files", "of", "films", "on", "a", "cluster", "1", "4.0", "MB", "files"],
        ["models", "1", "3.0", "MB", "models"],
        ["all", "10.5", "MB"],
    ]


def test_an_empty_cache(command_line, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "cache"))
    assert command_line("cache").output.split()[-3:] == ["all", "0.0", "MB"]
    assert command_line("cache", "--empty").output.startswith("0 files removed, 0.0 MB freed")


def test_emptying_removes_what_can_be_computed_again(command_line, cache):
    result = command_line("cache", "--empty")
    assert result.exit_code == 0, result.output
    assert result.output == f"6 files removed, 7.5 MB freed: {cache}\n"
    assert names(cache) == {MODEL, *OTHERS}
    assert not (cache / "computed").exists()


def test_models_are_removed_when_they_are_asked_for(command_line, cache):
    result = command_line("cache", "--empty", "--models")
    assert result.output == f"7 files removed, 10.5 MB freed: {cache}\n"
    assert names(cache) == {*OTHERS}, "files that are not ours stay"
    result = command_line("cache", "--models")
    assert result.exit_code == 2
    assert "forgetting cache --empty --models" in result.stderr


@pytest.mark.parametrize("name", ["computed", "computed/graphs", "statistics", "models"])
def test_links_are_not_followed(command_line, cache, tmp_path, name):
    (cache / name).rename(tmp_path / "elsewhere")
    (cache / name).symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path / "elsewhere")
    assert before
    assert command_line("cache").exit_code == 0
    assert command_line("cache", "--empty", "--models").exit_code == 0
    assert names(tmp_path / "elsewhere") == before
    assert (cache / name).is_symlink()


def test_of_a_link_only_the_link_is_removed_or_nothing(command_line, cache, tmp_path):
    (cache / STATISTIC).rename(tmp_path / "elsewhere")
    (cache / STATISTIC).symlink_to(tmp_path / "elsewhere")
    command_line("cache", "--empty", "--models")
    assert (tmp_path / "elsewhere").exists()


def test_a_folder_that_others_may_enter_is_named_and_removed(command_line, cache):
    (cache / "computed").chmod(0o755)
    result = command_line("cache")
    assert "no results are kept, because" in result.output
    assert "has the mode 755 instead of 700; forgetting cache --empty removes" in result.output
    assert command_line("cache", "--empty").exit_code == 0
    result_cache.store("graphs", KEY, b"again")
    assert result_cache.load("graphs", KEY, 10) == b"again"
    assert "no results" not in command_line("cache").output


def test_a_file_that_cannot_be_removed(command_line, cache, monkeypatch):
    unlink = os.unlink

    def refuse(path, *, dir_fd=None):
        if "rms" in str(path):
            raise PermissionError(13, "Permission denied")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    result = command_line("cache", "--empty")
    assert result.exit_code == 1
    assert f"{STATISTIC} cannot be removed (Permission denied)" in result.stderr
    assert names(cache) == {MODEL, STATISTIC, *OTHERS}
