"""The folder of a run: which processes may work in it at the same time, and what is removed."""

import multiprocessing
from contextlib import contextmanager

import pytest

import forked
from forgetting.errors import ForgettingError, RequestError
from forgetting.film.run_folder import RunFolder, read_run
from forked import needs_fork
from helpers import THREE_FRAMES, compose_config, render_config

BUSY = "another process is making a film in"


@contextmanager
def other_process(folder, shard=None):
    """Another process holds the lock of ``folder``; yields the process."""
    ours, theirs = multiprocessing.Pipe()
    process = forked.start(forked.hold_lock, folder, shard, theirs)
    theirs.close()
    try:
        assert ours.recv() == "held"
        yield process
    finally:
        forked.kill(process)
        ours.close()


def segment_of(folder, key="0123"):
    """Write a file as a segment of a film and return its path."""
    path = folder / "segments" / key / "0000000-0000004.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"frames")
    return path


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("shard", [None, "1/2", "2/2"])
def test_a_whole_render_excludes_everything_else(tmp_path, shard):
    run = RunFolder(tmp_path)
    with other_process(tmp_path):
        assert run.is_locked()
        with (
            pytest.raises(ForgettingError, match=f"{BUSY} {tmp_path}; wait for it"),
            run.lock(shard),
        ):
            pass
    assert not run.is_locked(), "a lock ends with the process that holds it"
    with run.lock(shard):
        assert run.is_locked()
    assert not run.is_locked()


@needs_fork
def test_a_shard_excludes_whole_renders_and_itself_but_no_other_shard(tmp_path):
    run = RunFolder(tmp_path)
    with other_process(tmp_path, "1/3"):
        assert run.is_locked()
        for shard in (None, "1/3"):
            with pytest.raises(ForgettingError, match=BUSY), run.lock(shard):
                pass
        with run.lock("2/3"), other_process(tmp_path, "3/3"):
            for shard in (None, "1/3", "2/3", "3/3"):
                with pytest.raises(ForgettingError, match=BUSY), run.lock(shard):
                    pass
        assert run.is_locked()
        with run.lock("2/3"):
            pass
    assert not run.is_locked()
    with run.lock():
        pass


def test_an_impossible_shard_holds_nothing(tmp_path):
    with (
        pytest.raises(RequestError, match="render.shard must be K/N"),
        RunFolder(tmp_path).lock("3/2"),
    ):
        pass
    assert not RunFolder(tmp_path).is_locked()


def test_a_lock_is_released_after_an_error(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(KeyError), run.lock():
        raise KeyError
    assert not run.is_locked()
    with run.lock():
        pass


def test_asking_creates_nothing(tmp_path):
    assert not RunFolder(tmp_path / "none").is_locked()
    RunFolder(tmp_path / "none").remove_segments()
    assert not list(tmp_path.iterdir())


@needs_fork
@pytest.mark.parametrize("shard", [None, "2/2"])
def test_segments_stay_while_another_process_works(tmp_path, shard):
    run, segment = RunFolder(tmp_path), segment_of(tmp_path)
    with other_process(tmp_path, shard):
        run.remove_segments()
        run.remove_leftovers()
        assert segment.read_bytes() == b"frames"
        assert run.is_locked()
    run.remove_segments()
    assert not list(tmp_path.iterdir()), "segments and locks alike are removed"


def test_leftovers_are_unfinished_files_and_empty_folders_of_segments(tmp_path):
    run, segment = RunFolder(tmp_path), segment_of(tmp_path)
    (tmp_path / "film.mp4.12-ab.part").write_bytes(b"half a film")
    (tmp_path / "film.12-ab.part").mkdir()
    (tmp_path / "film.12-ab.part" / "00000.png").write_bytes(b"half a film")
    run.remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["segments"]
    assert segment.exists()
    segment.unlink()
    segment.parent.rmdir()
    run.remove_leftovers()
    assert not list(tmp_path.iterdir())


@needs_fork
def test_a_whole_render_removes_unfinished_files_and_a_shard_does_not(tmp_path):
    """The file may be another shard's."""
    run, unfinished = RunFolder(tmp_path), tmp_path / "summary.json.12-ab.part"
    unfinished.write_bytes(b"{")
    with run.lock("1/2"):
        assert unfinished.exists()
    with other_process(tmp_path):
        assert not unfinished.exists()


def test_the_state_of_a_run(tmp_path):
    with pytest.raises(RequestError, match="there is no run in"):
        read_run(tmp_path)
    film = render_config(compose_config(*THREE_FRAMES), tmp_path)
    state = read_run(tmp_path)
    assert state.film == film
    assert state.config["generator"]["name"] == "toy"
    assert state.store.count == 3
    assert not state.store.folder.exists()
    assert not RunFolder(tmp_path).is_locked()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "# of another film\n")
    assert read_run(tmp_path).film is None


@pytest.mark.parametrize(
    "name", ["segments", "segments/0123", "segments/lock", "segments/lock-guard"]
)
def test_nothing_is_written_through_a_link(tmp_path, name):
    """A stranger's folder of segments may lead anywhere, and so may a lock in it."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film").write_bytes(b"precious")
    target = elsewhere / "film" if "lock" in name else elsewhere
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(target)
    with pytest.raises(RequestError, match="is a link"), RunFolder(run).lock():
        pass
    assert [path.name for path in elsewhere.iterdir()] == ["film"]
    assert (elsewhere / "film").read_bytes() == b"precious"
    assert not RunFolder(run).is_locked()


def test_leftovers_that_are_links_are_removed_and_not_what_they_lead_to(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for folder in (run, elsewhere):
        folder.mkdir()
    (elsewhere / "film").write_bytes(b"precious")
    (run / "film.mp4.12-ab.part").symlink_to(elsewhere)
    (run / "poster.png.12-ab.part").symlink_to(elsewhere / "film")
    RunFolder(run).remove_leftovers()
    assert not list(run.iterdir())
    assert (elsewhere / "film").read_bytes() == b"precious"


def test_a_linked_segment_is_rendered_again(tmp_path):
    """Even if the file that it leads to has the hash in its name."""
    config = compose_config(*THREE_FRAMES, "film.segment=1")
    config["render"] = {"shard": "1/3"}
    render_config(config, tmp_path / "run")
    (segment,) = tmp_path.glob("run/segments/*/*.mp4")
    elsewhere = tmp_path / segment.name
    segment.rename(elsewhere)
    segment.symlink_to(elsewhere)
    assert not read_run(tmp_path / "run").store.finished()
    render_config(config, tmp_path / "run")
    assert not segment.is_symlink()
    assert elsewhere.exists()
