"""Results come in order, worked out before they are asked for, and errors where they belong."""

from __future__ import annotations

import threading
import time

import pytest

from spk.data.read_ahead import ask_ahead, read_ahead


@pytest.mark.parametrize("ahead, threads", [(0, 1), (1, 1), (5, 3)])
def test_results_come_in_the_order_of_the_items(ahead, threads):
    assert list(read_ahead(lambda item: item**2, range(20), ahead=ahead, threads=threads)) == [i**2 for i in range(20)]
    assert list(read_ahead(str, [], ahead=ahead, threads=threads)) == []


def test_the_next_is_worked_out_while_the_caller_is_busy_and_no_more_than_that():
    begun = [threading.Event() for _ in range(4)]

    def work(item: int) -> int:
        begun[item].set()
        return item

    results = read_ahead(work, range(4), ahead=2)
    assert next(results) == 0
    assert begun[2].wait(10)  # without being asked for
    assert not begun[3].is_set()
    results.close()
    assert not begun[3].is_set()


def test_an_error_comes_in_its_place():
    results = read_ahead(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_who_stops_does_not_wait_for_what_is_being_worked_out():
    begun, go_on = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item:
            begun.set()
            go_on.wait(10)
        return item

    results = read_ahead(work, range(3), ahead=2)
    assert next(results) == 0 and begun.wait(10)
    before = time.monotonic()
    results.close()
    assert time.monotonic() - before < 5
    go_on.set()


@pytest.mark.parametrize("ahead, num_asked_at_the_first", [(0, 1), (1, 2), (3, 4), (9, 6)])
def test_items_are_asked_for_so_many_before_they_come(ahead, num_asked_at_the_first):
    asked = []
    items = ask_ahead(asked.append, iter(range(6)), ahead=ahead)
    assert next(items) == 0
    assert asked == list(range(num_asked_at_the_first))
    assert list(items) == [1, 2, 3, 4, 5]
    assert asked == list(range(6))
