"""Start a module in several processes on this machine with torchrun, and end with their status.

Usage: python3 -m spk.bin.launch --nproc N [--nnodes M] MODULE [ARGUMENT ...]
With --nnodes it is started once on each of M machines; SPK_NODE_RANK (0 to M - 1), SPK_MASTER (the host of machine 0)
and SPK_MASTER_PORT in the environment say which one this is. Exit status: 0 when all processes ended well; 143 when
SIGTERM stopped them (those that had begun to train have saved their state); else that of the process that failed first
(128 + n when signal n ended it). torchrun itself ends with 1 whatever happened, after a page about it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spk.bin.command import argument_parser, command
from spk.errors import InputError

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STOPPED = 128 + signal.SIGTERM
ARRIVAL = 600.0  # seconds for all machines to start; torchrun's own limit, too
PATIENCE = 10.0  # seconds of waiting for them without a word


@command
def main() -> None:
    parser = argument_parser("launch", __doc__)
    parser.add_argument("--nproc", type=int, required=True)
    parser.add_argument("--nnodes", type=int, default=1)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    sys.exit(launch(options.nproc, options.nnodes, options.module, options.arguments))


def launch(nproc: int, nnodes: int, module: str, arguments: list[str]) -> int:
    """The status of the processes together."""
    import logging

    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.disable(logging.CRITICAL)  # the processes say what is wrong
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun, which says so; train.threads has the last word
    given = [*where(nnodes), "--nproc-per-node", str(nproc), "--monitor-interval", "0.2"]
    given += ["--signals-to-handle", "SIGINT,SIGHUP,SIGQUIT", "--module", module]
    given = parse_args([*given, *arguments])
    place = f"{given.master_addr}:{given.master_port}"
    try:
        waiting = f"waiting for all {nnodes} machines to meet at {place} (SPK_MASTER, SPK_MASTER_PORT)"
        with Forwarded(waiting if nnodes > 1 else ""):
            if nnodes > 1 and given.node_rank > 0:
                reach(given.master_addr, given.master_port)
            run(given)
    except ChildFailedError as failed:
        return status_of(failed.failures)
    except SignalException as stopped:
        return 128 + stopped.sigval
    except DistError as error:
        if "EADDRINUSE" in str(error):
            raise InputError(
                f"machine 0 cannot listen on port {given.master_port}: it is in use; choose another SPK_MASTER_PORT"
            ) from None
        raise InputError(f"the {nnodes} machines did not meet at {place}: {str(error).splitlines()[0]}") from None
    return 0


def where(nnodes: int) -> list[str]:
    """torchrun's options for how the machines find one another. InputError where the environment does not say."""
    if nnodes == 1:
        return ["--standalone", "--local-addr", "127.0.0.1"]
    names = ("SPK_NODE_RANK", "SPK_MASTER", "SPK_MASTER_PORT")
    if missing := [name for name in names if not os.environ.get(name)]:
        raise InputError(
            f"--nnodes {nnodes}: {', '.join(missing)} not in the environment; an engine that starts jobs on several "
            "machines sets it (--cmd slurm), or set it on each machine by hand"
        )
    rank, host, port = (os.environ[name] for name in names)
    if not rank.isdecimal() or int(rank) >= nnodes:
        raise InputError(f"SPK_NODE_RANK: a number from 0 to {nnodes - 1}, not {rank!r}")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"SPK_MASTER_PORT: a number from 1 to 65535, not {port!r}")
    return ["--nnodes", str(nnodes), "--node-rank", rank, "--master-addr", host, "--master-port", port]


def reach(host: str, port: int, limit: float = ARRIVAL) -> None:
    """Wait until machine 0 listens. InputError after `limit` seconds; torchrun may wait for a wrong name for ever."""
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"machine 0 cannot be reached at {host}:{port} within {limit:g} seconds "
                    f"({error.strerror or error}); has its job started, and are "
                    "SPK_MASTER and SPK_MASTER_PORT its name and port?"
                ) from None
        time.sleep(0.5)


class Forwarded:
    """SIGTERM goes on to the processes, which save and end; torchrun would give them 30 s to do so, and kill them.

    Before there are any, while machines wait for one another, it ends this one, as SIGINT does; `waiting` is said when
    that takes long. In a thread: the main one may be in C++, where no handler of Python's gets its turn.
    """

    def __init__(self, waiting: str) -> None:
        self.waiting = waiting

    def __enter__(self) -> Forwarded:
        self.received, self.sent = os.pipe()
        os.set_blocking(self.sent, False)
        signal.set_wakeup_fd(self.sent)  # each signal that has a handler of Python's is written there at once
        # torchrun takes the handlers of signals that it is told of; of SIGTERM it is not told.
        self.previous = signal.signal(signal.SIGTERM, lambda number, frame: None)
        self.thread = threading.Thread(target=self.forward, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGTERM, self.previous)
        signal.set_wakeup_fd(-1)
        os.close(self.sent)
        self.thread.join()
        os.close(self.received)

    def forward(self) -> None:
        waits = not select.select([self.received], [], [], PATIENCE)[0] and not any(children_of_this_process())
        if waits and self.waiting:
            print(f"launch: {self.waiting}", file=sys.stderr, flush=True)
        stopped_by, childless_for = 0, 0.0
        while True:
            is_asked = select.select([self.received], [], [], 0.5 if stopped_by else None)[0]
            children = list(children_of_this_process())
            if is_asked:
                number = int.from_bytes(os.read(self.received, 1), "big")
                if not number:
                    return
                stopped_by, childless_for = number, 0.0 if children else PATIENCE
                for child in children if number == signal.SIGTERM else ():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, number)
            else:  # a child may have been a tool that torch asked: torchrun ends soon after the processes
                childless_for = 0.0 if children else childless_for + 0.5
            if childless_for >= PATIENCE:
                os._exit(128 + stopped_by)


def children_of_this_process() -> Iterator[int]:
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, path.read_text().split())


def status_of(failures: Mapping[int, ProcessFailure]) -> int:
    """That of the process that failed first; one that a signal ended is named, as it could not say so itself."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    if not codes:
        return 1
    if all(code in (STOPPED, -signal.SIGTERM) for code in codes.values()):
        return STOPPED
    # Processes that were waiting for a dead one are ended by torchrun; they come behind it.
    rank, code = next((rank, code) for rank, code in codes.items() if code not in (STOPPED, -signal.SIGTERM))
    if code > 0:
        return code
    name = signal.Signals(-code).name
    print(f"train: error: rank {rank} on {socket.gethostname()} was ended by {name}", file=sys.stderr)
    return 128 - code


if __name__ == "__main__":
    main()
