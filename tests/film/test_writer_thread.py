import threading
import time

import pytest

from forgetting.film.writer_thread import consume_in_thread


def test_everything_arrives_in_order():
    found = []
    consume_in_thread(range(1000), found.extend, depth=3)
    assert found == list(range(1000))
    consume_in_thread([None, None], found.extend)
    assert found[-2:] == [None, None]


def test_the_maker_waits_for_the_writer():
    """However slow the writing, no more than the depth is ever waiting."""
    made, written, ahead = [], [], []

    def make():
        for k in range(30):
            made.append(k)
            ahead.append(len(made) - len(written))
            yield k

    def write(items):
        for item in items:
            time.sleep(0.002)
            written.append(item)

    consume_in_thread(make(), write, depth=4)
    assert written == list(range(30))
    assert max(ahead) <= 4 + 3


def test_what_the_writer_raises_ends_the_making():
    made = []

    def make():
        for k in range(10_000):
            made.append(k)
            yield k

    def write(items):
        next(items)
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        consume_in_thread(make(), write)
    assert len(made) < 100


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_the_maker_raises_ends_the_writing(error):
    tidied = threading.Event()

    def make():
        yield 1
        raise error

    def write(items):
        try:
            for _ in items:
                pass
        finally:
            tidied.set()

    with pytest.raises(error):
        consume_in_thread(make(), write)
    assert tidied.is_set()


def test_a_writer_that_has_had_enough():
    consume_in_thread(range(10_000), lambda items: next(items), depth=2)
