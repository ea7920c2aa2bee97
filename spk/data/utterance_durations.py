"""How long the utterances of a data directory are, by the headers of their recordings: nothing is decoded."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
from tqdm import tqdm

from spk.data.audio import AudioError, bounds, is_pipe, why_unreadable
from spk.data.augmentation import Augmentation
from spk.data.data_dir import read_table, write_table
from spk.data.durations import HEADERS_AT_ONCE
from spk.data.features import Source, list_rejected, read_sources
from spk.data.files import write_json
from spk.errors import InputError

log = logging.getLogger(__name__)
REJECTED = "without_duration.tsv"


def measure_share(share: Path, path: Path) -> None:
    """Write the durations of a share of a data directory, and what cannot be read, as JSON for `join_durations`.

    InputError for a recording that is a command.
    """
    sources = read_sources(share, allow_pipes=True)
    for utterance, source in sources.items():
        if is_pipe(source.entry):
            raise InputError(
                f"{share / 'wav.scp'}: utterance {utterance!r} is the output of a command, which has no header; decode "
                f"it to a file first (steps/decode_audio): {source.entry}"
            )
    of_recording: dict[str, list[str]] = {}
    for utterance in read_table(share / "utt2spk"):
        if utterance not in sources:
            raise InputError(f"{share}: {utterance!r} has no recording (run utils/fix_data_dir.sh on the whole)")
        of_recording.setdefault(sources[utterance].entry, []).append(utterance)
    durations: dict[str, float] = {}
    rejected: list[tuple[str, str, str]] = []
    with ThreadPoolExecutor(HEADERS_AT_ONCE) as pool:
        parts = ([sources[utterance] for utterance in utterances] for utterances in of_recording.values())
        found = pool.map(measure, of_recording, parts, chunksize=64)
        found = tqdm(found, desc="headers", total=len(of_recording), disable=not sys.stderr.isatty())
        for (entry, utterances), said in zip(of_recording.items(), found, strict=True):
            for utterance, seconds in zip(utterances, said, strict=True):
                if isinstance(seconds, str):
                    rejected.append((utterance, entry, seconds))
                else:
                    durations[utterance] = seconds
    write_json(path, {"durations": durations, "rejected": rejected})
    log.info("%s: %d utterances, %d rejected", path, len(durations) + len(rejected), len(rejected))


def measure(entry: str, sources: Sequence[Source]) -> list[float | str]:
    """Of each utterance of one recording the seconds, at its speed in utt2augmentation, or why they are not known."""
    try:
        with soundfile.SoundFile(os.fsencode(entry)) as file:
            return [duration_or_reason(file, source) for source in sources]
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        return [why_unreadable(os.fsencode(entry), error)] * len(sources)


def duration_or_reason(file: soundfile.SoundFile, source: Source) -> float | str:
    try:
        start, end = bounds(source.entry, file, source.part)
    except AudioError as error:
        return error.reason
    speed = Augmentation.from_json(source.augmentation).speed if source.augmentation else 1.0
    return (end - start) / file.samplerate / speed if end > start else "holds no samples"


def join_durations(data_dir: Path, shares: Iterable[Path], max_rejected: float) -> None:
    """Write utt2dur and, if any utterance was rejected, without_duration.tsv.

    InputError when more than `max_rejected` percent are rejected, or all: then only the list is written.
    """
    durations: dict[str, float] = {}
    rejected: list[tuple[str, str, str]] = []
    for path in shares:
        share: Mapping = json.loads(path.read_text(encoding="utf-8"))
        durations |= share["durations"]
        rejected += map(tuple, share["rejected"])
    list_rejected(data_dir / REJECTED, rejected)
    if rejected:
        total = len(durations) + len(rejected)
        percent = 100 * len(rejected) / total
        what = f"{len(rejected)} of {total} utterances ({percent:.2g} %) are rejected, listed in {data_dir / REJECTED}"
        if percent > max_rejected or not durations:
            first = min(rejected)
            raise InputError(
                f"{what}, first {first[0]!r}: {first[2]}; that is more than --max-rejected {max_rejected:g}: mend the "
                f"files or take the utterances out of {data_dir}, then run this again"
            )
        log.info("%s; they are left out of utt2dur", what)
    write_table(data_dir / "utt2dur", {name: written(seconds) for name, seconds in durations.items()})
    log.info("%s: %d utterances, %.2f hours", data_dir / "utt2dur", len(durations), sum(durations.values()) / 3600)


def written(seconds: float) -> str:
    """As make_feats writes it, so that a run that goes by it may go on when there are features, too."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
