"""Experiments of users need no ``# @package _global_``: what they set are settings of the film.

Hydra puts the settings of a file below the name of its group unless that line says otherwise, and
below ``experiment`` nobody would look for them.
"""

from __future__ import annotations

from hydra._internal.core_plugins import file_config_source  # pinned below Hydra 1.4
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of config files; its name is the one that Hydra expects for files."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a config; of experiments the settings are those of the film."""
        result = super().load_config(config_path)
        of_experiment = config_path.strip("/").startswith("experiment/")
        if of_experiment and result.header.get("package") is None:
            result.header["package"] = "_global_"
        return result


def read_experiments_without_header() -> None:
    """Let Hydra read the experiments of this process by this source."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
