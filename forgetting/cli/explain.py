"""What went wrong, as an error of ours: Hydra's errors and Python's in one sentence each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from forgetting.dependencies import LAUNCHERS, missing_extra
from forgetting.errors import ForgettingError, RequestError, one_line, unknown_name
from forgetting.jobs.config_groups import (
    RENAMED,
    compose_choices,
    experiment_of_other_verb,
    group_choices,
    groups_of,
    known_settings,
    options_with,
    renamed_key,
)
from forgetting.printable import quoted, shell_command

SIMPLEST = ("linear", "seed")
"""Options that are suggested first, where several have a setting."""


def explain(error: Exception, arguments: list[str], verb: str = "render") -> ForgettingError:
    """Return what went wrong as an error of ours.

    Args:
        error: any.
        arguments: of the command line.
        verb: of the command line.
    """
    if isinstance(error, ForgettingError):
        return error
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _explain_config(error, arguments, verb)
    if isinstance(error, ValueError) and "Config group override" in str(error):
        examples = " or ".join(f"{group}=..." for group in list(groups_of(verb))[:3])
        return RequestError(f"a part cannot be null; choose one of its options, as in {examples}")
    if isinstance(error, OSError):
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return ForgettingError(f"{what}; choose another folder with hydra.run.dir=PATH")
    if isinstance(error, MemoryError):
        return ForgettingError(
            "there is not enough memory for this; a smaller model or a shorter film needs less"
        )
    name = type(error).__name__
    return ForgettingError(f"{name}: {error} (set FORGETTING_TRACEBACK=1 to see where)")


def _explain_config(error: Exception, arguments: list[str], verb: str) -> ForgettingError:
    """Return why no config can be composed."""
    if isinstance(error, HydraException) and (old := _old_key(error, arguments)):
        return renamed_key(old)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and name in LAUNCHERS:
            return missing_extra(f"Hydra's launcher {name}", LAUNCHERS[name])
        return unknown_name(group or "config", name, error.options)
    if isinstance(error, HydraException) and (other := experiment_of_other_verb(arguments, verb)):
        right = "render" if verb == "dream" else "dream"
        return RequestError(
            f"experiment={other} is not one of forgetting {verb}; "
            f"run: {shell_command(right, f'experiment={other}')}"
        )
    if isinstance(error, OverrideParseException):
        return RequestError(
            f"{error.override!r} is not understood; write key=value, "
            "for instance experiment=dissolve or latent.seed=7"
        )
    if match := re.match(r"Ambiguous value for argument '([^=']*)=(.*)'\s+1\. ", str(error)):
        key, value = match[1], match[2]
        return RequestError(
            f"{key}={value} holds several values; add -m to make a film of each, or write "
            f'"{key}=[{value}]" where the setting takes a list'
        )
    match = re.match(r"Could not override '([^']*)'", str(error))
    if isinstance(error, ConfigCompositionException) and match:
        key = str(getattr(error.__cause__, "full_key", None) or match[1])
        return _unknown_setting(key, arguments, verb)
    override = re.match(r"Error merging override (.*)", str(error))
    if override and "${" in override[1]:
        return RequestError(
            f"{override[1]} holds a ${{ that is not closed; ${{KEY}} names another setting, as in "
            "${film.fps}"
        )
    if isinstance(error, InterpolationResolutionError):
        reason = one_line(str(error).partition("\n")[0])
        return RequestError(
            f"the setting {error.full_key or ''} names what does not exist ({reason}); ${{KEY}} "
            "names another setting, as in ${film.fps}"
        )
    return RequestError(f"the config cannot be composed: {one_line(error, 2000)}")


def _unknown_setting(key: str, arguments: Sequence[str], verb: str) -> RequestError:
    """Return the error of a setting that the chosen options do not have."""
    known = known_settings(key.rpartition(".")[0], list(arguments), verb)
    owners = options_with(key, verb)
    if not owners:
        return unknown_name("setting", key, known)
    group = key.partition(".")[0]
    chosen = group_choices(arguments, verb)
    _, choices = compose_choices(chosen, verb)
    is_default = not any(choice.partition("=")[0] in (group, "experiment") for choice in chosen)
    by_default = ", the default," if is_default else ""
    value = next((word.partition("=")[2] for word in arguments if word.startswith(f"{key}=")), "")
    setting = f"{key}={value or 'VALUE'}"
    # A linear schedule, or one face, is the simplest of the options that have the setting.
    first = next((owner for owner in owners if owner in SIMPLEST), owners[0])
    others = [owner for owner in owners if owner != first]
    also = f" (as {', '.join(others)} have)" if others else ""
    return RequestError(
        f"{group}={choices.get(group)}{by_default} has no setting {key!r}, only "
        f"{', '.join(known)}; {group}={first} has it{also}: "
        f"write {group}={first} {quoted(setting)}"
    )


def _old_key(error: Exception, arguments: Sequence[str]) -> str | None:
    """Return the first key that has another name now, on the command line or in a file."""
    keys = [argument.partition("=")[0].lstrip("+~").partition("@")[0] for argument in arguments]
    keys += re.findall(r"Could not override '([^'@]*)", str(error))
    olds = [old for key in keys for old in RENAMED if key == old or key.startswith(f"{old}.")]
    return olds[0] if olds else None
