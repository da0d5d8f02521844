"""Any text that a shell passes is the value of a setting that holds text."""

import random

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from forgetting.cli.overrides import quote_override

TEXTS = [
    "忘却",
    "Don't forget",
    "a, b",
    "{x}",
    "with spaces [1]",
    "50% $HOME",
    r"C:\a b\film",
    "ends with \\",
    r"\'",
    "'a' 'b'",
    "2001",
    "true",
    "1e5",
    "a=b",
    " leading",
    "#0c0c0c",
    "né",
    '"',
    "f(x)",
    "choice(a,b)",
    "range(3)",
    "two\nlines",
]


def parse(override):
    return OverridesParser.create().parse_override(override)


def random_texts(count):
    """Yield texts of characters that mean something to Hydra or to shells, or are not ASCII."""
    draw = random.Random(0)
    for _ in range(count):
        yield "".join(draw.choices("ab'\\\", []{}()=$%#é忘:;!&|*?~`<>\t", k=draw.randint(1, 8)))


@pytest.mark.parametrize("key", ["film.title", "generator.path", "hydra.run.dir", "plan"])
def test_text_is_a_value(key):
    for text in (*TEXTS, *random_texts(300)):
        if text[:1] in ("'", '"') and text[0] == text[-1] and len(text) > 1:
            continue  # quotes around all of a value are Hydra's
        parsed = parse(quote_override(f"{key}={text}"))
        assert not parsed.is_sweep_override()
        assert str(parsed.value()) == text


@pytest.mark.parametrize(
    "override",
    [
        "film.title=null",
        "film.title=",
        "film.title='quoted for Hydra'",
        'film.title="quoted for Hydra"',
        "film.size=256",
        "latent.seeds=[1,2]",
        "ordering.layers=[b4.*,b8.*]",
        "ordering=random",
        "+film.canvas=[64,64]",
        "~noise.turns",
        "not an override",
    ],
)
def test_what_hydra_reads_rightly_stays_as_it_is(override):
    assert quote_override(override) == override


@pytest.mark.parametrize("key", ["objective.name", "film.fps", "objectives.a.name"])
def test_other_settings_are_quoted_only_where_hydra_cannot_read_them(key):
    assert parse(quote_override(f"{key}=7")).value() == 7
    assert parse(quote_override(f"{key}=jack-o'-lantern")).value() == "jack-o'-lantern"


@pytest.mark.parametrize("key", ["tracks.eyes.ordering.path", "ordering.inside.path"])
def test_parts_within_parts_have_texts_too(key):
    assert parse(quote_override(f"{key}=12")).value() == "12"


def test_commas_separate_the_values_of_a_sweep():
    def values(override):
        parsed = parse(quote_override(override, sweep=True)).value().list
        return [value.text if isinstance(value, QuotedString) else str(value) for value in parsed]

    assert values("film.title=忘却, Don't forget,2001") == ["忘却", "Don't forget", "2001"]
    assert values("film.title='a, b',c") == ["a, b", "c"]
    assert values("latent.seed=1,2") == ["1", "2"]
    assert quote_override("latent.seed=range(0,3)", sweep=True) == "latent.seed=range(0,3)"
    assert parse(quote_override("film.title=Don't", sweep=True)).value() == "Don't"
