"""A ``recipe.yaml`` as the beginning of a film: its config, with the command line's on top.

A recipe may be a stranger's. It is read as data, it names no cluster and no package to trust, and
a file that it names is used only if it is the recorded one, or if the command line names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from forgetting.errors import RequestError
from forgetting.files import open_regular
from forgetting.film import input_files
from forgetting.film.recipe import (
    EXECUTION_KEYS,
    config_of,
    engine_config,
    files_of,
    parse_recipe,
    plain_values,
    verb_of,
)
from forgetting.printable import shell_command
from forgetting.safe_yaml import MAX_BYTES


def config_with_recipe(
    config: dict[str, Any], overridden: Iterable[str], verb: str, explicit: Iterable[str]
) -> dict[str, Any]:
    """Return the config to make the film of ``config["recipe"]`` by.

    Without a recipe that is ``config`` itself.

    Args:
        config: resolved, as plain values.
        overridden: the dotted keys of ``config`` that were set beside the defaults.
        verb: that the command line said.
        explicit: those of them that the command line itself set. Files under other keys must be
            those that the recipe records.

    Raises:
        RequestError: the recipe cannot be read, belongs to another verb, or names a file that is
            not the recorded one.
    """
    config, path = {**config}, config.get("recipe")
    config.pop("recipe", None)
    if path is None:
        return config
    keys = [key for key in overridden if key != "recipe"]
    for key in ("plan", "experiment"):
        if key in keys:
            raise RequestError(f"{path} already says which film to make; leave out {key}=...")
    recipe = parse_recipe(_read(Path(path)), f"the recipe {path}")
    base = recipe["config"]
    right = verb_of(config_of(recipe))
    if (right == "dream") != (verb == "dream"):
        raise RequestError(f"{path} is the recipe of a {right}; run: {shell_command(right, path)}")
    for key in keys:
        value = OmegaConf.select(OmegaConf.create(config), key)
        OmegaConf.update(base, key, value, merge=False, force_add=True)
    for key in EXECUTION_KEYS:
        if key != "measure" or key not in base:
            base[key] = config.get(key)
    if not any(key.split(".")[0] == "engine" for key in keys):
        base["engine"] = engine_config(recipe)
    made = plain_values(base)
    input_files.verify(made, files_of(recipe), Path(path), verb, explicit)
    return made


def _read(path: Path) -> str:
    """Return the text of a recipe.

    Raises:
        RequestError: there is none, or it cannot be read.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RequestError(
            f"there is no recipe at {path}; name the recipe.yaml in the folder of a run"
        ) from None
    except OSError as error:
        raise RequestError(
            f"the recipe {path} cannot be read ({error.strerror or error}); check its rights"
        ) from None
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RequestError(
            f"{path} is not text in UTF-8; name the recipe.yaml in the folder of a run"
        ) from None
