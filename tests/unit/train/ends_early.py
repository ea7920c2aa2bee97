"""A process that ends in the way its argument says, for tests of what it and the others say."""

from __future__ import annotations

import os
import signal
import sys

import torch
import torch.distributed as dist

from spk.bin.command import command
from spk.train import parallel


@command
def main() -> None:
    parallel.BEAT, parallel.SILENCE, parallel.ROLL_CALL = 0.2, 2.0, 1.0
    way, rank = sys.argv[1], int(os.environ["RANK"])
    meet = dist.init_process_group

    def meet_or_die(*arguments: object, **named: object) -> None:
        if way == "killed before they meet" and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        meet(*arguments, **named)

    dist.init_process_group = meet_or_die
    with parallel.joined(lambda: torch.device("cpu")):
        if way == "all find the disk full":
            raise OSError(28, "No space left on device", "somewhere")


if __name__ == "__main__":
    main()
