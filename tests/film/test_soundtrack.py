import subprocess
from dataclasses import replace

import imageio_ffmpeg
import numpy as np
import pytest

from forgetting.errors import RequestError
from forgetting.film import soundtrack
from forgetting.film.settings import FilmSettings
from helpers import (
    THREE_FRAMES,
    compose_config,
    decode_film,
    ffmpeg_output,
    gradient_frames,
    render_config,
    write_film,
)


def tone(path, seconds):
    source = f"sine=frequency=440:duration={seconds}:sample_rate=48000"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, str(path)],
        check=True,
    )
    return path


@pytest.mark.parametrize(("seconds", "loop"), [(0.7, False), (0.7, True), (9, False), (9, True)])
@pytest.mark.parametrize("kind", ["mp4", "webm", "h265", "av1", "prores", "ffv1"])
def test_a_soundtrack_is_as_long_as_the_film(tmp_path, kind, seconds, loop):
    film = FilmSettings(
        fps=10,
        duration=3,
        size=64,
        format=kind,
        audio=str(tone(tmp_path / "it's a tone.wav", seconds)),
        audio_fade=0.5,
        audio_loop=loop,
    )
    path = write_film(film, tmp_path, gradient_frames(30))
    assert decode_film(path, 64).shape[0] == 30
    raw = ffmpeg_output(path, "-map", "0:a", "-f", "f32le", "-ac", "1", "-ar", "48000")
    sound = np.frombuffer(raw, np.float32)
    assert len(sound) / 48000 == pytest.approx(3, abs=0.06)
    loud = [float(np.abs(sound[int(48000 * at) :][:2400]).max()) for at in (0.0, 0.6, 1.5, 2.9)]
    assert loud[0] < 0.6 * loud[1]
    assert (loud[2] > 0.05) == (loop or seconds > 2)
    assert loud[3] < 0.05


def test_impossible_soundtracks(tmp_path):
    with pytest.raises(RequestError, match="there is no soundtrack at film.audio="):
        FilmSettings(audio=str(tmp_path / "none.wav")).check_soundtrack()
    with pytest.raises(RequestError, match="film.format=gif cannot"):
        FilmSettings(audio=str(tone(tmp_path / "a.wav", 1)), format="gif")
    (tmp_path / "text.wav").write_text("no sound")
    film = FilmSettings(audio=str(tmp_path / "text.wav"))
    with pytest.raises(RequestError, match="text.wav holds no sound"):
        soundtrack.shortness(film)


@pytest.mark.parametrize("title", [None, "A title of three seconds"])
def test_a_soundtrack_that_ends_before_the_film(tmp_path, title):
    """Said in one sentence; the title belongs to the film."""
    path = tone(tmp_path / "tone.wav", 2)
    film = FilmSettings(fps=5, duration=2, title=title, audio=str(path))
    sentence = soundtrack.shortness(film)
    assert sentence.startswith(f"the soundtrack film.audio={path} takes 2.0 s") == bool(title)
    assert ("and the film 5.0 s: silence follows it" in sentence) == bool(title)
    assert soundtrack.shortness(replace(film, audio_loop=True)) == ""
    assert soundtrack.shortness(replace(film, audio=None)) == ""


def test_a_short_soundtrack_is_said_once_before_the_film_is_rendered(tmp_path, caplog):
    caplog.set_level("INFO", logger="forgetting")
    path = tone(tmp_path / "tone.wav", 0.3)
    render_config(compose_config(*THREE_FRAMES, f"film.audio={path}"), tmp_path / "run")
    assert caplog.text.count("film.audio_loop=true repeats it") == 1
    path.write_text("no sound")
    with pytest.raises(RequestError, match="holds no sound"):
        render_config(compose_config(*THREE_FRAMES, f"film.audio={path}"), tmp_path / "other")
    assert not (tmp_path / "other").exists()
