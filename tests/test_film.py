import json
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from forgetting import film as films
from forgetting import sheet
from forgetting.errors import ForgettingError, RequestError
from forgetting.film import Film, writer

COMMENT = json.dumps({"config": {"latent": {"seed": 7}}})


def pictures(count, size=64):
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    across = np.tile(ramp, (size, 1))
    levels = [255 * k // max(count - 1, 1) for k in range(count)]
    return [np.stack([np.full_like(across, level), across, across.T], -1) for level in levels]


def write(film, folder, frames, shape=None):
    with writer(film, folder, shape or film.shape(*frames[0].shape[:2]), COMMENT) as put:
        for frame in frames:
            put(frame)
    return folder / film.name


def probe(path):
    """What ffmpeg says about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def decode(path, size):
    """[F, size, size, 3], as the file's own tags say."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size, size, 3)


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_films_decode_to_what_went_in(tmp_path, kind):
    film = Film(fps=10, duration=1.2, size=96, format=kind)
    frames = pictures(film.frames)
    path = write(film, tmp_path, frames)
    decoded = decode(path, 96)
    assert decoded.shape == (12, 96, 96, 3)
    expected = np.stack([films.fit(frame, (96, 96)) for frame in frames])
    assert np.abs(decoded.astype(float) - expected).mean() < (9 if kind == "gif" else 4)
    assert [p.name for p in tmp_path.iterdir()] == [film.name]
    said = probe(path)
    assert "Duration: 00:00:01.2" in said
    if kind != "gif":
        assert "10 fps" in said
        assert "yuv420p(tv, bt709" in said
        assert '"seed": 7' in said
    else:
        assert COMMENT.encode() in path.read_bytes()


def test_mp4_starts_playing_before_it_is_loaded(tmp_path):
    data = write(Film(fps=5, duration=1), tmp_path, pictures(5)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_png_folder(tmp_path):
    film = Film(fps=4, duration=1, size=80, format="png")
    for _ in range(2):  # a second film of the same name takes the place of the first
        folder = write(film, tmp_path, pictures(4))
    assert [p.name for p in sorted(folder.iterdir())] == [f"{k:05d}.png" for k in range(4)]
    still = Image.open(folder / "00002.png")
    assert still.size == (80, 80)
    assert still.text["Comment"] == COMMENT
    assert [p.name for p in tmp_path.iterdir()] == ["film"]


@pytest.mark.parametrize("kind", films.FORMATS)
def test_an_interrupted_film_leaves_nothing(tmp_path, kind):
    film = Film(fps=5, duration=1, format=kind)
    with pytest.raises(KeyboardInterrupt), writer(film, tmp_path, (64, 64), COMMENT) as put:
        put(pictures(1)[0])
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_older_film_survives_an_interrupted_one(tmp_path):
    film = Film(fps=5, duration=1)
    before = write(film, tmp_path, pictures(5)).read_bytes()
    with pytest.raises(KeyboardInterrupt), writer(film, tmp_path, (64, 64), COMMENT):
        raise KeyboardInterrupt
    assert (tmp_path / film.name).read_bytes() == before


def test_an_encoder_that_gives_up(tmp_path, monkeypatch):
    monkeypatch.setitem(films._CODECS, "mp4", "-c:v no_such_codec -f mp4")
    with pytest.raises(ForgettingError, match=r"the encoder failed on film.format=mp4: .*no_such_codec"):
        write(Film(fps=5, duration=1), tmp_path, pictures(5) * 50)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path, monkeypatch):
    """/dev/full answers every write as a full disk does."""
    monkeypatch.setitem(films._CODECS, "mp4", "-c:v rawvideo -f rawvideo -y /dev/full -f null")
    with pytest.raises(ForgettingError, match="the disk is full at"):
        write(Film(fps=5, duration=1, size=1024), tmp_path, pictures(5, 1024))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder(tmp_path):
    with pytest.raises(ForgettingError, match=r"cannot write into .*nowhere"):
        write(Film(fps=5, duration=1, format="png"), tmp_path / "nowhere", pictures(5))


def test_number_of_frames():
    assert Film(fps=24, duration=30).frames == 720
    assert Film(fps=23.976, duration=10).frames == 240
    assert Film(fps=1, duration=0.6).frames == 1


def test_shapes():
    assert Film().shape(1024, 1024) == (1024, 1024)
    assert Film().shape(64, 64) == (512, 512)
    assert Film(size=720).shape(1024, 1024) == (720, 720)
    assert Film(size=100).shape(64, 96) == (100, 150)
    assert Film(size=50).shape(64, 96) == (50, 76), "the width of an mp4 is even too"
    assert Film(size=101, format="gif").shape(64, 64) == (101, 101)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fps": 0}, "film.fps must lie between"),
        ({"fps": 1000}, "got 1000"),
        ({"duration": 0}, "film.duration must lie between"),
        ({"duration": -3}, "got -3"),
        ({"fps": 1, "duration": 0.2}, "is not one frame"),
        ({"size": 0}, "film.size must lie between 16 and 8192, got 0"),
        ({"size": 99.5}, "whole number"),
        ({"format": "mov"}, "mp4, webm, gif, png"),
        ({"crf": 99}, "film.crf must lie between 0 and 51"),
        ({"preset": "quick"}, "veryfast"),
        ({"poster": 2}, "film.poster"),
        ({"stations": 0}, "film.stations"),
        ({"fps": "fast"}, "film.fps must be a number"),
    ],
)
def test_impossible_films(settings, says):
    with pytest.raises(RequestError, match=says):
        Film(**settings)


def test_odd_sizes():
    with pytest.raises(RequestError, match="must be even for mp4.*got 1023; 1022 and 1024 are fine"):
        Film(size=1023).shape(1024, 1024)


def test_stations():
    assert sheet.stations(720, 16)[0] == 0
    assert sheet.stations(720, 16)[-1] == 719
    assert len(sheet.stations(720, 16)) == 16
    assert sheet.stations(3, 16) == [0, 1, 2]
    assert sheet.stations(1, 16) == [0]


def test_a_film_longer_than_memory_is_not_kept(tmp_path):
    """Frames go straight to the encoder: a thousand of them take no more memory than ten."""
    import tracemalloc

    peaks = []
    for count in (10, 1000):
        film, frame = Film(fps=100, duration=count / 100, preset="ultrafast"), pictures(1, 256)[0]
        tracemalloc.start()
        with writer(film, tmp_path, (256, 256), COMMENT) as put:
            for _ in range(count):
                put(frame.copy())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 6 * frame.nbytes
