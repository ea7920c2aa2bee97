"""Make the features of a data directory: a job's share of the recordings into an ark, and the shares into feats.scp."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import logging
import os
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml

from spk.data.ark_format import encode_matrix
from spk.data.audio import AudioError, is_pipe, read_audio, will_need
from spk.data.augmentation import Augmentation, augment
from spk.data.data_dir import encode, read_table
from spk.data.files import whole_file
from spk.data.read_ahead import ask_ahead, read_ahead
from spk.data.resumable_ark import Entry, ResumableArk, read_journal
from spk.errors import InputError

log = logging.getLogger(__name__)
SECONDS_BETWEEN_PROGRESS = 30
FILES_ASKED_FOR = 32  # ahead of the one that is read


class Analysis(Protocol):
    """What is needed of a front end."""

    sample_rate: int
    min_samples: int
    samples_at_once: int  # waves of so many samples in all, or the one that exceeds it, are given to it together

    def __call__(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 [samples] each -> float32 [T, F] each."""


@dataclass(frozen=True)
class Source:
    """Where an utterance is, an entry of wav.scp and of it the seconds (begin, end) or all, and what is done to it.

    `augmentation` is a sound line of utt2augmentation: it takes less room than what it says.
    """

    entry: str
    part: tuple[float, float] | None = None
    augmentation: str | None = None


def read_sources(data_dir: str | os.PathLike[str], *, allow_pipes: bool) -> dict[str, Source]:
    """{utterance: its audio} from wav.scp and, where they are, segments and utt2augmentation.

    InputError names the line of a pipe that is not allowed, or of what is no segment or no augmentation.
    """
    data_dir = Path(data_dir)
    sources = read_places(data_dir, allow_pipes=allow_pipes)
    table = data_dir / "utt2augmentation"
    if not table.exists():
        return sources
    for line, (utterance, augmentation) in enumerate(read_table(table).items(), start=1):
        try:
            is_clean = Augmentation.from_json(augmentation) == Augmentation()
        except InputError as error:
            raise InputError(f"{table}:{line}: {utterance!r}: {error}") from None
        if utterance in sources and not is_clean:
            sources[utterance] = dataclasses.replace(sources[utterance], augmentation=augmentation)
    return sources


def read_places(data_dir: Path, *, allow_pipes: bool) -> dict[str, Source]:
    """{utterance: its audio as it was recorded}"""
    path = data_dir / "wav.scp"
    if not path.exists():
        raise InputError(f"{path}: no such file")
    entries = read_table(path)
    if not allow_pipes:
        for line, (name, entry) in enumerate(entries.items(), start=1):
            if is_pipe(entry):
                raise InputError(f"{path}:{line}: {name!r} is a command, which --allow-pipes true would run: {entry}")
    segments = data_dir / "segments"
    if not segments.exists():
        return {utterance: Source(entry) for utterance, entry in entries.items()}
    sources = {}
    for line, (utterance, value) in enumerate(read_table(segments).items(), start=1):
        try:
            recording, begin, end = value.split()
            sources[utterance] = Source(entries[recording], (float(begin), float(end)))
        except ValueError:
            raise InputError(f"{segments}:{line}: wanted 'utterance recording begin end', not {value!r}") from None
        except KeyError:
            raise InputError(f"{segments}:{line}: recording {recording!r} is not in {path}") from None
    return sources


def describe(
    sources: Mapping[str, Source], section: Mapping[str, Any], compression: int, data_dir: str, device: str = ""
) -> Entry:
    """What decides the bytes of a share's ark: a share whose description is the same can be carried on.

    `device`: the name of what is not a CPU.
    """
    digest = hashlib.sha256()
    for utterance, source in sources.items():
        augmented = f" {source.augmentation}" if source.augmentation else ""
        digest.update(f"{utterance} {source.entry} {source.part}{augmented}\n".encode("utf-8", "surrogateescape"))
    return {
        "features": dict(section),
        "compression": compression,
        "audio": digest.hexdigest(),
        "data": os.path.realpath(data_dir),
        **({"device": device} if device else {}),
    }


@dataclass
class Utterance:
    """An utterance on its way into the ark, and what the journal says of it; without samples when it is rejected."""

    name: str
    source: Source
    samples: np.ndarray | None
    said: dict[str, Any]
    features: np.ndarray | None = None

    def reject(self, error: AudioError) -> None:
        self.samples = self.features = None
        self.said = {"rejected": error.reason, "path": error.entry, "file": file_state(error.entry)}


def make_share(
    sources: Mapping[str, Source],
    prefix: str | os.PathLike[str],
    made_from: Entry,
    open_front_end: Callable[[], Analysis],
    *,
    allow_pipes: bool,
    threads: int = 1,
) -> None:
    """Write PREFIX.ark, and PREFIX.journal that says of each utterance its frames and samples, or why it was rejected.

    Carries on what an earlier run left. The front end is built only when there is something to do. Several `threads`
    read audio while it works.
    """
    with ResumableArk(prefix, made_from, list(sources), keep=still_rejected) as ark:
        if ark.done:
            log.info("%d of %d utterances were made before", len(ark.done), len(sources))
        if not ark.finished:
            analysis = open_front_end()
            progress = Progress(len(sources), len(ark.done))

            def read(name: str) -> Utterance:
                return read_utterance(name, sources[name], analysis, allow_pipes)

            def encode(utterance: Utterance) -> tuple[Utterance, bytes | None]:
                return utterance, encoded(utterance, made_from["compression"])

            if threads == 1:
                names = ask_ahead(lambda name: ask_for(sources[name]), ark.missing(), ahead=FILES_ASKED_FOR)
                records = map(encode, analysed(map(read, names), analysis))
            else:  # for a front end on a device, which leaves this to be waited for
                utterances = read_ahead(read, ark.missing(), ahead=2 * threads - 1, threads=threads)
                records = read_ahead(encode, analysed(utterances, analysis), ahead=threads, threads=threads)
            for utterance, record in records:
                ark.append(utterance.name, record, **utterance.said)
                progress.update(utterance.said.get("seconds", 0.0))
        ark.finish()
        log.info(
            "%s: %d utterances, %d rejected", ark.ark, len(sources), sum("rejected" in entry for entry in ark.done)
        )


def ask_for(source: Source) -> None:
    """The system is to fetch the file, but where a part of it is wanted, which may be little."""
    if source.part is None:
        will_need(source.entry)


def read_utterance(name: str, source: Source, analysis: Analysis, allow_pipes: bool) -> Utterance:
    """With its samples at the wanted rate, augmented; or rejected."""
    utterance = Utterance(name, source, None, {})
    try:
        audio = read_audio(
            source.entry,
            analysis.sample_rate,
            min_samples=analysis.min_samples,
            allow_pipes=allow_pipes,
            part=source.part,
        )
        samples = audio.samples
        if source.augmentation:
            samples = augment(samples, analysis.sample_rate, Augmentation.from_json(source.augmentation))
        if len(samples) < analysis.min_samples:
            raise AudioError(source.entry, f"too short: {len(samples)} samples at its new speed")
    except AudioError as error:
        utterance.reject(error)
        return utterance
    utterance.samples = samples
    if audio.file_rate != analysis.sample_rate:
        utterance.said["resampled_from"] = audio.file_rate
    if audio.file_channels > 1:
        utterance.said["channels"] = audio.file_channels
    return utterance


def analysed(utterances: Iterable[Utterance], analysis: Analysis) -> Iterator[Utterance]:
    """The utterances, in order, with features for samples; as many at once as the analysis takes."""
    for group in groups(utterances, analysis.samples_at_once):
        with_samples = [utterance for utterance in group if utterance.samples is not None]
        if with_samples:
            features = analysis([utterance.samples for utterance in with_samples])
            for utterance, own in zip(with_samples, features, strict=True):
                seconds = round(len(utterance.samples) / analysis.sample_rate, 6)
                utterance.features, utterance.samples = own, None
                utterance.said = {"frames": len(own), "seconds": seconds} | utterance.said
        yield from group


def groups(utterances: Iterable[Utterance], samples_at_once: int) -> Iterator[list[Utterance]]:
    """Neighbours, until they have so many samples together."""
    group: list[Utterance] = []
    num_samples = 0
    for utterance in utterances:
        group.append(utterance)
        num_samples += len(utterance.samples) if utterance.samples is not None else 0
        if num_samples >= samples_at_once:
            yield group
            group, num_samples = [], 0
    yield group


def encoded(utterance: Utterance, compression: int) -> bytes | None:
    """Its record; None when it is, or is now, rejected."""
    if utterance.features is not None and not np.isfinite(utterance.features).all():
        utterance.reject(AudioError(utterance.source.entry, "its features are not finite"))
    if utterance.features is None:
        return None
    record = encode_matrix(utterance.features, compression)
    utterance.features = None
    return record


def file_state(entry: str) -> list[int] | None:
    """Size and time of change of a recording's file; None for a pipe or where there is no such file."""
    try:
        state = Path(entry).stat()
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]


def still_rejected(entry: Entry) -> bool:
    """False for a rejected utterance whose file is another now: it has been mended, perhaps."""
    return "rejected" not in entry or file_state(entry["path"]) == entry["file"]


class Progress:
    """Now and then a line on how far a job is and how fast."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.audio_seconds = total, done, 0.0
        self.began = self.said = time.monotonic()

    def update(self, audio_seconds: float) -> None:
        self.done += 1
        self.audio_seconds += audio_seconds
        now = time.monotonic()
        if now - self.said >= SECONDS_BETWEEN_PROGRESS:
            self.said = now
            speed = self.audio_seconds / (now - self.began)
            log.info("%d of %d utterances, %.0f times real time", self.done, self.total, speed)


def join_shares(data_dir: str | os.PathLike[str], prefixes: Iterable[str], *, max_rejected: float) -> None:
    """Write feats.scp, utt2num_frames, utt2dur, feats.yaml and, if any utterance was rejected, rejected.tsv.

    InputError when the shares do not cover wav.scp (or segments), when more than `max_rejected` percent of the
    utterances are rejected, or all: then only rejected.tsv is written.
    """
    data_dir = Path(data_dir)
    # Of each utterance its name, the number of its ark, where it lies there, frames and seconds: there may be millions.
    utterances: list[str] = []
    arks: list[str] = []
    ark_ids, offsets, num_frames, seconds = array("i"), array("q"), array("i"), array("d")
    rejected: list[tuple[str, str, str]] = []
    resampled: collections.Counter[int] = collections.Counter()
    mixed_down = 0
    made_from: Entry = {}
    devices: set[str] = set()
    for prefix in prefixes:
        made_from, entries = read_journal(prefix)
        devices.add(made_from.get("device", "the CPU"))
        begin = 0
        for entry in entries:
            utterance = entry["utterance"]
            if "rejected" in entry:
                rejected.append((utterance, entry["path"], entry["rejected"]))
                continue
            offset = begin + len(utterance.encode("utf-8", "surrogateescape")) + 1
            utterances.append(utterance)
            ark_ids.append(len(arks))
            offsets.append(offset)
            num_frames.append(entry["frames"])
            seconds.append(entry["seconds"])
            begin = entry["end"]
            if "resampled_from" in entry:
                resampled[entry["resampled_from"]] += 1
            mixed_down += "channels" in entry
        arks.append(f"{Path(prefix).absolute()}.ark")
    if len(devices) > 1:
        log.warning("features were made on %s: they may differ in their last bits", " and ".join(sorted(devices)))
    total = len(utterances) + len(rejected)
    check_coverage(data_dir, total)
    list_rejected(data_dir / "rejected.tsv", rejected)
    if resampled:
        rates = ", ".join(f"{count} from {rate} Hz" for rate, count in sorted(resampled.items()))
        log.info("%d recordings were resampled: %s", resampled.total(), rates)
    if mixed_down:
        log.info("%d recordings were mixed down to one channel", mixed_down)
    if rejected:
        percent = 100 * len(rejected) / total
        what = (
            f"{len(rejected)} of {total} utterances ({percent:.2g} %) are rejected, listed in {data_dir}/rejected.tsv"
        )
        if percent > max_rejected or not utterances:
            raise InputError(
                f"{what}, first {rejected[0][0]!r}: {rejected[0][2]}; that is more than --max-rejected "
                f"{max_rejected:g}: mend the files or take the utterances out of {data_dir}, then run this again"
            )
        log.info("%s; they are left out of feats.scp", what)
    order = sorted(range(len(utterances)), key=utterances.__getitem__)

    def write(name: str, value: Callable[[int], object]) -> None:
        with whole_file(data_dir / name, "wb") as file:
            file.writelines(encode(f"{utterances[row]} {value(row)}\n") for row in order)

    write("utt2num_frames", num_frames.__getitem__)
    write("utt2dur", lambda row: seconds_text(seconds[row]))
    with whole_file(data_dir / "feats.yaml") as file:
        where = f", on {' and '.join(sorted(devices))}" if devices != {"the CPU"} else ""
        file.write(f"# The front end that made feats.scp{where}.\n")
        yaml.safe_dump(made_from["features"], file, sort_keys=False)
    write("feats.scp", lambda row: f"{arks[ark_ids[row]]}:{offsets[row]}")


def seconds_text(seconds: float) -> str:
    """A value of utt2dur: the same bytes, whoever writes it."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def list_rejected(path: Path, rejected: list[tuple[str, str, str]]) -> None:
    """utterance, path, reason: with tabs between, sorted; no file when there is none."""
    if not rejected:
        path.unlink(missing_ok=True)
        return
    with whole_file(path, "wb") as file:
        for columns in sorted(rejected):
            line = "\t".join(" ".join(column.split()) for column in columns)
            file.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def check_coverage(data_dir: Path, total: int) -> None:
    """Every utterance of the data directory was in one of the shares."""
    table = data_dir / "segments"
    table = table if table.exists() else data_dir / "wav.scp"
    with table.open("rb") as lines:
        there = sum(1 for _ in lines)
    if there != total:
        raise InputError(
            f"{table}: has {there} utterances, but {total} were processed: it differs from utt2spk "
            f"(run utils/fix_data_dir.sh {data_dir})"
        )


def remove_shares_after(prefix: str | os.PathLike[str], num_jobs: int) -> None:
    """Remove the shares of an earlier run with more jobs."""
    prefix = Path(prefix)
    for journal in prefix.parent.glob(f"{prefix.name}.*.journal"):
        job = journal.name[len(prefix.name) + 1 : -len(".journal")]
        if job.isdecimal() and int(job) > num_jobs:
            for suffix in ("ark", "ark.partial", "journal"):
                journal.with_suffix(f".{suffix}").unlink(missing_ok=True)
