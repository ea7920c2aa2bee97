"""Training in several processes: how they find one another, agree on what went wrong, and notice that one is gone.

torchrun, or `spk.bin.launch` around it, starts the processes and tells them by environment variables who they are. A
process alone is a group of one, and none of this is used.

Gradients of the network are added up in one flat tensor after the backward pass. DistributedDataParallel would send
parts of it during that pass, but divides by the number of processes, and regroups the parts after its first step, so
that with three or more processes a resumed run would sum in another order than one that was never stopped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from spk.collectives import ALONE, Group
from spk.errors import InputError

T = TypeVar("T")
# Validation, and the search for a batch size, are the first process's: the others wait for as long as that takes.
WAIT = timedelta(days=14)
BEAT = 3.0  # seconds between signs of life
SILENCE = 40.0  # seconds without one, after which a process is taken for dead
ARRIVAL = 600.0  # seconds for all processes to start
ROLL_CALL = 5.0  # seconds in which the living say that they live


def num_processes() -> int:
    """How many there are by the environment: 1 outside of torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes_of_this_machine() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def take_own_gpu() -> None:
    """That of this process's number on its machine. InputError where there are too few."""
    there, wanted = torch.cuda.device_count(), processes_of_this_machine()
    if wanted > there:
        raise InputError(
            f"--ngpu {wanted}: {socket.gethostname()} has {there} GPU{'s' * (there != 1)} to train on; ask for as many"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextlib.contextmanager
def joined(pick_device: Callable[[], torch.device]) -> Iterator[Group]:
    """The group of all processes, and what becomes of this one when another ends before its time: it ends, too.

    The one with an error says so; one that was killed is named by the first of the others. InputError before anything
    else where there is no GPU for each process.
    """
    if num_processes() == 1:
        yield ALONE
        return
    if not is_first():  # what processes do alike is said once
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
    device, names = arrive(pick_device)
    with Watch(int(os.environ["RANK"]), names) as watch:
        try:
            dist.init_process_group("gloo", timeout=WAIT)
            tensors = dist.new_group(backend="nccl") if device.type == "cuda" else dist.group.WORLD
            yield Group(tensors, dist.group.WORLD)
        except SystemExit:
            raise
        except BaseException as error:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends those that are left when one has ended
            if is_lost_connection(error):
                end_at_once(watch.why())
            if not watch.tell(error):
                end_at_once("")
            raise
    dist.destroy_process_group()


def arrive(pick_device: Callable[[], torch.device]) -> tuple[torch.device, list[str]]:
    """This process's device and what all are called, when all have one: where a machine has too few, its first says so.

    InputError also names processes that have not started in time.
    """
    store, rank, size = own_store(), int(os.environ["RANK"]), num_processes()
    try:
        device = pick_device()
        if device.type == "cuda":
            take_own_gpu()
    except InputError as error:
        store.set("spk/said", str(error))
        if int(os.environ["LOCAL_RANK"]) > 0:
            sys.exit(1)
        raise
    store.set(f"spk/beat/{rank}", "0")
    store.set(f"spk/came/{rank}", f"rank {rank} (process {os.getpid()} on {socket.gethostname()})")
    deadline = time.monotonic() + ARRIVAL
    while missing := [other for other in range(size) if not store.check([f"spk/came/{other}"])]:
        if store.check(["spk/said"]):
            sys.exit(1)
        if time.monotonic() > deadline:
            raise InputError(f"ranks {missing} of {size} have not started within {ARRIVAL:g} seconds; see their logs")
        time.sleep(0.05)
    return device, [store.get(f"spk/came/{other}").decode() for other in range(size)]


def is_lost_connection(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def end_at_once(message: str) -> None:
    """Leave without what Python does at its end, which would wait for a GPU that waits for a process that is gone."""
    if message:
        print(f"train: error: {message}", file=sys.stderr, flush=True)
    os._exit(1)


class Watch:
    """Signs of life of all processes in torchrun's store, so that none waits for one that is gone."""

    def __init__(self, rank: int, names: list[str]) -> None:
        self.rank, self.names = rank, names
        self.store = own_store()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.parent = os.getppid()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if (kind is None or kind is SystemExit) and dist.is_initialized():
            with contextlib.suppress(RuntimeError):  # nobody is missed from here on
                dist.barrier()
        self.ended.set()
        self.thread.join()

    def watch(self) -> None:
        """End the process when another is silent for too long, though this one may be waiting for it in a GPU."""
        now = time.monotonic()
        heard = {rank: ("", now) for rank in range(len(self.names)) if rank != self.rank}
        count = 0
        while not self.ended.wait(BEAT):
            count += 1
            try:
                with self.lock:
                    self.store.set(f"spk/beat/{self.rank}", str(count))
                    beats = self.store.multi_get([f"spk/beat/{rank}" for rank in heard])
            except RuntimeError:  # the machine with the store is gone; where it is this one, the loop stops by itself
                if os.getppid() == self.parent and not self.ended.wait(SILENCE):
                    end_at_once(f"{self.names[self.rank]} lost the connection to the machine of {self.names[0]}")
                return
            last, now = now, time.monotonic()
            was_suspended = now - last > SILENCE / 2  # this process; perhaps the whole job, and others wake up later
            for rank, beat in zip(list(heard), beats, strict=True):
                if was_suspended or beat != heard[rank][0]:
                    heard[rank] = (beat, now)
                elif now - heard[rank][1] > SILENCE and not self.ended.is_set():
                    end_at_once(self.why())

    def tell(self, error: BaseException) -> bool:
        """Whether this process is to say what is wrong: the first that would, of as many as found the same."""
        said = f"{self.names[self.rank]}: {error}"
        try:
            with self.lock:
                return self.store.compare_set("spk/said", "", said) == said.encode()
        except RuntimeError:  # there is nobody to ask
            return True

    def why(self) -> str:
        """What this process is to say of a connection that is lost: nothing when another has said, or will say it."""
        try:
            with self.lock:
                self.store.set(f"spk/here/{self.rank}", "1")
            deadline = time.monotonic() + ROLL_CALL
            while True:
                with self.lock:
                    if self.store.check(["spk/said"]):
                        return ""
                    here = [self.store.check([f"spk/here/{rank}"]) for rank in range(len(self.names))]
                if all(here) or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
        except RuntimeError:
            return f"{self.names[self.rank]} lost the connection to the machine of {self.names[0]}"
        if self.rank != here.index(True):
            return ""
        gone = [name for name, is_here in zip(self.names, here, strict=True) if not is_here]
        return (
            f"{', '.join(gone) or 'one of the processes'} ended without a word: killed, as when memory runs out, or "
            "its machine is gone; start again to go on from the last checkpoint"
        )


def own_store() -> dist.Store:
    """Another connection to torchrun's store: the group's own may be in use for as long as another process takes."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=30))


def together(group: Group, work: Callable[[], T]) -> T:
    """What `work` returns. An InputError that it raises on any process ends all of them, with one message."""
    if group.size == 1:
        return work()
    result, error = None, None
    try:
        result = work()
    except InputError as raised:
        error = raised
    end_together(group, error)
    return result


def end_together(group: Group, error: InputError | None) -> None:
    """Raise the InputError of the lowest rank that has one, if any has: the first process says it, the others leave."""
    if not group.any_rank(error is not None):
        return
    host = socket.gethostname()
    said = group.gather_objects(None if error is None else (host, str(error)))
    if group.rank > 0:
        sys.exit(1)
    where, message = next(one for one in said if one is not None)
    raise InputError(message if where == host else f"on {where}: {message}")


@torch.no_grad()
def add_up_gradients(group: Group, parts: Iterable[nn.Parameter], alike: Iterable[nn.Parameter]) -> None:
    """Put the sum over processes in the place of each gradient of `parts`; of `alike`, the first process's.

    Those are the same on all of them, but for what different GPUs round differently: weights must not drift apart.
    """
    if group.size == 1:
        return
    gradients = [one.grad for one in parts if one.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    group.add_up(flat)
    for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))
    copy_from_first(group, [one.grad for one in alike if one.grad is not None])


def copy_from_first(group: Group, tensors: Iterable[torch.Tensor]) -> None:
    """Put what the first process holds in the place of each tensor: other processors may have rounded it otherwise."""
    for tensor in tensors if group.size > 1 else ():
        same = tensor.detach().contiguous()
        group.copy_from_first(same)
        if same.data_ptr() != tensor.data_ptr():
            tensor.detach().copy_(same)


class StopSignal:
    """SIGTERM (a time limit, a preemption), or the end of the process that started this one, when there are several."""

    def __init__(self) -> None:
        self.received = False
        self.parent = os.getppid() if num_processes() > 1 else None

    def __bool__(self) -> bool:
        return self.received or (self.parent is not None and os.getppid() != self.parent)

    @contextlib.contextmanager
    def caught(self) -> Iterator[StopSignal]:
        def note(number: int, frame: object) -> None:
            self.received = True

        previous = signal.signal(signal.SIGTERM, note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, previous)
