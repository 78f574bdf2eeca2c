"""Frames read in a thread."""

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.apis.read_ahead import ReadAhead


class Items:
    """Counts what is taken, and remembers in which thread it was closed."""

    def __init__(self, count=None, error_at=None):
        self.taken, self.closed_in = 0, None
        self.count, self.error_at = count, error_at

    def __iter__(self):
        try:
            for number in itertools.count() if self.count is None else range(self.count):
                if number == self.error_at:
                    raise OSError(f'item {number} is broken')
                self.taken += 1
                yield number
        finally:
            self.closed_in = threading.current_thread().name


@given(count=st.integers(0, 30), depth=st.integers(1, 8))
def test_order_and_number(count, depth):
    with ReadAhead(range(count), depth, prepare=lambda item: 2 * item) as ahead:
        assert list(ahead) == [2 * number for number in range(count)]
    assert not ahead.running


@pytest.mark.parametrize('error_at', [0, 1, 7])
def test_what_came_before_an_error_is_given_first(error_at):
    items, got = Items(9, error_at), []
    with pytest.raises(OSError, match=f'item {error_at} is broken'), ReadAhead(items, 3) as ahead:
        for item in ahead:
            got.append(item)
    assert got == list(range(error_at)) and not ahead.running


def test_an_error_of_the_preparation_is_raised():
    with pytest.raises(ZeroDivisionError), ReadAhead([1, 0], 2, prepare=lambda x: 1 / x) as ahead:
        assert next(iter(ahead)) == 1
        list(ahead)


def test_no_more_is_taken_than_may_wait():
    items = Items()
    with ReadAhead(items, depth=3) as ahead:
        deadline = time.monotonic() + 10
        while items.taken < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # several looks of the thread at the full queue
        assert items.taken == 4
        assert list(itertools.islice(ahead, 6)) == list(range(6))
    assert items.taken <= 6 + 3 + 1


def test_leaving_early_closes_the_source_in_its_thread():
    items = Items()
    with ReadAhead(items, depth=2) as ahead:
        assert next(iter(ahead)) == 0
    assert not ahead.running and items.closed_in == 'mmdevis-read'
    assert list(ahead) == [] or next(iter(ahead), None) is None  # ends, does not wait for ever


def test_a_source_that_does_not_answer_is_let_go_later():
    answer = threading.Event()

    def stuck():
        answer.wait()
        yield 0

    ahead = ReadAhead(stuck(), depth=1)
    assert not ahead.close(timeout=0.05) and ahead.running
    answer.set()
    assert ahead.close(timeout=10)


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match='depth must be at least 1'):
        ReadAhead([], 0)
