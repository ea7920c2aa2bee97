"""Running out of memory as one line that says what to lower. It comes as many kinds of error."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator

from spk.errors import InputError

# Of RuntimeErrors: the CPU's allocator, C++'s, CUDA's and its libraries', and the system's own words.
SIGNS = (
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
    "Cannot allocate memory",
    "failed to map segment",  # a library that cannot be loaded
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what Python, numpy, torch or the system raise when there is no more memory, main or the GPU's."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, (RuntimeError, ImportError)) and any(sign in str(error) for sign in SIGNS)


def is_out_of_threads(error: BaseException) -> bool:
    """Whether the system starts no more threads or processes, as beyond `ulimit -u`; also where memory is too short."""
    if isinstance(error, OSError):
        return isinstance(error, BlockingIOError) and error.filename is None
    # Python's words and those of C++. What goes on over a network may be temporarily unavailable for other reasons.
    signs = ("can't start new thread", "Resource temporarily unavailable")
    return isinstance(error, RuntimeError) and str(error).startswith(signs)


def say_out_of_memory(error: BaseException) -> str:
    """'out of memory (the first line of what was said)'."""
    lines = str(error).splitlines() or [type(error).__name__]
    return f"out of memory ({lines[0].strip()})"


@contextlib.contextmanager
def lower_when_out_of_memory(what: str | Callable[[], str]) -> Iterator[None]:
    """Make it an InputError that ends with `what` is to be lowered, and its value now."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"{say_out_of_memory(error)}; {what() if callable(what) else what}") from None
