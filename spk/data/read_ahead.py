"""Get the next items ready while the caller is busy with this one: worked on in threads, or asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 1, threads: int = 1
) -> Iterator[Result]:
    """function(item) of each, in order, while up to `ahead` that were not asked for yet are worked out in `threads`.

    `items` are taken in the caller's thread. An error of the function is raised where its result would come.
    Who stops early does not wait for what is being worked out then.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def ask_ahead(ask: Callable[[Item], None], items: Iterable[Item], *, ahead: int = 1) -> Iterator[Item]:
    """The items, each `ahead` items after ask(item): that asks the system for files, which it fetches meanwhile."""
    coming: deque[Item] = deque()
    for item in items:
        ask(item)
        coming.append(item)
        if len(coming) > ahead:
            yield coming.popleft()
    yield from coming
