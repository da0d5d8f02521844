import pytest
import torch

from forgetting.errors import RequestError
from forgetting.models.units import Layer, Units

UNITS = Units(
    (Layer("b4.conv1", 4, (4, 4)), Layer("b8.conv0", 6, (8, 8)), Layer("b8.conv1", 2, (8, 8)))
)


def numbers_of(*addresses):
    return torch.nonzero(UNITS.select(addresses)).flatten().tolist()


def test_units_are_numbered_layer_after_layer():
    assert len(UNITS) == 12
    assert UNITS.slices["b8.conv0"] == slice(4, 10)
    assert {name: part.tolist() for name, part in UNITS.split(torch.arange(12)).items()}[
        "b8.conv1"
    ] == [10, 11]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["*"], range(12)),
        (["b8.*"], range(4, 12)),
        (["b8.conv0:2"], [6]),
        (["b8.conv0:1-3,5"], [5, 6, 7, 9]),
        (["b4.conv1:0", "b8.conv1"], [0, 10, 11]),
        (["b8.*:0-1"], [4, 5, 10, 11]),
    ],
)
def test_addresses(addresses, expected):
    assert numbers_of(*addresses) == list(expected)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("b9.conv0", "did you mean 'b8.conv0'"),
        ("b9.conv0", "b4.conv1, b8.conv0, b8.conv1"),
        ("b4.conv1:4", "0-3"),
        ("b4.conv1:2-1", "out of range"),
        ("b4.conv1:x", "not understood"),
        ("b4.conv1:-1", "not understood"),
    ],
)
def test_messages_for_bad_addresses_name_what_exists(address, message):
    with pytest.raises(RequestError, match=message.replace(".", r"\.")):
        UNITS.select([address])


def test_no_addresses_at_all():
    with pytest.raises(RequestError, match="no layers were selected"):
        UNITS.select([])
