"""Decode a folder of compressed audio into another of the same shape: what is to do, a job's share, what came of it."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from spk.data.data_dir import encode
from spk.data.decode import ENCODED, Outcome, Task, decode
from spk.data.features import Progress, list_rejected
from spk.data.files import whole_file
from spk.data.speaker_folders import sorted_entries
from spk.data.stamp import differences, write_stamp
from spk.errors import InputError

log = logging.getLogger(__name__)
FILES_AT_ONCE = 32  # that one ffmpeg decodes


class StepFiles:
    """What the jobs share, in DEST/.decode_audio: the settings, the list of files to decode, what each job rejected."""

    def __init__(self, dest: Path) -> None:
        self.folder = dest / ".decode_audio"
        self.settings = self.folder / "settings.json"
        self.files = self.folder / "files"

    def listed(self) -> Iterator[str]:
        """The files of the list, relative to SOURCE."""
        with self.files.open("rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")

    def rejected(self, job: int) -> Path:
        return self.folder / f"rejected.{job}.jsonl"


def list_files(source: Path, dest: Path, file_format: str, sample_rate: int) -> tuple[int, int]:
    """Write the list of the files below `source` that are not decoded yet. Returns the numbers of all and of these.

    Raises: InputError when there is nothing to decode, when two files would be decoded into one, and when `dest` was
    decoded from another folder or in another way.
    """
    shared = StepFiles(dest)
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    settings = {"source": os.path.realpath(source), "format": file_format, "sample_rate": str(sample_rate)}
    different = differences(shared.settings, settings)
    if different:
        raise InputError(f"{dest}: was decoded with another {', '.join(different)}; remove it, or name another folder")
    total = missing = 0
    with whole_file(shared.files, "wb") as file:
        for folder, names in encoded_files(source):
            there = names_in(dest / folder)
            todo = [name for name in names if target_name(name, file_format) not in there]
            file.write(encode("".join(f"{os.path.join(folder, name)}\n" for name in todo)))  # noqa: PTH118
            total += len(names)
            missing += len(todo)
        if not total:
            raise InputError(f"{source}: no file below it is one of {', '.join(ENCODED)}")
    write_stamp(shared.settings, settings)
    return total, missing


def encoded_files(source: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder relative to `source`, names of its encoded files), sorted; hidden files and folders are left out."""
    pending = [""]
    while pending:
        folder = pending.pop()
        names, folders = [], []
        for entry in sorted_entries(source / folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    refuse_loop(entry)
                folders.append(os.path.join(folder, entry.name))  # noqa: PTH118
            elif entry.name.lower().endswith(ENCODED):
                names.append(entry.name)
        check_names(source / folder, names)
        yield folder, names
        pending += reversed(folders)


def refuse_loop(entry: os.DirEntry[str]) -> None:
    around = os.path.realpath(Path(entry.path).parent)
    if Path(around).is_relative_to(os.path.realpath(entry.path)):
        raise InputError(f"{entry.path}: is a link to a folder around it; remove it")


def check_names(folder: Path, names: list[str]) -> None:
    """No line break, and no two names that differ in the suffix only."""
    stems: dict[str, str] = {}
    for name in names:
        if "\n" in name:
            raise InputError(f"{str(folder / name)!r}: there is a line break in the name; rename it")
        other = stems.setdefault(name.rpartition(".")[0], name)
        if other != name:
            raise InputError(f"{folder / other} and {folder / name}: would be decoded into one file; remove one")


def target_name(name: str, file_format: str) -> str:
    return f"{name.rpartition('.')[0]}.{file_format}"


def names_in(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208 (paths of a million files take long)
    except FileNotFoundError:
        return set()


def decode_share(
    source: Path, dest: Path, file_format: str, sample_rate: int, job: int, num_jobs: int
) -> tuple[int, int]:
    """Decode the `job`-th of `num_jobs` parts of the list. Returns the numbers of files decoded and rejected."""
    shared = StepFiles(dest)
    count = sum(1 for _ in shared.listed())
    share = list(itertools.islice(shared.listed(), count * (job - 1) // num_jobs, count * job // num_jobs))
    progress = Progress(len(share), 0)
    rejected: list[tuple[str, str]] = []
    for first in range(0, len(share), FILES_AT_ONCE):
        tasks = {}
        for file in share[first : first + FILES_AT_ONCE]:
            target = dest / target_name(file, file_format)
            target.parent.mkdir(parents=True, exist_ok=True)
            tasks[Task(source / file, target)] = file
        # Another run of the same job may have been here; a cluster's engine starts a job again.
        done = [task for task in tasks if task.target.exists()]
        todo = [task for task in tasks if not task.target.exists()]
        for task, seconds, reason in itertools.chain((Outcome(task, 0.0) for task in done), decode(todo, sample_rate)):
            if reason:
                log.info("rejected %s: %s", task.source, reason)
                rejected.append((tasks[task], reason))
            progress.update(seconds)
    with whole_file(shared.rejected(job)) as file:
        file.writelines(f"{json.dumps(pair)}\n" for pair in rejected)
    return len(share) - len(rejected), len(rejected)


def join_shares(source: Path, dest: Path, file_format: str, total: int, num_jobs: int, max_rejected: float) -> None:
    """List what the jobs rejected in DEST/rejected.tsv (file, path, reason), and say what there is.

    Raises: InputError when a file is neither decoded nor rejected, when more than `max_rejected` percent are rejected,
    or all.
    """
    shared = StepFiles(dest)
    reasons: dict[str, str] = {}
    for job in range(1, num_jobs + 1):
        with shared.rejected(job).open(encoding="utf-8") as lines:
            reasons.update(json.loads(line) for line in lines)
        shared.rejected(job).unlink()
    missing = 0
    for file in shared.listed():
        missing += 1
        if file not in reasons and not (dest / target_name(file, file_format)).exists():
            raise InputError(f"{source / file}: was neither decoded nor rejected; run decode_audio again")
    list_rejected(dest / "rejected.tsv", [(file, str(source / file), reason) for file, reason in reasons.items()])
    decoded = f"{total - len(reasons):,} of {total:,} files are decoded"
    if missing < total:
        decoded += f", {total - missing:,} of them before"
    if reasons:
        percent = 100 * len(reasons) / total
        first = min(reasons)
        decoded += f"; {len(reasons):,} ({percent:.2g} %) are rejected, listed in {dest}/rejected.tsv"
        if percent > max_rejected or len(reasons) == total:
            raise InputError(
                f"{decoded}, first {first}: {reasons[first]}; that is more than --max-rejected {max_rejected:g}: mend "
                f"or remove the files, then run this again"
            )
    log.info("%s: %s", dest, decoded)
