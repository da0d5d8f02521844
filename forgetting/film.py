"""Frames -> a film file: settings, and the encoders behind them.

Frames go to the encoder as they come, a few of them waiting at most; nothing is kept. A film is written under a
temporary name beside its own and gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread

import imageio_ffmpeg
import numpy as np
from PIL import Image, PngImagePlugin

from forgetting import cache
from forgetting.engines import Frame
from forgetting.errors import ForgettingError, RequestError, one_of, whole, within

FORMATS = ("mp4", "webm", "gif", "png")
SMALL = 512
"""Networks that make smaller pictures than this are enlarged to it by the nearest whole factor."""

# The conversion to YUV is named, and the file says it: players guess otherwise, and colours drift.
_BT709 = (
    "-vf scale=in_range=pc:out_range=tv:out_color_matrix=bt709,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709 -pix_fmt yuv420p"
)
_CODECS = {
    "mp4": f"-c:v libx264 -preset {{preset}} -crf {{crf}} {_BT709} -movflags +faststart -f mp4",
    "webm": f"-c:v libvpx-vp9 -crf {{crf}} -b:v 0 -row-mt 1 -deadline good -cpu-used 4 {_BT709} -f webm",
    # A palette for each frame: a palette for the whole film would mean to hold the whole film in memory first.
    "gif": "-filter_complex split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3"
    " -loop 0 -f gif",
}
_CRF = {"mp4": (18, 51), "webm": (30, 63)}  # default and worst


@dataclass(frozen=True)
class Film:
    """How a film is written.

    Args:
        fps: frames per second, in (0, 240].
        duration: seconds; a film has exactly ``round(fps * duration)`` frames.
        size: height in pixels, the width follows; None is the network's own size, small ones enlarged.
        format: ``mp4`` (H.264), ``webm`` (VP9), ``gif``, or ``png`` for a folder of stills.
        crf: quality of mp4 (0 lossless to 51) or webm (to 63), lower is better; None is 18 or 30.
        preset: x264's ``ultrafast`` to ``veryslow``: the slower, the smaller the file.
        poster: which moment the poster shows, as a share of the film.
        stations: pictures on the contact sheet.
    """

    fps: float = 24
    duration: float = 30.0
    size: int | None = None
    format: str = "mp4"
    crf: int | None = None
    preset: str = "veryfast"
    poster: float = 0.5
    stations: int = 16

    def __post_init__(self) -> None:
        within("film.fps", self.fps, 0.01, 240)
        within("film.duration", self.duration, 0.01, 86_400)
        one_of("film.format", self.format, FORMATS)
        one_of("film.preset", self.preset, ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"))
        within("film.poster", self.poster, 0, 1)
        whole("film.stations", self.stations, 1, 256)
        if self.crf is not None and self.format in _CRF:
            whole("film.crf", self.crf, 0, _CRF[self.format][1])
        if self.size is not None:
            whole("film.size", self.size, 16, 8192)
        if self.frames < 1:
            raise RequestError(f"film.fps {self.fps:g} x film.duration {self.duration:g} s is not one frame; make one of them larger")

    @property
    def frames(self) -> int:
        return round(self.fps * self.duration)

    @property
    def name(self) -> str:
        return "film" if self.format == "png" else f"film.{self.format}"

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The film's height and width for pictures of ``height`` x ``width``."""
        size = self.size or height * max(1, round(SMALL / height))
        if self.format not in _CRF:
            return size, round(size * width / height)
        if size % 2:
            raise RequestError(
                f"film.size must be even for {self.format} (its colours are stored at half the size), got {size}; "
                f"{size - 1} and {size + 1} are fine"
            )
        return size, 2 * round(size * width / height / 2)


@contextmanager
def writer(film: Film, folder: Path, shape: tuple[int, int], comment: str) -> Iterator[Callable[[Frame], None]]:
    """A function that takes the next frame of the film ``folder / film.name``.

    The file is there, complete, when the block ends well; otherwise nothing is left of it. ``comment`` goes into its
    metadata. ``shape`` is (height, width); frames of another shape are scaled to it.

    Raises:
        ForgettingError: the encoder gave up (a full disk, for instance).
    """
    open_writer = _png_folder if film.format == "png" else _encoder
    with (
        told_in_one_sentence(folder),
        cache.whole(folder / film.name) as part,
        open_writer(film, part, shape, comment) as write,
        _behind(lambda frame: write(fit(frame, shape))) as put,
    ):
        yield put


@contextmanager
def _behind(write: Callable[[Frame], None], depth: int = 4) -> Iterator[Callable[[Frame], None]]:
    """Write from a thread of its own, at most ``depth`` frames behind, while the next frame is being made."""
    waiting: Queue[Frame | None] = Queue(depth)
    failed: list[Exception] = []

    def work() -> None:
        while (frame := waiting.get()) is not None:
            try:
                if not failed:
                    write(frame)
            except Exception as error:
                failed.append(error)

    def put(frame: Frame) -> None:
        if failed:
            raise failed[0]
        waiting.put(frame)

    thread = Thread(target=work, name="writing the film", daemon=True)
    thread.start()
    try:
        yield put
    finally:
        waiting.put(None)
        thread.join()
    if failed:
        raise failed[0]


def fit(frame: Frame, shape: tuple[int, int]) -> Frame:
    """[H, W, 3] scaled to ``shape`` (height, width) with a Lanczos filter."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(Image.fromarray(frame).resize(shape[::-1], Image.Resampling.LANCZOS))


@contextmanager
def told_in_one_sentence(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into ``folder`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ForgettingError(
                f"the disk is full at {folder}; free some space or choose another folder with hydra.run.dir=PATH"
            ) from error
        raise ForgettingError(
            f"cannot write into {folder} ({error.strerror or error}); choose another folder with hydra.run.dir=PATH"
        ) from error


@contextmanager
def _encoder(film: Film, path: Path, shape: tuple[int, int], comment: str) -> Iterator[Callable[[Frame], None]]:
    # imageio_ffmpeg brings the program; its own writer does not look at the exit status, and a disk that fills up
    # while the index is written would leave a broken film with a finished name.
    height, width = shape
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {film.fps:.10g} -i -"
    crf = film.crf if film.crf is not None else _CRF.get(film.format, (0, 0))[0]
    codec = _CODECS[film.format].format(crf=crf, preset=film.preset)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *source.split(),
        "-metadata", "title=forgetting", "-metadata", f"comment={comment}", *codec.split(), str(path),
    ]  # fmt: skip
    # In a session of its own, so that Ctrl-C reaches us and not the encoder behind our back.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        with contextlib.suppress(BrokenPipeError):  # the encoder has left; its exit status and last words tell why
            yield lambda frame: _feed(process, frame)
        _, said = process.communicate()
        if process.returncode != 0:
            raise _encoder_error(said.decode(errors="replace").strip(), film)
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):  # what is still on its way to the encoder has nowhere to go
            process.communicate()
    if film.format == "gif":
        _comment_gif(path, comment)


def _feed(process: subprocess.Popen[bytes], frame: Frame) -> None:
    assert process.stdin is not None
    process.stdin.write(np.ascontiguousarray(frame).data)


def _encoder_error(said: str, film: Film) -> OSError | ForgettingError:
    if "No space left on device" in said:
        return OSError(errno.ENOSPC, "No space left on device")
    words = "; ".join(said.splitlines()[:3]) or "it said nothing"
    return ForgettingError(f"the encoder failed on film.format={film.format}: {words}; another format may work")


def _comment_gif(path: Path, comment: str) -> None:
    """Put a comment extension (GIF89a, section 24) before the trailer; ffmpeg writes no metadata into a GIF."""
    data = comment.encode("ascii", "replace")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + blocks + b"\x00\x3b")


@contextmanager
def _png_folder(film: Film, path: Path, shape: tuple[int, int], comment: str) -> Iterator[Callable[[Frame], None]]:
    path.mkdir()
    count = 0

    def write(frame: Frame) -> None:
        nonlocal count
        save_png(frame, path / f"{count:05d}.png", comment)
        count += 1

    try:
        yield write
        final = path.with_name(film.name)
        if final.exists():  # an older film of the same name; a folder is not replaced by renaming alone
            shutil.rmtree(final)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def save_png(frame: Frame, path: Path, comment: str) -> None:
    """Write a still with ``comment`` in its metadata."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", comment)
    Image.fromarray(frame).save(path, format="png", pnginfo=info, compress_level=3)
