"""Films as files: encoded, joined, with alpha and with sound."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from forgetting.errors import ForgettingError, RequestError, friendly_os_errors
from forgetting.film import encoder
from forgetting.film.formats import FORMATS
from forgetting.film.images import fit
from forgetting.film.settings import FilmSettings
from helpers import (
    COMMENT,
    decode_film,
    ffmpeg_output,
    ffmpeg_report,
    gradient_frames,
    write_film,
)


@pytest.mark.parametrize("segment", [5, 96])
@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_films_decode_to_the_frames_that_were_encoded(tmp_path, kind, segment):
    """Of one segment or several: every frame is in its place, and the file declares what it is."""
    film = FilmSettings(fps=10, duration=1.2, size=96, format=kind, segment=segment)
    frames = gradient_frames(film.frames)
    path = write_film(film, tmp_path, frames)
    decoded = decode_film(path, 96)
    assert decoded.shape == (12, 96, 96, 3)
    expected = np.stack([fit(frame, (96, 96)) for frame in frames])
    assert np.abs(decoded.astype(float) - expected).mean() < (9 if kind == "gif" else 4)
    assert [p.name for p in tmp_path.iterdir()] == [film.name]
    report = ffmpeg_report(path)
    assert "Duration: 00:00:01.2" in report
    if kind != "gif":
        assert "10 fps" in report
        assert "yuv420p(tv, bt709" in report
        assert '"seed": 7' in report
    else:
        assert COMMENT.encode() in path.read_bytes()


def test_an_mp4_can_be_played_before_all_of_it_has_arrived(tmp_path):
    data = write_film(FilmSettings(fps=5, duration=1), tmp_path, gradient_frames(5)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_png_folder(tmp_path):
    film = FilmSettings(fps=4, duration=1, size=80, format="png")
    for _ in range(2):  # a second film of the same name replaces the first
        folder = write_film(film, tmp_path, gradient_frames(4))
    assert [p.name for p in sorted(folder.iterdir())] == [f"{k:05d}.png" for k in range(4)]
    still = Image.open(folder / "00002.png")
    assert still.size == (80, 80)
    assert still.text["Comment"] == COMMENT
    assert [p.name for p in tmp_path.iterdir()] == ["film"]


@pytest.mark.parametrize("fps", [23.976, 24, 60])
def test_timestamps_have_no_gap_between_segments(tmp_path, fps):
    """They are those of a film that was encoded in one piece."""
    path = write_film(
        FilmSettings(fps=fps, duration=50 / fps, segment=7, preset="ultrafast"),
        tmp_path,
        gradient_frames(50),
    )
    lines = ffmpeg_output(path, "-f", "framemd5").decode().splitlines()
    stamps = [
        [int(number) for number in line.split(",")[1:4]]
        for line in lines
        if not line.startswith("#")
    ]
    assert stamps == [[k, k, 1] for k in range(50)]


def test_folders_whose_names_ffmpeg_would_interpret(tmp_path):
    folder = tmp_path / "l'été: 'film' #1 %d"
    folder.mkdir()
    assert (
        decode_film(
            write_film(FilmSettings(fps=5, duration=1, segment=2), folder, gradient_frames(5)), 512
        ).shape[0]
        == 5
    )


def test_an_older_film_stays_if_a_later_one_fails(tmp_path, monkeypatch):
    film = FilmSettings(fps=5, duration=1)
    before = write_film(film, tmp_path, gradient_frames(5)).read_bytes()
    monkeypatch.setitem(
        FORMATS, "mp4", replace(FORMATS["mp4"], segment="-c:v no_such_codec -f mp4")
    )
    with pytest.raises(
        ForgettingError, match=r"the encoder failed on film.format=mp4: .*no_such_codec"
    ):
        write_film(film, tmp_path, gradient_frames(5) * 50)
    assert (tmp_path / film.name).read_bytes() == before
    assert not [*tmp_path.rglob("*.part"), *tmp_path.rglob("*-*.mp4")]


def test_a_full_disk(tmp_path, monkeypatch):
    """/dev/full answers every write as a full disk does."""
    full = replace(FORMATS["mp4"], segment="-c:v rawvideo -f rawvideo -y /dev/full -f null")
    monkeypatch.setitem(FORMATS, "mp4", full)
    with (
        pytest.raises(
            ForgettingError,
            match="the disk is full at .*; free some space and run: forgetting resume",
        ),
        friendly_os_errors(tmp_path),
    ):
        write_film(FilmSettings(fps=5, duration=1, size=1024), tmp_path, gradient_frames(5, 1024))
    assert not [*tmp_path.rglob("*.part"), *tmp_path.rglob("*-*.mp4")]


def test_the_encoder_that_is_chosen(monkeypatch):
    monkeypatch.setattr(encoder, "_nvenc_works", lambda: True)
    assert encoder.resolve_encoder(FilmSettings(), "cuda").encoder == "nvenc"
    assert encoder.resolve_encoder(FilmSettings(), "cpu").encoder == "x264"
    assert encoder.resolve_encoder(FilmSettings(format="webm"), "cuda").encoder == "x264"
    assert encoder.resolve_encoder(FilmSettings(encoder="x264"), "cuda").encoder == "x264"
    monkeypatch.setattr(encoder, "_nvenc_works", lambda: False)
    assert encoder.resolve_encoder(FilmSettings(), "cuda").encoder == "x264"
    with pytest.raises(RequestError, match="film.encoder=nvenc needs an NVIDIA GPU"):
        encoder.resolve_encoder(FilmSettings(encoder="nvenc"), "cuda")


GALLERY = {
    "h265": ("hevc (Main 10)", "yuv420p10le(tv, bt709", "film.mp4"),
    "av1": ("av1 (libdav1d) (Main)", "yuv420p10le(tv, bt709", "film.mp4"),
    "prores": ("prores (4444)", "yuv444p", "film.mov"),
    "ffv1": ("ffv1", "bgr0(pc, gbr", "film.mkv"),
}


@pytest.mark.parametrize("segment", [5, 96])
@pytest.mark.parametrize("kind", GALLERY)
def test_formats_for_galleries(tmp_path, kind, segment):
    """Their size, rate, duration, pixel format and colours; every frame is in its place."""
    film = FilmSettings(
        fps=10, duration=1.2, size=96, format=kind, segment=segment, canvas=(160, 90)
    )
    frames = [
        np.ascontiguousarray(np.pad(fit(frame, (90, 90)), ((0, 0), (35, 35), (0, 0))))
        for frame in gradient_frames(film.frames)
    ]
    path = write_film(film, tmp_path, frames)
    assert path.name == GALLERY[kind][2]
    report = ffmpeg_report(path)
    for text in (*GALLERY[kind][:2], "160x90", "10 fps", "Duration: 00:00:01.2", '"seed": 7'):
        assert text in report, report
    decoded = decode_film(path, 160, 90)
    assert decoded.shape == (12, 90, 160, 3)
    error = np.abs(decoded.astype(float) - np.stack(frames)).mean()
    assert error == 0 if kind == "ffv1" else error < 4
    lines = ffmpeg_output(path, "-f", "framemd5").decode().splitlines()
    assert len([line for line in lines if not line.startswith("#")]) == 12


@pytest.mark.parametrize("segment", [1, 96])
@pytest.mark.parametrize(("kind", "depth"), [("png", ""), ("prores", "yuva444p")])
def test_films_with_alpha(tmp_path, kind, depth, segment):
    film = FilmSettings(
        fps=10, duration=0.5, size=64, format=kind, segment=segment, background="transparent"
    )
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    frames = [
        np.dstack((frame, np.roll(ramp, k, axis=1))) for k, frame in enumerate(gradient_frames(5))
    ]
    path = write_film(film, tmp_path, frames)
    source = path / "%05d.png" if kind == "png" else path
    assert depth in ffmpeg_report(source)
    raw = ffmpeg_output(source, "-f", "rawvideo", "-pix_fmt", "rgba")
    decoded = np.frombuffer(raw, np.uint8).reshape(5, 64, 64, 4)
    difference = np.abs(decoded.astype(float) - np.stack(frames))
    assert difference[..., 3].max() <= (0 if kind == "png" else 1)
    assert difference[..., :3].mean() < (1e-9 if kind == "png" else 2)
