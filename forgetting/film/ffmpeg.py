"""How ffmpeg is run, and how colours are described to it.

``imageio_ffmpeg`` brings the program. Its own writer does not check the exit status: a disk that
fills up while the index is written would leave a broken film under a finished name.
"""

from __future__ import annotations

import errno
import subprocess

import imageio_ffmpeg

from forgetting.errors import ForgettingError

# The conversion to YUV is named, and the file declares it: players guess otherwise, and colours
# drift.
TO_BT709 = "out_range=tv:out_color_matrix=bt709"
"""Options of the filter ``scale``: RGB becomes BT.709 in the range of television."""

DECLARE_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
"""The filter that marks frames as BT.709, so that the file declares it."""


def ffmpeg_command(*arguments: str) -> list[str]:
    """Return the command that runs ffmpeg and lets it print nothing but errors."""
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *arguments]


def run_ffmpeg(*arguments: str) -> None:
    """Run ffmpeg on existing films.

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
    check_exit("on a film made of others", process.stderr, process.returncode)


def check_exit(task: str, stderr: bytes, status: int) -> None:
    """Raise unless ffmpeg succeeded.

    Args:
        task: what it worked on, for the message: ``on film.format=mp4``.
        stderr: what it printed.
        status: its exit status.

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
    raise ForgettingError(f"the encoder failed {task}: {reason}; another film.format may work")
