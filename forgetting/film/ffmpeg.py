"""How ffmpeg is run, and how colours are described to it.

``imageio_ffmpeg`` brings the program. Its own writer does not check the exit status: a disk that
fills up while the index is written would leave a broken film under a finished name.
"""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import imageio_ffmpeg

from forgetting.errors import ForgettingError

# The conversion to YUV is named, and the file declares it: players guess otherwise, and colours
# drift.
TO_BT709 = "out_range=tv:out_color_matrix=bt709"
"""Options of the filter ``scale``: RGB becomes BT.709 in the range of television."""

DECLARE_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
"""The filter that marks frames as BT.709, so that the file declares it."""


MEDIA = (
    "mov,matroska,gif,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,flv,asf,ogg,dv,mxf,apng,"
    "yuv4mpegpipe,wav,w64,aiff,mp3,flac,aac,ac3,caf,amr,tta,wv"
)
"""The formats of files that are opened: pictures and sound themselves. Playlists and scripts, which
name further files, are not among them."""


def file_source(path: Path | str) -> list[str]:
    """Return ffmpeg's arguments that open a film or a soundtrack, which may be a stranger's."""
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", MEDIA, "-i", f"file:{path}"]


def stills_source(pattern: str) -> list[str]:
    """Return ffmpeg's arguments that open a folder of stills; ``pattern`` holds ``%05d``."""
    return ["-protocol_whitelist", "file", "-f", "image2", "-i", f"file:{pattern}"]


def ffmpeg_command(*arguments: str) -> list[str]:
    """Return the command that runs ffmpeg and lets it print nothing but errors."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *arguments]


def run_ffmpeg(failure: str, *arguments: str) -> None:
    """Run ffmpeg on existing films.

    Args:
        failure: what is the matter if it fails, for the message.
        arguments: of ffmpeg.

    Raises:
        OSError: the disk is full.
        ForgettingError: ffmpeg failed for another reason.
    """
    process = subprocess.run(
        ffmpeg_command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    check_exit(failure, process.stderr, process.returncode)


def check_exit(failure: str, stderr: bytes, status: int, remedy: str = "") -> None:
    """Raise unless ffmpeg succeeded.

    Args:
        failure: what is the matter otherwise, for the message.
        stderr: what it printed.
        status: its exit status.
        remedy: what to do, for the message.

    Raises:
        OSError: the disk is full.
        ForgettingError: ffmpeg failed for another reason.
    """
    if status == 0:
        return
    printed = stderr.decode(errors="replace").strip()
    if "No space left on device" in printed:
        raise OSError(errno.ENOSPC, "No space left on device")
    reason = "; ".join(printed.splitlines()[:3]) or "it printed no reason"
    raise ForgettingError(f"{failure}: {reason}{remedy and '; '}{remedy}")
