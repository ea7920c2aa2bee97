"""How far a long pass over bytes is, in megabytes: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

from spk.ivector.progress import Progress

MEGABYTE = 1_000_000


class ByteProgress(Progress):
    """`with ByteProgress("md5 of a.zip", num_bytes) as progress: progress(num_bytes_more)`"""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(what, total // MEGABYTE, "MB")
        self.bytes = 0

    def __enter__(self) -> ByteProgress:
        return self

    def __call__(self, num_bytes: int) -> None:
        self.bytes += num_bytes
        self.update(self.bytes // MEGABYTE - self.done)
