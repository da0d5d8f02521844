"""The group of verbs: wrong usage gets one sentence, as every other wrong request does."""

from __future__ import annotations

import re
import sys
from typing import Any

from typer.core import TyperGroup

from forgetting.cli.console import print_error


class Verbs(TyperGroup):
    """Typer's group, whose errors of usage are sentences instead of boxes."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the command line."""
        if not settings.setdefault("standalone_mode", True):
            return super().main(*args, **settings)
        try:
            code = super().main(*args, **settings | {"standalone_mode": False})
        except Exception as error:
            # Typer brings click's exceptions under names that differ between its versions.
            if not hasattr(error, "format_message"):
                raise
            _print_usage_error(error)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


def _print_usage_error(error: Any) -> None:
    """Print what is wrong with the usage, and which help describes it."""
    message = str(error.format_message()).strip().rstrip(".")
    message = re.sub(r"\. (Did you mean .*)\?$", lambda match: f" ({match[1].lower()}?)", message)
    context = getattr(error, "ctx", None)
    if not message or type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # the help
        return
    command = "forgetting" if context is None else context.command_path
    command = "forgetting" + command.partition("forgetting")[2]
    print_error(f"{message[0].lower()}{message[1:]}; {command} --help describes what there is")
