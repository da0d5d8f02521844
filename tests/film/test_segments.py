"""Segments: complete or absent, never mixed, checked by their hashes."""

import tracemalloc

import numpy as np
import pytest

from forgetting.errors import RequestError
from forgetting.film.finished_frame import FinishedFrame
from forgetting.film.segments import SegmentStore, parse_shard
from forgetting.film.settings import FilmSettings
from helpers import COMMENT, gradient_frames


def segment_store(folder, **settings):
    return SegmentStore(
        folder / "segments",
        FilmSettings(**{"preset": "ultrafast", "encoder": "x264", "fps": 10} | settings),
        (64, 64),
        COMMENT,
    )


def test_segments_tile_the_film(tmp_path):
    for count, length in ((1, 5), (10, 5), (11, 5), (96, 96)):
        segments = segment_store(tmp_path, fps=1, duration=count, segment=length).segments()
        assert [position for segment in segments for position in segment] == list(range(count))
        assert all(len(segment) == length for segment in segments[:-1])


@pytest.mark.parametrize("n", [1, 2, 3, 8, 30])
def test_shards_tile_the_segments(tmp_path, n):
    whole = segment_store(tmp_path, duration=11, segment=10)
    assert [s for k in range(n) for s in whole.segments(f"{k + 1}/{n}")] == whole.segments()


@pytest.mark.parametrize("shard", ["3/2", "0/2", "2", "a/b", "-1/2", 0.5])
def test_impossible_shards(shard):
    with pytest.raises(RequestError, match="render.shard must be K/N"):
        parse_shard(shard)


def test_a_segment_is_complete_or_absent(tmp_path):
    store = segment_store(tmp_path, duration=2, segment=5)
    first, second, *_ = store.segments()
    frames = map(FinishedFrame, gradient_frames(20))
    store.write(first, frames)
    store.write(second, frames)
    assert set(store.finished()) == {first, second}
    assert len(list(frames)) == 10, "no frame of the next segment was taken"

    def failing():
        yield FinishedFrame(gradient_frames(1)[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(store.segments()[2], failing())
    assert set(store.finished()) == {first, second}
    assert not list(store.folder.glob("*.part"))


def test_a_damaged_segment_is_rendered_again(tmp_path, caplog):
    caplog.set_level("INFO")
    store = segment_store(tmp_path, duration=1, segment=5)
    for segment in store.segments():
        store.write(segment, map(FinishedFrame, gradient_frames(5)))
    damaged = store.finished()[range(5, 10)]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert set(store.finished()) == {range(5)}
    assert "is damaged; it is rendered again" in caplog.text
    assert not damaged.exists()


def black_title(store):
    """Return the function that makes a title of black frames."""
    return lambda first: (np.zeros_like(first) for _ in range(store.film.title_frames))


@pytest.mark.parametrize("film", [{}, {"format": "png", "segment": 5}, {"segment": 7}])
def test_a_title_is_written_with_the_first_segment(tmp_path, film):
    store = segment_store(
        tmp_path, duration=1, title="a title", title_duration=1, **{"segment": 5} | film
    )
    frames = map(FinishedFrame, gradient_frames(10))
    for segment in store.segments():
        store.write(segment, frames, title=black_title(store))
    assert sum(map(len, store.finished())) == store.count == 10
    assert sum(map(len, store.finished_title())) == 10
    assert store.sample_positions == list(range(10))
    assert len(list(store.folder.glob("title-*"))) == len(store.finished_title())


def test_without_its_title_the_first_segment_is_rendered_again(tmp_path):
    store = segment_store(tmp_path, duration=1, segment=5, title="a title", title_duration=0.5)
    frames = map(FinishedFrame, gradient_frames(10))
    for segment in store.segments():
        store.write(segment, frames, title=black_title(store))
    (title,) = store.finished_title().values()
    title.write_bytes(title.read_bytes()[:-1])
    assert set(store.finished()) == {range(5, 10)}
    assert store.finished_title() == {}
    store.write(range(5), map(FinishedFrame, gradient_frames(5)), title=black_title(store))
    assert set(store.finished()) == {range(5), range(5, 10)}
    assert list(store.finished_title().values()) == [title], "the same bytes"


def test_files_of_other_names_are_ignored(tmp_path):
    store = segment_store(tmp_path, duration=1, segment=5)
    store.write(range(5), map(FinishedFrame, gradient_frames(5)))
    other_names = [
        "0000000-0000003.%s.mp4" % ("0" * 32),
        "a-b.c.mp4",
        "0000005-0000009.mp4",
        "0000005-0000009.mp4.1-2.part",
    ]
    for name in other_names:
        (store.folder / name).write_text("hello")
    assert set(store.finished()) == {range(5)}
    assert all((store.folder / name).exists() for name in other_names)


def test_equal_frames_give_equal_segments(tmp_path):
    names = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        segment_store(folder, duration=1, segment=10).write(
            range(10), map(FinishedFrame, gradient_frames(10))
        )
        names.append([path.name for path in sorted((folder / "segments").iterdir())])
    assert names[0] == names[1]


@pytest.mark.slow
def test_frames_are_not_held_in_memory(tmp_path):
    """Frames go straight to the encoder: a thousand of them take no more memory than ten."""
    peaks, frame = [], gradient_frames(1, 256)[0]
    for count in (10, 1000):
        store = segment_store(tmp_path / str(count), fps=100, duration=count / 100)
        tracemalloc.start()
        for segment in store.segments():
            store.write(segment, (FinishedFrame(np.copy(frame)) for _ in segment))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 6 * frame.nbytes
