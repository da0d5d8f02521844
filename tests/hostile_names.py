"""Names that a stranger may give to files, networks, layers and settings."""

HOSTILE_NAMES = {
    "colour": "a\x1b[31mred\x1b[0m",
    "title of the window": "\x1b]0;mine\x07",
    "clearing the screen": "\x1b[2J\x1b[H",
    "one byte controls": "a\x9b31mb\x85c",
    "overwriting the line": "evil\rgood",
    "backspaces": "evil\b\b\b\bgood",
    "another line": "a\nforgetting: all is well",
    "reversed text": "gpj.\u202efilm\u2066",
    "line separators": "a\u2028b\u2029c",
    "half a character": "a\udc80b",
    "zeros": "a\0b",
    "markup": "[/bold] [red]a[/] [link=http://192.0.2.1]b[/link] \\[x] a\\",
    "emoji": ":pile_of_poo:",
    "a field": "{name} %s %(name)s",
    "a command": "x; touch MARKER; $(touch MARKER) `touch MARKER` 'y' \"z\"",
    "a long name": "n" * 4_000_000,
}
"""What it would do -> the name. Zeros and long names are no names of files."""

OBEYED = "".join(
    map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x2028, 0x2029))
)
"""Characters that a terminal obeys, but for the end of a line."""


def obeyed(text: str) -> set[str]:
    """Return the characters of a text that a terminal would obey."""
    return set(text) & {*OBEYED, "\udc80"}
