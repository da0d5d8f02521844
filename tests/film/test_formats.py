"""The table of film formats: a row and a config file are all that a format consists of."""

import pytest

from forgetting.errors import RequestError
from forgetting.film import encoder
from forgetting.film.formats import FORMATS, PRESETS, FilmFormat
from forgetting.film.settings import FilmSettings
from forgetting.jobs.config_groups import group_options
from forgetting.parts import find_part, part_fields
from helpers import compose_config, decode_film, gradient_frames

H264 = (
    "-c:v libx264 -threads 4 -preset slow -crf 21"
    " -vf scale=in_range=pc:out_range=tv:out_color_matrix=bt709,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    ":chroma_location=center -pix_fmt yuv420p -f mp4"
)
H264_FILM = (
    "-c copy -bsf:v setts=pts=PTS:dts=(N-2)/(11.988*TB):duration=1/(11.988*TB)"
    " -movflags +faststart -f mp4"
)
PRORES = (
    "-c:v prores_ks -profile:v 4444 -threads 4 -vendor apl0"
    " -vf scale=in_range=pc:out_range=tv:out_color_matrix=bt709,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    " -pix_fmt yuva444p10le -f mov"
)


def test_every_format_has_a_config_file_and_every_config_file_has_a_format():
    options = [option.name for option in group_options("film")]
    assert sorted(options) == sorted(FORMATS)
    for name in options:
        node = compose_config(f"film={name}")["film"]
        assert node["format"] == name
        assert FilmSettings.from_dict(node).file_format is FORMATS[name]


def test_the_arguments_of_ffmpeg():
    """Files depend on every one of them, so two formats are held to the letter."""
    film = FilmSettings(fps=23.976, every=2, crf=21, preset="slow")
    mp4 = film.file_format
    assert mp4.segment_arguments("x264", film.quality, film.preset, False) == H264.split()
    of_planes = H264.replace("scale=in_range=pc:out_range=tv:out_color_matrix=bt709,", "")
    planes = mp4.segment_arguments("x264", film.quality, film.preset, False, planes=True)
    assert planes == of_planes.split()
    assert mp4.join_arguments(film.rate) == H264_FILM.split()
    film = FilmSettings(format="prores", background="transparent")
    prores = film.file_format
    arguments = prores.segment_arguments("x264", film.quality, film.preset, film.channels == 4)
    assert arguments == PRORES.split()
    assert prores.join_arguments(24) == ["-c", "copy", "-movflags", "+faststart", "-f", "mov"]


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_consistent(name):
    row = FORMATS[name]
    if row.crf is not None:
        assert 0 <= row.crf <= row.worst_crf
        FilmSettings(format=name, crf=row.worst_crf)
        with pytest.raises(RequestError, match=f"between 0 and {row.worst_crf}"):
            FilmSettings(format=name, crf=row.worst_crf + 1)
    assert not row.presets or list(row.presets) == list(PRESETS)
    arguments = [
        row.segment_arguments(encoder, 7, preset, alpha)
        for encoder in ("x264", *row.variants)
        for preset in PRESETS
        for alpha in (False, True)
    ]
    assert not any(set("{}") & set(text) for listed in arguments for text in listed)
    assert all(("7" in listed) == (row.crf is not None) for listed in arguments)
    by_alpha = zip(arguments[::2], arguments[1::2], strict=True)
    assert any(a != b for a, b in by_alpha) == (row.alpha and not row.stills)
    assert bool(row.segment) == bool(row.join) == (not row.stills)


def test_a_new_row_is_enough(tmp_path, monkeypatch):
    """Settings accept a format, messages list it, and it is encoded and joined."""
    with pytest.raises(RequestError, match="no film.format 'avi'"):
        FilmSettings(format="avi")
    row = FilmFormat(
        file="film.avi",
        suffix="avi",
        segment="-c:v mjpeg -q:v {crf} -pix_fmt yuvj444p -threads 1 -f avi",
        join="-c copy -f avi",
        crf=2,
        worst_crf=31,
        alpha=True,
    )
    monkeypatch.setitem(FORMATS, "avi", row)
    film = FilmSettings(fps=5, duration=1, size=33, segment=2, format="avi")
    assert (film.name, film.quality, film.shape(64, 64)) == ("film.avi", 2, (33, 33))
    with pytest.raises(RequestError, match="film.crf must lie between 0 and 31"):
        FilmSettings(format="avi", crf=32)
    with pytest.raises(RequestError, match="film.format=avi cannot have any"):
        FilmSettings(format="avi", audio="song.wav")
    assert FilmSettings(format="avi", background="transparent").channels == 4
    with pytest.raises(RequestError, match="film=png or film=prores or film=avi"):
        FilmSettings(background="transparent")
    with pytest.raises(RequestError, match="avi"):
        FilmSettings(format="mov")
    film = encoder.resolve_encoder(film, "cuda")
    assert film.encoder == "x264"
    frames = gradient_frames(5, 34)
    segments = []
    for first in (0, 2, 4):
        path = tmp_path / f"{first}.avi"
        encoder.encode(film, frames[first : first + 2], path, (34, 34), "")
        segments.append((path, len(frames[first : first + 2])))
    encoder.join_segments(film, segments, tmp_path / film.name, "")
    assert decode_film(tmp_path / film.name, 34).shape == (5, 34, 34, 3)


def test_the_settings_of_all_formats_are_the_same():
    """Whatever the format, a config has every field of the settings, so any can be overridden."""
    fields = {field.name for field in part_fields(find_part("film/film"))}
    for name in FORMATS:
        assert set(compose_config(f"film={name}")["film"]) - {"_target_"} == fields
