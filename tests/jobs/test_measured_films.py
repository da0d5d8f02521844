"""Films that are measured while they are rendered: by processes that are killed, and in parts."""

import logging
import os

import numpy as np
import pytest

from forgetting.analysis import measure, measured_segments, plot
from forgetting.analysis.measure import MeasureSettings
from forgetting.analysis.metrics import plain
from forgetting.dreams.frame_source import DreamFrames
from forgetting.engines.torch_cpu import TorchCPU
from forgetting.errors import RequestError
from forgetting.files import read_json
from forgetting.film.render import FaceFrames
from forgetting.film.segments import SegmentStore
from forgetting.jobs import run
from forgetting.jobs.join import join
from helpers import SEGMENTED, compose_config, needs_openvino, render_config

pytestmark = pytest.mark.slow

FILM = (*SEGMENTED, "film.duration=3", "film.segment=7", "measure.names=plain", "measure.rate=2.5")
"""Thirty frames in five segments; every fourth frame and the last are measured."""

KINDS = {
    "face": [],
    "planes": ["engine=openvino", "engine.precision=float32", "film.size=32"],
    "map": ["film.layout=diptych"],
    "grid": ["film.grid=2x1"],
    "moving face": ["latent=walk"],
    "moving grid": ["latent=walk", "film.grid=2x1"],
    "stills": ["film=png"],
    "rough cut": ["film.every=3"],
}


def settings_of(kind, *more):
    given = [name for name in FILM if kind != "stills" or not name.startswith("film.preset")]
    return compose_config(*given, *KINDS[kind], *more)


class Stopped(Exception):
    """Ends a process before it writes a segment; what it wrote before stays."""


def render_segments_of(monkeypatch, settings, folder, count):
    """Render so many segments of a film that are missing, and no more."""
    write, written = SegmentStore.write, []

    def stopping(store, segment, *others):
        if len(written) == count:
            raise Stopped
        written.append(segment)
        write(store, segment, *others)

    with monkeypatch.context() as patched:
        patched.setattr(SegmentStore, "write", stopping)
        with pytest.raises(Stopped):
            render_config(settings, folder)


def draw_no_plot(curve, summary, stills, paths):
    """Stands for the plot, which takes longer than these films."""
    paths[0].write_bytes(b"".join(still.tobytes() for still in stills))


def refuse(*_):
    raise AssertionError("frames are rendered to be measured alone")


def results(folder):
    """Return what was measured of a run, and its film."""
    files = [path for path in folder.rglob("*") if path.suffix in (".csv", ".png", ".svg", ".mp4")]
    assert len(files) >= 4
    return {str(path.relative_to(folder)): path.read_bytes() for path in files} | {
        "summary": read_json(folder / "summary.json") | {"render_seconds": None}
    }


def curve(folder):
    return (folder / "curve.csv").read_text()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=needs_openvino if kind == "planes" else ()) for kind in KINDS],
)
def test_the_curve_is_the_same_however_a_film_was_made(tmp_path, monkeypatch, kind):
    """At once, interrupted twice, in parts that are joined, and measured afterwards."""
    settings = settings_of(kind)
    if kind != "face":
        monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    with monkeypatch.context() as patched:
        patched.setattr(FaceFrames, "comparisons", refuse)
        render_config(settings, tmp_path / "whole")
        for count in (0, 1, 2) if kind != "rough cut" else (0, 1):
            render_segments_of(monkeypatch, settings, tmp_path / "resumed", count)
        run.resume(tmp_path / "resumed")
        parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
        for number, folder in enumerate(parts, 1):
            part = settings_of(kind, f"render.shard={number}/3")
            render_config(part, folder)
        join(parts, tmp_path / "joined")
    whole = results(tmp_path / "whole")
    assert {"curve.csv", "summary"} <= whole.keys()
    assert results(tmp_path / "resumed") == whole
    assert results(tmp_path / "joined") == whole
    run.measure(tmp_path / "whole", MeasureSettings("plain", 2.5))
    assert results(tmp_path / "whole") == whole


@pytest.mark.parametrize("dream", ["dive", "still"])
def test_the_curve_of_a_dream_that_was_interrupted(tmp_path, monkeypatch, dream_config, dream):
    """Its frames are compared with its first, which another process has dreamed."""
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    settings = dream_config(f"dream={dream}", "measure.names=plain", "measure.rate=1.2")
    with monkeypatch.context() as patched:
        patched.setattr(DreamFrames, "comparisons", refuse)
        render_config(settings, tmp_path / "whole")
        render_segments_of(monkeypatch, settings, tmp_path / "resumed", 2)
        run.resume(tmp_path / "resumed")
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")
    before = curve(tmp_path / "whole")
    run.measure(tmp_path / "whole", MeasureSettings("plain", 1.2))
    assert curve(tmp_path / "whole") == before
    assert float(before.splitlines()[1].split(",")[3]) == 0, "the first frame is the intact one"


@pytest.mark.parametrize(("kind", "more"), [("face", 1), ("moving face", 9)])
def test_no_frame_is_rendered_twice(tmp_path, monkeypatch, kind, more):
    """Besides the frames there is the intact picture: one, or one of every measured frame."""
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    rows, render = [], TorchCPU.render

    def counted(engine, requests):
        return render(engine, (rows.append(request) or request for request in requests))

    monkeypatch.setattr(TorchCPU, "render", counted)
    render_config(settings_of(kind), tmp_path / "measured")
    measured = len(rows)
    rows.clear()
    render_config(settings_of(kind, "measure.names=none"), tmp_path / "unmeasured")
    assert measured == len(rows) + more


def test_a_film_that_is_not_measured_has_no_observer(tmp_path, monkeypatch):
    monkeypatch.setattr(FaceFrames, "intact_pictures", refuse)
    monkeypatch.setattr(FaceFrames, "comparisons", refuse)
    render_config(settings_of("face", "measure.names=none"), tmp_path)
    assert not (tmp_path / "curve.csv").exists()
    assert (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    "begun", [("measure.rate=5",), ("measure.names=[light,structure]",), ("measure.names=none",)]
)
def test_a_run_that_began_with_other_measures(tmp_path, monkeypatch, begun):
    """What was measured otherwise is not used: its frames are rendered once more at the end."""
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    render_config(settings_of("moving face"), tmp_path / "whole")
    render_segments_of(monkeypatch, settings_of("moving face", *begun), tmp_path / "resumed", 2)
    render_config(settings_of("moving face"), tmp_path / "resumed")
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")


def test_a_run_that_another_version_began(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    render_config(settings_of("face"), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(measured_segments, "version", lambda package: "0.0.1")
        patched.setattr(plain, "luma", lambda x: x[:, 0] * 0 + 0.5)
        render_segments_of(monkeypatch, settings_of("face"), tmp_path / "resumed", 2)
    run.resume(tmp_path / "resumed")
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")


def spoil(path, how):
    """Replace a file of a run by what a stranger could put there."""
    content = path.read_bytes()
    path.unlink()
    if how == "link":
        (path.parent.parent / "elsewhere").write_bytes(content)
        path.symlink_to(path.parent.parent / "elsewhere")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "noise":
        path.write_bytes(np.random.RandomState(0).bytes(1000))
    elif how == "cut":
        path.write_bytes(content[:-30])
    elif how == "large":
        with path.open("wb") as file:
            np.savez_compressed(file, frames=np.zeros(10**7), values=np.zeros((3, 6)))
    elif how == "other numbers":
        with path.open("wb") as file:
            np.savez(file, frames=np.array([0, 4]), values=np.full((2, 6), np.inf))
    elif how == "text":
        with path.open("wb") as file:
            np.savez(file, frames=np.array([0, 4]), values=np.full((2, 6), "x"))


@pytest.mark.parametrize("how", ["link", "pipe", "noise", "cut", "large", "other numbers", "text"])
def test_files_of_strangers_beside_the_segments(tmp_path, monkeypatch, how):
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    folder = tmp_path / "resumed"
    render_config(settings_of("face"), tmp_path / "whole")
    render_segments_of(monkeypatch, settings_of("face"), folder, 3)
    spoil(next(folder.glob("segments/*/measured-0000000-*.npz")), how)
    if how not in ("large", "other numbers", "text"):
        spoil(next(folder.glob("segments/*/still-0000000.png")), how)
    run.resume(folder)
    assert results(folder) == results(tmp_path / "whole")


def test_what_goes_wrong_with_measuring_ends_the_film(tmp_path, monkeypatch):
    """Finished segments stay; the error is the one that the metric raised."""

    def missing(*_):
        raise RequestError("this needs flip_evaluator, which is not installed")

    with monkeypatch.context() as patched:
        patched.setattr(plain.MeanLuma, "bind", missing)
        with pytest.raises(RequestError, match="^this needs flip_evaluator"):
            render_config(settings_of("face"), tmp_path)
    assert not (tmp_path / "film.mp4").exists()
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    run.resume(tmp_path)
    assert (tmp_path / "curve.csv").exists()


def test_parts_that_were_not_measured_are_joined_without_a_curve(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for number, names in ((1, "plain"), (2, "none")):
        part = settings_of("face", f"render.shard={number}/2", f"measure.names={names}")
        render_config(part, tmp_path / f"part{number}")
    join([tmp_path / "part1", tmp_path / "part2"], tmp_path / "joined")
    assert not (tmp_path / "joined" / "curve.csv").exists()
    assert read_json(tmp_path / "joined" / "summary.json")["frames"] == 30
    assert "not all of its parts were measured; to measure it, run: forgetting measure" in (
        caplog.text
    )


def test_an_observer_holds_the_numbers_of_one_segment(tmp_path, monkeypatch):
    """Memory does not grow with the length of the film."""
    monkeypatch.setattr(plot, "plot_curve", draw_no_plot)
    held, keep = [], measure.MeasuringObserver.keep

    def recorded(observer, segment):
        held.append(len(observer._rows))
        keep(observer, segment)
        assert not observer._rows

    monkeypatch.setattr(measure.MeasuringObserver, "keep", recorded)
    render_config(settings_of("face", "measure.rate=0"), tmp_path)
    assert held == [7, 7, 7, 7, 2]
