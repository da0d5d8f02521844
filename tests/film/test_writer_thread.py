"""The thread that writes beside the one that renders."""

import threading
import time

import pytest
import torch

from forgetting.film.writer_thread import consume_in_thread


def test_all_items_arrive_in_order():
    received = []
    consume_in_thread(range(1000), received.extend, depth=3)
    assert received == list(range(1000))
    consume_in_thread([None, None], received.extend)
    assert received[-2:] == [None, None]


def test_the_producer_waits_for_the_consumer():
    """However slowly items are consumed, no more of them wait than the queue holds."""
    produced, written, ahead = [], [], []

    def produce():
        for k in range(30):
            produced.append(k)
            ahead.append(len(produced) - len(written))
            yield k

    def consume(items):
        for item in items:
            time.sleep(0.002)
            written.append(item)

    consume_in_thread(produce(), consume, depth=4)
    assert written == list(range(30))
    assert max(ahead) <= 4 + 3


def test_an_error_of_the_consumer_ends_the_producer():
    produced = []

    def produce():
        for k in range(10_000):
            produced.append(k)
            yield k

    def consume(items):
        next(items)
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        consume_in_thread(produce(), consume)
    assert len(produced) < 100


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_producer_ends_the_consumer(error):
    cleaned_up = threading.Event()

    def produce():
        yield 1
        raise error

    def consume(items):
        try:
            for _ in items:
                pass
        finally:
            cleaned_up.set()

    with pytest.raises(error):
        consume_in_thread(produce(), consume)
    assert cleaned_up.is_set()


def test_a_consumer_may_stop_early():
    """The rest of the items is made and dropped, and the thread ends."""
    made, written = [], []
    consume_in_thread(
        (made.append(k) or k for k in range(1000)),
        lambda items: written.append(next(items)),
        depth=2,
    )
    assert written == [0]
    assert made == list(range(1000))
    assert "writing" not in [thread.name for thread in threading.enumerate()]


def test_torch_runs_in_one_thread_there():
    """The others are the network's; the number elsewhere stays, and that of later threads too."""
    before, numbers = torch.get_num_threads(), {}

    def consume(items):
        for _ in items:
            numbers["writing"] = torch.get_num_threads()

    def items():
        yield None
        numbers["rendering"] = torch.get_num_threads()

    try:
        torch.set_num_threads(3)
        consume_in_thread(items(), consume)
        numbers["after"] = torch.get_num_threads()
        later = threading.Thread(target=lambda: numbers.update(later=torch.get_num_threads()))
        later.start()
        later.join()
    finally:
        torch.set_num_threads(before)
    assert numbers == {"writing": 1, "rendering": 3, "after": 3, "later": 3}


def test_an_interruption_does_not_wait_for_a_busy_writer():
    """The queue is full, and the writing thread takes nothing from it."""
    release = threading.Event()

    def write(arriving):
        next(arriving)
        release.wait(20)

    def items():
        yield from range(3)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        consume_in_thread(items(), write, depth=2)
    assert time.monotonic() - started < 10
    release.set()
