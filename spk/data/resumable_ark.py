"""An ark that is written record by record and survives a kill at any moment: what was finished is kept and carried on.

Beside PREFIX.ark stands PREFIX.journal: a line of JSON for what the ark is made from, then one for each utterance that
is done, in the order of the work. A record is written before its line, so a line without its whole record, or a record
without its line, is the trace of a kill or of a full disk, and is cut off. Until all is done the ark is called
PREFIX.ark.partial.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from spk.data.ark_format import LONGEST_HEADER, parse_header
from spk.errors import InputError

log = logging.getLogger(__name__)
Entry = dict[str, Any]


class ResumableArk:
    """`with ResumableArk(...) as ark: for utterance in ark.missing(): ark.append(utterance, record, ...)`.

    `done` holds the lines of the journal: {"utterance": ..., "end": where its record ends in the ark, or None when it
    has none, ...what else was said of it}.
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        made_from: Entry,
        utterances: Sequence[str],
        keep: Callable[[Entry], bool] = lambda entry: True,
    ) -> None:
        """Take up what an earlier run left, if it was made from the same; else begin anew.

        `keep` is asked about each line; from the first that it denies on all is made again. InputError when the ark
        belongs to another data directory (`made_from["data"]`) that still exists.
        """
        self.ark = Path(f"{prefix}.ark")
        self.partial = Path(f"{prefix}.ark.partial")
        self.journal = Path(f"{prefix}.journal")
        self.made_from, self.utterances, self.keep = made_from, utterances, keep
        self.done: list[Entry] = []
        self._files = contextlib.ExitStack()

    def __enter__(self) -> ResumableArk:
        self.ark.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as files:
            self._journal = files.enter_context(self.journal.open("ab+", buffering=0))
            wait_for_lock(self._journal, self.journal)
            journal_end = self._take_up()
            if self.finished and self.ark.exists() and not self.partial.exists():
                self._files = files.pop_all()
                return self
            if self.ark.exists() and not self.partial.exists():
                self.ark.replace(self.partial)
            self.ark.unlink(missing_ok=True)
            self._ark = files.enter_context(self.partial.open("ab+", buffering=0))
            self._journal.truncate(journal_end)
            self._ark.truncate(self.end)
            if not journal_end:
                self._write(self._journal, json_line(self.made_from))
            self._files = files.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def end(self) -> int:
        """Bytes of the ark that are done."""
        return next((entry["end"] for entry in reversed(self.done) if entry["end"] is not None), 0)

    @property
    def finished(self) -> bool:
        return len(self.done) == len(self.utterances)

    def missing(self) -> Iterator[str]:
        """The utterances that are still to do, in order."""
        yield from self.utterances[len(self.done) :]

    def append(self, utterance: str, record: bytes | None, **said: Any) -> None:
        """Write the next utterance's record (from \\0B on; None: it has none), and in the journal what is `said`."""
        assert utterance == self.utterances[len(self.done)], "utterances come in their order"
        end = None
        if record is not None:
            self._write(self._ark, b"%s %s" % (utterance.encode("utf-8", "surrogateescape"), record))
            end = self._ark.tell()
        entry = {"utterance": utterance, "end": end, **said}
        self._write(self._journal, json_line(entry))
        self.done.append(entry)

    def finish(self) -> None:
        """All is done: give the ark its name."""
        assert self.finished
        if self.partial.exists():
            os.fsync(self._ark.fileno())
            self.partial.replace(self.ark)

    def _write(self, file: IO[bytes], content: bytes) -> None:
        """All of it or nothing, with the file's name in the error of a full disk."""
        before = file.seek(0, os.SEEK_END)
        try:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise OSError(error.errno, error.strerror, os.fspath(file.name)) from None

    def _take_up(self) -> int:
        """Read what an earlier run left into `done`; the bytes of the journal that are to be kept."""
        self._journal.seek(0)
        lines = self._journal.read().split(b"\n")[:-1]  # what follows the last newline was cut short
        made_from = read_line(lines[0]) if lines else None
        if made_from != self.made_from:
            owner = (made_from or {}).get("data")
            if owner != self.made_from.get("data") and owner is not None and Path(owner).exists():
                raise InputError(f"{self.ark}: belongs to {owner}; give another folder for the features")
            self.partial.unlink(missing_ok=True)
            self.ark.unlink(missing_ok=True)
            return 0
        kept = len(lines[0]) + 1
        there = self.partial if self.partial.exists() else self.ark
        records = scan(there) if there.exists() else iter(())
        for line, utterance in zip(lines[1:], self.utterances, strict=False):
            entry = read_line(line)
            if entry is None or entry.get("utterance") != utterance or not self.keep(entry):
                break
            if entry["end"] is not None and (utterance, entry["end"]) != next(records, None):
                break
            self.done.append(entry)
            kept += len(line) + 1
        return kept


def json_line(entry: Entry) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def read_line(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def read_journal(prefix: str | os.PathLike[str]) -> tuple[Entry, Iterator[Entry]]:
    """(what the ark is made from, the lines of its utterances, read as they are asked for) of a finished ark."""
    lines = read_lines(Path(f"{prefix}.journal"))
    return next(lines), lines


def read_lines(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def scan(path: Path) -> Iterator[tuple[str, int]]:
    """(utterance, byte after its record) for each whole record of an ark, up to the first that is torn."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            start = file.read(LONGEST_HEADER + 256)
            key, _, body = start.partition(b" ")
            if len(body) < LONGEST_HEADER:  # a long name, or the end of the file
                file.seek(at)
                start = file.read(LONGEST_HEADER + 65536)
                key, _, body = start.partition(b" ")
            try:
                at += len(key) + 1 + parse_header(body).end
            except ValueError:
                return
            if at > size:
                return
            yield key.decode("utf-8", "surrogateescape"), at


def wait_for_lock(file: IO[bytes], path: Path) -> None:
    """Hold the file for this process; a job that outlived the stage that started it is waited for."""
    said = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not said:
                log.info("waiting: another process is writing %s", path.with_suffix(".ark"))
                said = True
            time.sleep(1)
        except OSError:  # a file system without locks
            return
