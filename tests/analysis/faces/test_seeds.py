"""Ranges of seeds, as users write them."""

import pytest

from forgetting.analysis.faces.seeds import MOST, parse_seeds, spans
from forgetting.errors import RequestError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0-3", [0, 1, 2, 3]),
        ("7", [7]),
        ("3,23,41", [3, 23, 41]),
        ("[3, 23, 41]", [3, 23, 41]),
        ("'0-2'", [0, 1, 2]),
        ("5-6,1-2,6", [5, 6, 1, 2]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds
    assert parse_seeds(spans(seeds)) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a range or a list of seeds, as in latent.seed=0-63 .* got ''"),
        ("x", "got 'x'"),
        ("1-2-3", "got '1-2-3'"),
        ("-4", "got '-4'"),
        ("3,,4", "got '3,,4'"),
        ("1.5", "got '1.5'"),
        ("9-2", "the range 9-2 ends before it begins; write latent.seed=2-9"),
        ("0-9999", "at most 1,024 faces, .* begin with latent.seed=0-1023"),
        (f"0-{MOST - 1},9000", "at most 1,024 faces"),
        ("0-4294967296", "latent.seed .* got 4294967296"),
        ("1" * 5000, "must be a range"),
    ],
)
def test_wrong_ranges_get_one_sentence(text, message):
    with pytest.raises(RequestError, match=message):
        parse_seeds(text)
