"""Write a corpus of synthetic speakers as a folder in VoxCeleb's layout: whole, or not at all."""

from __future__ import annotations

import csv
import io
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spk.data.files import file_digest
from spk.data.stamp import differences, write_stamp
from spk.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
STAMP = ".done"
# The modules that decide what the corpus sounds like.
SOURCES = ("espeak.py", "espeak_corpus.py", "sentences.py", "synthesis.py")
README = """\
# Synthetic speech: {num_speakers} speakers, {num_utterances} utterances each

Spoken by espeak-ng and made by local/make_espeak_corpus with
{options}
The same options give the same bytes. These voices are for trying the machinery: error rates on them say nothing about
error rates on people.

- wav/<speaker>/<session>/<utterance>.flac: 16 kHz, mono, 16 bits.
- speakers.tsv: gender, split (train or test: the speakers are disjoint), accent and voice of each speaker.
- utterances.tsv: what is said in each file, and its length.

A speaker is a vocal tract (formant frequencies, strengths and widths), a pitch and its range, an accent, a rate,
roughness, flutter and breath, all drawn at random. A session is a channel (a colouring filter, noise of some colour and
level, a recording level) and a mood (pitch and rate), drawn anew for every session of every speaker.
"""


@dataclass(frozen=True)
class CorpusOptions:
    """How large the corpus is. The last `test_speakers` of the speakers are for testing, the others for training."""

    speakers: int
    test_speakers: int
    sessions: int
    utterances: int
    seed: int

    def __post_init__(self) -> None:
        """Raise InputError when no corpus is like that."""
        if self.test_speakers < 2 or self.speakers - self.test_speakers < 2:
            raise InputError(
                f"--speakers {self.speakers} of which --test-speakers {self.test_speakers}: needs at least 2 speakers "
                "to train on and 2 to test on"
            )
        if self.sessions < 1 or self.utterances < max(2, self.sessions):
            raise InputError(
                f"--utterances {self.utterances} in --sessions {self.sessions}: needs at least 2 utterances a speaker, "
                "and 1 a session"
            )
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must not be negative")


def speaker_name(speaker: int) -> str:
    return f"es{speaker + 1:04d}"


def describe_corpus(options: CorpusOptions) -> dict[str, str]:
    """What the corpus depends on, for its stamp."""
    code = {f"the code of spk/data/{name}": file_digest(Path(__file__).with_name(name)) for name in SOURCES}
    return {f"--{name.replace('_', '-')}": str(value) for name, value in asdict(options).items()} | code


def state_of_corpus(folder: Path, options: CorpusOptions) -> list[str] | None:
    """[] when the corpus lies in `folder` already, what differs when it is another one, None when there is none.

    Raises: InputError when `folder` holds anything that was not made here.
    """
    state = differences(folder / STAMP, describe_corpus(options))
    if state is None and (folder.exists() or folder.is_symlink()) and not is_empty_folder(folder):
        raise InputError(f"{folder}: holds something that was not made here; give another folder, or remove it")
    return state


def is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def make_corpus(
    folder: Path, options: CorpusOptions, num_processes: int = 1, progress: Callable[[int], object] = lambda count: None
) -> None:
    """Make the corpus in `folder`.partial and give it its name at the end; one that lay there before goes then.

    `progress` is called with 1 for each speaker made. When it fails, nothing is left but what lay there before.
    """
    partial_folder = folder.with_name(folder.name + ".partial")
    if partial_folder.exists():
        shutil.rmtree(partial_folder)  # of a call that was killed
    try:
        partial_folder.mkdir(parents=True)
        speakers, utterances = [], []
        write = partial(write_speaker, partial_folder, options)
        for speaker_row, utterance_rows in run_in_processes(write, range(options.speakers), num_processes):
            speakers.append(speaker_row)
            utterances.extend(utterance_rows)
            progress(1)
        write_rows(partial_folder / "speakers.tsv", speakers)
        write_rows(partial_folder / "utterances.tsv", utterances)
        inputs = describe_corpus(options)
        text = "\n".join(f"  {name} {value}" for name, value in inputs.items() if name.startswith("--"))
        readme = README.format(num_speakers=options.speakers, num_utterances=options.utterances, options=text)
        (partial_folder / "README").write_text(readme, encoding="utf-8")
        write_stamp(partial_folder / STAMP, inputs)
    except BaseException:
        shutil.rmtree(partial_folder, ignore_errors=True)
        raise
    replaced = ".replaced"
    if (folder / STAMP).exists():
        folder.rename(partial_folder / replaced)
    partial_folder.rename(folder)
    shutil.rmtree(folder / replaced, ignore_errors=True)


def write_speaker(
    folder: Path, options: CorpusOptions, speaker: int
) -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
    """Write the speaker's files; returns its row of speakers.tsv and its rows of utterances.tsv."""
    from spk.data.synthesis import (
        SAMPLE_RATE,
        speak,
    )  # not above: scipy is slow to import, and a finished corpus needs none

    name = speaker_name(speaker)
    voice, utterances = speak(options.seed, speaker, options.sessions, options.utterances)
    rows = []
    for utterance in utterances:
        path = folder / "wav" / name / f"s{utterance.session}" / f"{utterance.number:03d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(flac_file(utterance.sound, SAMPLE_RATE))
        except OSError as error:
            error.filename = str(path)  # a failed write does not say to which file
            raise
        seconds = f"{len(utterance.sound) / SAMPLE_RATE:.2f}"
        rows.append({"file": path.relative_to(folder), "seconds": seconds, "text": utterance.text})
    split = "test" if speaker >= options.speakers - options.test_speakers else "train"
    row = {
        "speaker": name,
        "gender": voice.gender,
        "split": split,
        "accent": voice.accent,
        "pitch_hz": voice.pitch_hz,
        "formant_scale": f"{voice.formant_scale:.3f}",
        "words_per_minute": voice.words_per_minute,
    }
    return row, rows


def flac_file(sound: NDArray[np.int16], sample_rate: int) -> bytes:
    """int16 [samples] as the bytes of a FLAC file. Python writes them: soundfile does not say that a disk is full."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, sound, sample_rate, subtype="PCM_16", format="FLAC")
    return buffer.getvalue()


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of the same columns as a table with a header, tabs between."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run_in_processes(function: Callable, items: Sequence, num_processes: int) -> Iterable:
    """`map(function, items)` over processes, in order; the first failure ends all of them."""
    if num_processes == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=end_with_parent)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this worker end when the process that started it does, and only then.

    Otherwise it would wait for work for ever after the other was killed, and print a traceback at an interrupt.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
