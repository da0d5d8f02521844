"""The verb ``cache``: what the cache folder holds, and how it is emptied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePath

from rich.table import Table

from forgetting import files, result_cache
from forgetting.cli.console import out
from forgetting.errors import ForgettingError
from forgetting.printable import printable, shell_command
from forgetting.private_folder import Entry, NotPrivate, OpenFolder, open_folder


@dataclass(frozen=True)
class Section:
    """Files of the cache folder that belong together.

    Args:
        title: what they are.
        folders: the names of the folders that lead to them.
        names: a pattern of their names. Other files are not ours, and are neither counted nor
            removed: ``FORGETTING_CACHE`` may name any folder.
        downloaded: whether they have to be downloaded again if they are removed.
    """

    title: str
    folders: tuple[str, ...]
    names: str
    downloaded: bool = False

    def entries(self) -> list[Entry]:
        """Return its files; none where a link leads to them."""
        with suppress(OSError, NotPrivate), open_section(self.folders) as folder:
            return [entry for entry in folder.entries() if re.fullmatch(self.names, entry.name)]
        return []


SECTIONS = (
    Section("statistics", ("statistics",), r"\w+-.+-[0-9a-f]{16}\.safetensors"),
    Section("files of films on a cluster", ("files",), r"[0-9a-f]{32}-.+"),
    Section(
        title="models",
        folders=("models",),
        names=r".+-([0-9a-f]{8}|imagenet1k_v\d)\.(safetensors|onnx)",
        downloaded=True,
    ),
)
"""What the cache folder holds besides kept results."""


def list_cache() -> None:
    """Print what the cache folder holds."""
    rows, total = list[tuple[str, ...]](), 0
    for section in _sections():
        if entries := section.entries():
            size = sum(entry.size for entry in entries)
            total += size
            folder = str(PurePath(*section.folders))
            rows.append((section.title, f"{len(entries):,}", _megabytes(size), folder))
    out.print(printable(files.cache_folder()), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column(footer="all")
    table.add_column("files", justify="right")
    table.add_column("size", _megabytes(total), justify="right")
    table.add_column("folder")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    if reason := result_cache.refusal():
        remedy = f"{shell_command('cache', '--empty')} removes that folder"
        out.print(f"no results are kept, because {printable(reason)}; {remedy}", soft_wrap=True)


def empty_cache(models: bool) -> None:
    """Remove what can be computed again, and print how much that freed.

    Args:
        models: whether to remove models too, which then have to be downloaded again.

    Raises:
        ForgettingError: a file cannot be removed; the others are.
    """
    removed, freed, failures = 0, 0, list[str]()
    for section in _sections():
        if section.downloaded and not models:
            continue
        for entry in section.entries():
            try:
                with open_section(section.folders) as folder:
                    folder.remove_file(entry.name)
            except FileNotFoundError:
                continue  # another process removed it
            except (OSError, NotPrivate) as error:
                path = files.cache_folder().joinpath(*section.folders, entry.name)
                reason = getattr(error, "strerror", None) or error
                failures.append(f"{path} cannot be removed ({reason})")
            else:
                removed, freed = removed + 1, freed + entry.size
    _remove_result_folders()
    out.print(
        f"{removed:,} files removed, {_megabytes(freed)} freed: {printable(files.cache_folder())}",
        soft_wrap=True,
    )
    if failures:
        more = f", nor can {len(failures) - 1:,} more" if failures[1:] else ""
        raise ForgettingError(f"{failures[0]}{more}; check the permissions of the folder")


@contextmanager
def open_section(folders: tuple[str, ...]) -> Iterator[OpenFolder]:
    """Open a folder below the cache folder, without following links.

    Raises:
        OSError: it cannot be opened.
        NotPrivate: it is a link.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(files.cache_folder()))
        for name in folders:
            folder = stack.enter_context(folder.open_folder(name))
        yield folder


def _sections() -> list[Section]:
    """Return all sections, those of kept results first."""
    names = r"[0-9a-f]{64}(\.\d+-[0-9a-f]{8}\.part)?"
    results = [Section(f"computed {kind}", (result_cache.FOLDER, kind), names) for kind in _kinds()]
    return [*results, *SECTIONS]


def _kinds() -> list[str]:
    with suppress(OSError, NotPrivate), open_section((result_cache.FOLDER,)) as folder:
        return [kind for kind in folder.folders() if re.fullmatch("[a-z]+", kind)]
    return []


def _remove_result_folders() -> None:
    """Remove the empty folders of results: the next result makes them, closed to others."""
    with suppress(OSError, NotPrivate), open_section(()) as cache:
        with suppress(OSError, NotPrivate), cache.open_folder(result_cache.FOLDER) as results:
            for kind in _kinds():
                with suppress(OSError):
                    results.remove_folder(kind)
        cache.remove_folder(result_cache.FOLDER)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
