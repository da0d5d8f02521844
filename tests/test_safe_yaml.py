"""YAML from strangers: values as Hydra reads them, within limits."""

import time

import pytest
import yaml
from omegaconf import OmegaConf

from forgetting.errors import MAX_SENTENCE, RequestError
from forgetting.jobs.config_groups import CONFIGS
from forgetting.safe_yaml import MAX_BYTES, MAX_DEPTH, MAX_DIGITS, MAX_NODES, load_yaml

LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)
)

HOSTILE = {
    "laughs": LAUGHS,
    "laughs in keys": "a0: &a0 {x: 1}\n"
    + "".join(f"a{k + 1}: &a{k + 1} {{<<: [*a{k}, *a{k}]}}\n" for k in range(30)),
    "an alias of itself": "a: &a [*a]",
    "an alias of nothing": "a: *b",
    "depths": "[" * 20_000,
    "closed depths": "[" * 20_000 + "]" * 20_000,
    "depths in blocks": "\n".join(" " * k + "a:" for k in range(400)),
    "dashes": "- " * 20_000,
    "many values": "[" + "a," * MAX_NODES + "]",
    "a large document": "#" * (MAX_BYTES + 1),
    "digits": f"a: {'9' * 400}",
    "thousands of digits": f"a: {'9' * 5000}",
    "hexadecimal digits": f"a: 0x{'f' * 10_000}",
    "binary digits": f"a: 0b{'1' * 10_000}",
    "octal digits": f"a: 0{'7' * 10_000}",
    "underscores": f"a: 1{'_0' * 10_000}",
    "hours": f"a: 1{':00' * (MAX_BYTES // 3 - 10)}",
    "hours with a fraction": f"a: 1{':00' * 1000}.5",
    "a fraction": f"a: 0.{'1' * 10_000}",
    "python objects": "a: !!python/object/apply:os.system ['touch MARKER']",
    "a python name": "a: !!python/name:os.system",
    "a set": "a: !!set {x, y}",
    "bytes": "a: !!binary aGVsbG8=",
    "an integer in quotes": f'a: !!int "{"9" * 5000}"',
    "a date": "a: !!timestamp 2001-99-99",
    "a tag of its own": "a: !mine 1",
    "a key that is a list": "? [a]\n: 1",
    "a key twice": "a: 1\na: 2",
    "two documents": "a: 1\n---\na: 2",
    "control characters": "a: \x1b[31m",
    "half a character": "a: \ud800",
    "a tab": "\ta: 1",
    "another version": "%YAML 9.9\n---\na: 1",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_get_a_sentence_soon(text):
    start = time.process_time()
    with pytest.raises(RequestError, match="a.yaml ") as caught:
        load_yaml(text, "a.yaml")
    assert time.process_time() - start < 5
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < MAX_SENTENCE / 2


LARGE = {
    "words": "a: " + "x " * (MAX_BYTES // 2 - 4),
    "lines": "a: |\n" + " x\n" * (MAX_BYTES // 3 - 5),
    "quoted lines": 'a: "' + "x\n\n" * (MAX_BYTES // 3 - 10) + '"',
    "keys": "".join(f"k{k}: 1\n" for k in range(MAX_NODES // 2 - 10)),
    "anchors": "".join(f"- &a{k} x\n" for k in range(MAX_NODES - 10)),
    "a deep value": "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2),
    "a long number": f"a: {'9' * MAX_DIGITS}",
    "a long word of digits": "a: " + "0123456789abcdef" * 4,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_documents_within_the_limits_are_read_soon(text):
    start = time.process_time()
    assert load_yaml(text, "a.yaml")
    assert time.process_time() - start < 5


SCALARS = (
    *("1", "-1", "+1", "1e-3", "1e3", "1.5", ".5", "1.", "-.5e-7", "1_000", "0x1f", "0o17", "017"),
    *("0b11", "1:30", "1:30.5", ".inf", "-.INF", ".nan", "1e400", "true", "True", "yes", "no"),
    *("on", "off", "null", "~", "Null", "2001-01-01", "2001-12-14t21:59:43.10-05:00", "b", "'b'"),
    *('"c"', "12ab", "1-2", "'1'", "'true'"),
)


@pytest.mark.parametrize("text", SCALARS)
def test_values_are_those_that_hydra_reads(text):
    """What is checked and what is used are the same."""
    ours = load_yaml(f"a: {text}", "a.yaml")
    theirs = OmegaConf.to_container(OmegaConf.create(f"a: {text}"))
    assert repr(ours["a"]) == repr(theirs["a"])
    assert type(ours["a"]) is type(theirs["a"])


def test_configs_of_the_package_are_read():
    for path in CONFIGS.rglob("*.yaml"):
        text = path.read_text()
        assert load_yaml(text, "a") == yaml.load(text, yaml.SafeLoader) or "e-" in text
