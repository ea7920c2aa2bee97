"""FLAC to ark on one core: this project's way, torchaudio one by one, and Kaldi's programs where they are on PATH.

Usage: python3 tests/benchmarks/features.py [--utterances 60] [--speech DIR] [--rounds 11] [--json FILE]
Ours: what a job of steps/make_feats does, journal and all. torchaudio: soundfile.read of the whole file, the front end
on one wave (MelSpectrogram and log for fbank40, compliance.kaldi.fbank for kaldi_fbank, Spectrogram and log for
spectrogram161), kaldiio.WriteHelper with compression_method=2. Both write Kaldi's 8 bits and are measured by the
processor's time on all threads, so that reading ahead in a thread counts in full. Kaldi: compute-fbank-feats or
compute-spectrogram-feats, read by `flac -dc` where flac is on PATH (else WAV files, which saves it the decoding), and
copy-feats; user and system time of the pipeline.
Utterances are 4-20 s (mean 8.2) and 2-4 s long, cut from the FLAC and WAV files under DIR (16 kHz), or of noise that
rises and falls as syllables do. Then the share of each part of our way.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kaldiio
import numpy as np
import soundfile
import torch
import torchaudio
from measure import Table, by_turns, cpu_seconds, existing_folder, median_ratio, parser, report
from torch import Tensor

from spk.data.ark_format import encode_matrix
from spk.data.audio import read_audio
from spk.data.features import Source, describe, make_share
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne, Together

RATE = 16000
SPEECH_SECONDS = 600  # of which utterances are cut
RANGES = {"4-20 s": (4, 20), "2-4 s": (2, 4)}


def speech(folder: str, random: np.random.Generator) -> np.ndarray:
    """int16 [samples]"""
    if not folder:
        num_samples = SPEECH_SECONDS * RATE
        syllables = np.repeat(random.random(SPEECH_SECONDS * 5) ** 2, RATE // 5)
        noise = np.convolve(random.standard_normal(num_samples), [0.5, 0.9, 0.5], mode="same")
        return (3000 * noise * syllables).astype(np.int16)
    waves, total = [], 0
    for path in sorted(path for path in Path(folder).rglob("*") if path.suffix in (".flac", ".wav")):
        wave, rate = soundfile.read(path, dtype="int16", always_2d=True)
        if rate == RATE:
            waves.append(wave[:, 0])
            total += len(wave)
        if total >= SPEECH_SECONDS * RATE:
            break
    if not waves:
        raise SystemExit(f"features.py: {folder}: holds no FLAC or WAV file of {RATE} Hz")
    return np.concatenate(waves)


def cut(wave: np.ndarray, seconds: tuple[int, int], count: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Utterances; the long ones as long as VoxCeleb's, of which most are short."""
    least, most = seconds
    for _ in range(count):
        drawn = random.uniform(least, most) if most < 10 else min(least + random.exponential(4.2), most)
        length = int(drawn * RATE)
        begin = random.integers(0, len(wave) - length)
        yield wave[begin : begin + length]


def torchaudio_front_ends() -> dict[str, Callable[[Tensor], Tensor]]:
    """[samples] -> [T, F], as torchaudio's users write them."""
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=512, win_length=400, hop_length=160, window_fn=torch.hamming_window, n_mels=40
    )
    spectrogram = torchaudio.transforms.Spectrogram(320, 320, 160, window_fn=torch.hamming_window, center=False)
    return {
        "fbank40": lambda wave: (mel(wave) + 1e-6).log().T,
        "kaldi_fbank": lambda wave: torchaudio.compliance.kaldi.fbank(wave[None] * 32768),
        "spectrogram161": lambda wave: (spectrogram(wave) + 1e-6).log().T,
    }


def kaldi_pipeline(front_end: str, wav_scp: Path, ark: str) -> str | None:
    """A command of Kaldi's that makes these features; None where its programs are not on PATH."""
    programs = {"kaldi_fbank": "compute-fbank-feats", "fbank40": "compute-fbank-feats --num-mel-bins=40"}
    program = programs.get(front_end, "compute-spectrogram-feats --frame-length=20 --round-to-power-of-two=false")
    if not (shutil.which(program.split()[0]) and shutil.which("copy-feats")):
        return None
    return f"{program} --dither=0 scp:{wav_scp} ark:- | copy-feats --compress=true ark:- ark:{ark}"


def main() -> None:
    options_parser = parser(__doc__, rounds=11, utterances=60)
    options_parser.add_argument(
        "--speech", type=existing_folder, default="", help="a folder of recordings (without it noise is spoken)"
    )
    options = options_parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    random = np.random.default_rng(0)
    wave = speech(options.speech, random)
    speed = Table(
        "FLAC to ark on one core",
        [
            "front end",
            "utterances",
            "ours (s audio/s)",
            "torchaudio (s audio/s)",
            "ratio",
            "Kaldi (s audio/s)",
            "ratio",
        ],
    )
    parts = Table(
        "Where our time goes (ms an utterance)", ["front end", "utterances", "reading FLAC", "front end", "encoding"]
    )
    batches = Table(
        "The front end on a device: several utterances at a time", ["front end", "utterances", "device", "s audio/s"]
    )
    for title, seconds in RANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            sources = {}
            audio_seconds = 0.0
            for index, samples in enumerate(cut(wave, seconds, options.utterances, random)):
                sources[f"u{index:05}"] = Source(f"{folder}/u{index:05}.flac")
                soundfile.write(f"{folder}/u{index:05}.flac", samples, RATE)
                soundfile.write(f"{folder}/u{index:05}.wav", samples, RATE)
                audio_seconds += len(samples) / RATE
            form = "flac -dcs {}.flac |" if shutil.which("flac") else "{}.wav"
            lines = [f"{name} {form.format(f'{folder}/{name}')}\n" for name in sources]
            Path(folder, "wav.scp").write_text("".join(lines))
            for name, theirs in torchaudio_front_ends().items():
                section = {"name": name}
                made_from = describe(sources, section, 1, folder)

                front_end = OneByOne(FRONT_ENDS.build("features", name))

                def ours(front_end=front_end, made_from=made_from, sources=sources, folder=folder) -> None:
                    Path(folder, "ours.journal").unlink(missing_ok=True)
                    Path(folder, "ours.ark").unlink(missing_ok=True)
                    make_share(sources, f"{folder}/ours", made_from, lambda: front_end, allow_pipes=False)

                def by_torchaudio(theirs=theirs, sources=sources, folder=folder) -> None:
                    places = f"ark,scp:{folder}/theirs.ark,{folder}/theirs.scp"
                    with kaldiio.WriteHelper(places, compression_method=2) as writer:
                        for utterance, source in sources.items():
                            samples, _ = soundfile.read(source.entry, dtype="float32")
                            writer(utterance, theirs(torch.from_numpy(samples)).numpy())

                ways = {"ours": ours, "theirs": by_torchaudio}
                pipeline = kaldi_pipeline(name, Path(folder, "wav.scp"), f"{folder}/kaldi.ark")
                if pipeline:
                    ways["kaldi"] = lambda pipeline=pipeline: subprocess.run(
                        pipeline, shell=True, check=True, stderr=subprocess.DEVNULL
                    )
                taken = by_turns(ways, options.rounds, clock=cpu_seconds)
                rates = {way: audio_seconds / float(np.median(seconds)) for way, seconds in taken.items()}
                kaldi = [rates["kaldi"], median_ratio(taken["kaldi"], taken["ours"])] if pipeline else [None, None]
                ratio = median_ratio(taken["theirs"], taken["ours"])
                speed.add(name, title, rates["ours"], rates["theirs"], ratio, *kaldi)
                parts.add(name, title, *time_of_parts(name, sources, options.rounds))
                waves = [read_audio(source.entry, RATE).samples for source in sources.values()]
                device = "cuda" if torch.cuda.is_available() else "cpu"
                together = Together(FRONT_ENDS.build("features", name), device)
                wall = by_turns({"together": lambda together=together, waves=waves: together(waves)}, options.rounds)
                batches.add(name, title, device, audio_seconds / float(np.median(wall["together"])))
    report(options, speed, parts, batches)


def time_of_parts(name: str, sources: dict[str, Source], rounds: int) -> list[float]:
    """Milliseconds an utterance: reading, the front end, encoding."""
    analysis = OneByOne(FRONT_ENDS.build("features", name))
    waves = [read_audio(source.entry, RATE).samples for source in sources.values()]
    features = [analysis([wave])[0] for wave in waves]
    ways = {
        "reading": lambda: [read_audio(source.entry, RATE) for source in sources.values()],
        "front end": lambda: [analysis([wave]) for wave in waves],
        "encoding": lambda: [encode_matrix(matrix, 1) for matrix in features],
    }
    taken = by_turns(ways, rounds, clock=time.process_time)
    return [1000 * float(np.median(seconds)) / len(sources) for seconds in taken.values()]


if __name__ == "__main__":
    main()
