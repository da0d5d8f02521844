"""The soundtrack of a film: how long it is, and how ffmpeg fits it to the film."""

from __future__ import annotations

import re

from forgetting.errors import RequestError
from forgetting.files import user_path
from forgetting.film import decoder
from forgetting.film.ffmpeg import file_source
from forgetting.film.settings import FilmSettings

SHORTER = 0.1
"""Seconds by which a soundtrack may be shorter than the film before that is said."""


def arguments(film: FilmSettings, seconds: float) -> list[str]:
    """Return ffmpeg's arguments for a soundtrack that is as long as the film, to the sample.

    A shorter one is repeated, or ends in silence; it is faded at both ends. Its codec is given
    after that of the pictures, which copies all streams.
    """
    if not film.audio:
        return []
    fade = min(film.audio_fade, seconds / 2)
    filters = f"atrim=0:{seconds:.6f},apad=whole_dur={seconds:.6f},asetpts=PTS-STARTPTS"
    if fade > 0:
        filters += f",afade=t=in:d={fade:.6f},afade=t=out:st={seconds - fade:.6f}:d={fade:.6f}"
    repeats = ["-stream_loop", "-1"] if film.audio_loop else []
    source = file_source(user_path(film.audio))
    return [*repeats, *source, "-map", "0:v:0", "-map", "1:a:0", "-af", filters]


def shortness(film: FilmSettings) -> str:
    """Return a sentence about a soundtrack that ends before its film; empty for any other film.

    Raises:
        RequestError: the file holds no sound.
    """
    if not film.audio:
        return ""
    sound, seconds = _seconds(film.audio), film.file_seconds
    if film.audio_loop or sound > seconds - SHORTER:
        return ""
    return (
        f"the soundtrack film.audio={film.audio} takes {sound:.1f} s and the film {seconds:.1f} s: "
        "silence follows it; film.audio_loop=true repeats it"
    )


def _seconds(audio: str) -> float:
    """Return the length of a soundtrack, which is read without being decoded.

    Raises:
        RequestError: the file holds no sound.
    """
    printed = decoder.report(user_path(audio), "-map", "0:a:0", "-c", "copy", "-f", "null", "-")
    times = re.findall(r"time=(\d+):(\d+):([\d.]+)", printed)
    hours, minutes, seconds = map(float, times[-1]) if times else (0.0, 0.0, 0.0)
    if not (length := 3600 * hours + 60 * minutes + seconds):
        raise RequestError(
            f"film.audio={audio} holds no sound that ffmpeg can read; name a file with sound, such "
            "as a .wav, .mp3 or .flac"
        )
    return length
