"""Split a data directory into parts for parallel jobs: as even as can be, and each a run of the sorted utterances."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spk.data.data_dir import check_source, read_sorted, write_parts
from spk.data.files import remove_partials
from spk.errors import InputError


def split_data(data_dir: Path, num_parts: int, per_speaker: bool = False) -> tuple[Path, int, list[str]]:
    """Write data_dir/split<N>/1..N, or split<N>spk/1..N where a speaker's utterances stay together.

    N is `num_parts`, or fewer when there are fewer utterances (or speakers). Returns the folder, N, and lines about
    what was left out.
    """
    check_source(data_dir)
    if num_parts < 1:
        raise InputError(f"{num_parts} parts: a data directory is split into 1 or more")
    utterances, speakers = read_sorted(data_dir / "utt2spk")
    if not utterances:
        raise InputError(f"{data_dir / 'utt2spk'}: empty; there is nothing to split")
    rows: Sequence[int] = range(len(utterances))
    if per_speaker:
        # By speaker first: this is the order of the utterances, too, when speakers are prefixes of their utterances.
        rows = sorted(rows, key=speakers.__getitem__)
        sizes = Counter(speakers)
        ends = list(itertools.accumulate(even_runs([sizes[speaker] for speaker in sorted(sizes)], num_parts)))
    else:
        num_parts = min(num_parts, len(utterances))
        ends = [len(utterances) * part // num_parts for part in range(1, num_parts + 1)]
    folder = data_dir / f"split{len(ends)}{'spk' if per_speaker else ''}"
    runs = [
        sorted(rows[start:end]) if per_speaker else rows[start:end] for start, end in itertools.pairwise([0, *ends])
    ]
    for part in range(1, len(ends) + 1):
        remove_partials(folder / str(part))
    parts = [(folder / str(part), run) for part, run in enumerate(runs, start=1)]
    left_out = write_parts(data_dir, utterances, speakers, parts)
    return folder, len(ends), left_out


def even_runs(sizes: Sequence[int], num_runs: int) -> list[int]:
    """Cut a sequence into runs whose largest sum is as small as it can be; the sum of each run.

    There are as many runs as asked for, or as there are items when these are fewer.
    """
    num_runs = min(num_runs, len(sizes))
    # The smallest bound with which runs, each filled up to it, are not too many: by bisection.
    low, high = max(sizes), sum(sizes)
    while low < high:
        bound = (low + high) // 2
        if len(fill_runs(sizes, bound, 1)) <= num_runs:
            high = bound
        else:
            low = bound + 1
    return fill_runs(sizes, low, num_runs)


def fill_runs(sizes: Sequence[int], bound: int, least_runs: int) -> list[int]:
    """Sums of runs, each filled up to `bound`, but ended early where the items after it are needed for `least_runs`."""
    sums = [0]
    for index, size in enumerate(sizes):
        items_left = len(sizes) - index
        if sums[-1] and (sums[-1] + size > bound or items_left <= least_runs - len(sums)):
            sums.append(0)
        sums[-1] += size
    return sums
