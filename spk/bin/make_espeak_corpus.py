"""Make a corpus of synthetic speakers with espeak-ng: speech for trying the machinery, not for claims.

Usage: make_espeak_corpus [options] DIR
Writes DIR/wav/<speaker>/<session>/<utterance>.flac (16 kHz, mono, 2 to 5 s each), DIR/speakers.tsv (gender, split train
or test, voice), DIR/utterances.tsv (text, length) and DIR/README. A session has its own level, colouring filter, noise
and mood. The same options give the same bytes, whatever --nj. DIR appears when it is whole; until then the work lies in
DIR.partial, which a new call begins anew. Where the corpus stands already, nothing is done; where one of other options
stands, it is replaced.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from spk.bin.command import argument_parser, command
from spk.data.alone import alone_in
from spk.data.espeak_corpus import CorpusOptions, make_corpus, state_of_corpus
from spk.errors import InputError

log = logging.getLogger(__name__)
MEGABYTES_PER_UTTERANCE = 0.067
SECONDS_PER_UTTERANCE = 0.011  # of one processor


@command
def main() -> None:
    parser = argument_parser("make_espeak_corpus", __doc__)
    parser.add_argument("--speakers", type=int, default=120, help="speakers in all (default %(default)s)")
    parser.add_argument("--test-speakers", type=int, help="how many of them are test speakers (default: a third)")
    parser.add_argument("--utterances", type=int, default=12, help="utterances a speaker (default %(default)s)")
    parser.add_argument("--sessions", type=int, default=4, help="sessions they are spread over (default %(default)s)")
    parser.add_argument("--nj", type=int, help="processes (default: one for each processor)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other speakers (default %(default)s)")
    parser.add_argument("dir")
    given = parser.parse_args()
    test_speakers = given.speakers // 3 if given.test_speakers is None else given.test_speakers
    options = CorpusOptions(given.speakers, test_speakers, given.sessions, given.utterances, given.seed)
    num_processes = len(os.sched_getaffinity(0)) if given.nj is None else given.nj
    if num_processes < 1:
        raise InputError(f"--nj {num_processes}: needs at least 1")
    folder = Path(given.dir).resolve()
    if state_of_corpus(folder, options) == []:
        log.info("already made: %s", given.dir)
        return
    with alone_in(folder):
        state = state_of_corpus(folder, options)
        if state == []:
            log.info("already made: %s", given.dir)
            return
        if state:
            log.info("%s is made again, because this changed: %s", given.dir, ", ".join(state))
        make(folder, options, num_processes, given.dir)


def make(folder: Path, options: CorpusOptions, num_processes: int, shown: str) -> None:
    """Make the corpus; say what is done, how long it takes and where it lies (as the user calls it: `shown`)."""
    num_utterances = options.speakers * options.utterances
    log.info(
        "%d speakers say %d utterances each (espeak-ng; some %.0f s with --nj %d, %.0f MB) -> %s",
        options.speakers,
        options.utterances,
        num_utterances * SECONDS_PER_UTTERANCE / num_processes + 2,
        num_processes,
        num_utterances * MEGABYTES_PER_UTTERANCE,
        shown,
    )
    begin = time.monotonic()
    with tqdm(total=options.speakers, unit="speaker", disable=not sys.stderr.isatty()) as bar:
        make_corpus(folder, options, num_processes, bar.update)
    num_bytes = sum(path.stat().st_size for path in (folder / "wav").glob("*/*/*.flac"))
    log.info(
        "%d train and %d test speakers, %d utterances, %.0f MB, made in %.0f s: %s",
        options.speakers - options.test_speakers,
        options.test_speakers,
        num_utterances,
        num_bytes / 1e6,
        time.monotonic() - begin,
        shown,
    )


if __name__ == "__main__":
    main()
