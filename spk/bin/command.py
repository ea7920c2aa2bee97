"""What every command line shares: the form of --help, one-line errors, exit statuses, logging."""

from __future__ import annotations

import argparse
import atexit
import errno
import functools
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spk.errors import InputError
from spk.out_of_memory import is_out_of_memory, is_out_of_threads, say_out_of_memory

# At its end the interpreter looks through all that torch has made for cycles: half a second, for memory that goes with
# the process anyway.
atexit.register(gc.freeze)

HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again, it carries on",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again, it carries on",
    errno.EROFS: "the file system is read-only; name another place",
    errno.EACCES: "permission denied; name another place, or ask its owner for the right to read or write there",
}


def argument_parser(prog: str, description: str, **others: Any) -> argparse.ArgumentParser:
    """A parser whose --help shows `description`, a command's docstring, line by line as it is written."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # as the scripts, which know no option by a part of its name
        **others,
    )


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command's main: bad input ends in one line on stderr and status 1, an interrupt in status 130."""

    @functools.wraps(main)
    def wrapped() -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        name = Path(sys.argv[0]).stem
        outside, threading.excepthook = threading.excepthook, say_thread_fault
        try:
            main()
        except InputError as error:
            sys.exit(f"{name}: error: {error}")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except KeyboardInterrupt:
            if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
                # The interpreter would wait for them, and so for a command of a wav.scp that hangs.
                logging.shutdown()
                sys.stdout.flush()
                os._exit(130)
            sys.exit(130)
        except Exception as error:
            if (said := say_fault(error)) is None:
                raise
            sys.exit(f"{name}: error: {said}")
        finally:
            threading.excepthook = outside

    return wrapped


def say_fault(error: BaseException | None) -> str | None:
    """One line for what the machine did, not the input: a full disk, no memory; None for our bugs."""
    if error is not None and is_out_of_memory(error):
        return f"{say_out_of_memory(error)}; give it more (--mem of --cmd, a larger machine), or run fewer jobs at once"
    if error is not None and is_out_of_threads(error):
        return (
            f"the system starts no more threads or processes ({error}); raise its limits (ulimit -u, -v), give it more "
            "memory (--mem of --cmd), or run fewer jobs and workers at once"
        )
    if isinstance(error, OSError):
        hint = HINTS.get(error.errno, error.strerror or str(error))
        return f"{error.filename or 'input/output'}: {hint}"
    # torch raises it wherever the process that reads ahead was killed, which may be in the middle of anything.
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        return (
            f"a process that reads training data was killed ({' '.join(str(error).split()).rstrip('. ')}); memory may "
            "have run out: lower train.workers or ask for more, and run the same command again, it carries on"
        )
    return None


def say_thread_fault(of: threading.ExceptHookArgs) -> None:
    """The same for a thread, such as that which writes for TensorBoard: the main one comes to know of it, too."""
    if (said := say_fault(of.exc_value)) is None:
        threading.__excepthook__(of)
    else:
        logging.getLogger(__name__).warning("%s", said)
