"""utt2dur by the headers of the recordings, a share of a data directory at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from spk.data.audio import is_pipe
from spk.data.data_dir import read_table, write_table
from spk.data.durations import read_durations
from spk.data.features import list_rejected, read_sources, seconds_text
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
    utterances = list(read_table(share / "utt2spk"))
    for utterance in utterances:
        if utterance not in sources:
            raise InputError(f"{share}: {utterance!r} has no recording (run utils/fix_data_dir.sh on the whole)")
    durations, reasons = read_durations({utterance: sources[utterance] for utterance in utterances})
    rejected = [(utterance, sources[utterance].entry, reason) for utterance, reason in reasons.items()]
    write_json(path, {"durations": durations, "rejected": rejected})
    log.info("%s: %d utterances, %d rejected", path, len(durations) + len(rejected), len(rejected))


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
    write_table(data_dir / "utt2dur", {name: seconds_text(seconds) for name, seconds in durations.items()})
    log.info("%s: %d utterances, %.2f hours", data_dir / "utt2dur", len(durations), sum(durations.values()) / 3600)
