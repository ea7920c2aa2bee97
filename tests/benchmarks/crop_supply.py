"""Training crops a second, by where they come from: recordings, whole matrices, the arks, the arks on a device.

Usage: python3 tests/benchmarks/crop_supply.py [--utterances 200] [--batch 200] [--rate 27750] [--cold-mb 400]
           [--folder DIR] [--peer-voxceleb-trainer DIR] [--rounds 5] [--json FILE]
One process, one thread, the processor's time; batches of random crops of 200 frames of utterances of 4 to 20 s, 8.2 s
on average, as VoxCeleb's are; files are in the page cache. Recordings are drawn noise of the spectrum of speech.

The ordinary way is a DataLoader (num_workers 0: here all ways have one process) that reads a whole file with soundfile,
cuts the crop and hands it out as samples, whose features the network's device is to work out, or as fbank by
torchaudio. --peer-voxceleb-trainer: that toolkit's own train_dataset_loader, out of its folder, on the same WAV files.
`samples`, `features` are what a way delivers; `codes` are features in 8 bits, decoded on a GPU; `places` are where the
crops lie in the memory of a GPU that has the arks. Ratios are of crops a second, between ways that deliver the same.

As training takes them: with the sampler, seconds on the clock; on the GPU where there is one. The stream has two
threads more, which read ahead while the first decodes; the other ways have one alone.

Cold: the codes of crops, with the ark put out of the page cache before each round; seconds on the clock. --folder says
on which disk.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kaldiio
import numpy as np
import soundfile
import torch
import torchaudio
from measure import Table, by_turns, median_ratio, parser, report

from spk.data.ark import FeatureReader
from spk.data.ark_format import DTYPES, Kind, encode_matrix
from spk.data.coded_crops import decode_crops, read_codes
from spk.data.crops import CodedCropDataset, CropDataset, ResidentCropDataset, load_batches
from spk.data.features import Source
from spk.data.resident import ResidentArks
from spk.data.sampler import SpeakerSampler
from spk.data.wave_crops import WaveReader
from spk.feats import FRONT_ENDS
from spk.train.wave_features import CropFeatures

CROP = 200  # frames
RATE = 16000
VOXCELEB2 = 1_092_009  # utterances of the training part, and their seconds on average
VOXCELEB2_SECONDS = 7.8
METHODS = {"CM": 2, "CM3": 5, "CM2": 3, "FM": 0}
CPU = torch.device("cpu")


def durations(count: int) -> np.ndarray:
    """Seconds [U] as VoxCeleb's: 4 and an exponential distribution's quantiles, 20 at most."""
    quantiles = np.random.default_rng(0).permutation((np.arange(count) + 0.5) / count)
    return np.minimum(4 - 4.3 * np.log(1 - quantiles), 20)


def write_recordings(folder: Path, seconds: np.ndarray) -> None:
    """Noise with less and less above 500 Hz, as 16-bit FLAC and WAV."""
    random = np.random.default_rng(1)
    for index, duration in enumerate(seconds):
        noise = random.standard_normal(round(duration * RATE))
        spectrum = np.fft.rfft(noise)
        spectrum /= 1 + np.fft.rfftfreq(len(noise), 1 / RATE) / 500
        wave = 0.5 * np.fft.irfft(spectrum, len(noise))
        for suffix in ("flac", "wav"):
            soundfile.write(folder / f"u{index:05d}.{suffix}", 0.2 * wave / wave.std(), RATE)


def write_ark(folder: Path, kind: str, lengths: np.ndarray, dim: int = 40) -> Path:
    random = np.random.default_rng(METHODS[kind])
    scp = folder / f"{kind}.scp"
    with (folder / f"{kind}.ark").open("wb") as ark, scp.open("w") as lines:
        for number, length in enumerate(lengths):
            ark.write(f"u{number:05d} ".encode())
            lines.write(f"u{number:05d} {ark.name}:{ark.tell()}\n")
            ark.write(encode_matrix(random.normal(size=(length, dim)), METHODS[kind]))
    return scp


class WholeFiles(torch.utils.data.Dataset):
    """As a user writes it: the whole file is decoded, and the crop cut out."""

    def __init__(self, paths: list[Path], features: bool) -> None:
        self.paths, self.features = paths, features

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        wave, _ = soundfile.read(self.paths[index], dtype="float32")
        size = (CROP - 1) * 160 + 400
        start = np.random.randint(0, len(wave) - size + 1)
        crop = torch.from_numpy(wave[start : start + size])
        if not self.features:
            return crop
        return torchaudio.compliance.kaldi.fbank(32768 * crop[None], num_mel_bins=40, sample_frequency=RATE)


def all_of(loader: torch.utils.data.DataLoader) -> None:
    for _ in loader:
        pass


def peer_loader(tree: str, folder: Path, count: int, batch: int) -> torch.utils.data.DataLoader:
    """voxceleb_trainer's train_dataset_loader on the WAV files, no augmentation, two a speaker."""
    path = Path(tree) / "DatasetLoader.py"
    if not path.is_file():
        sys.exit(
            f"crop_supply: {path}: no such file; --peer-voxceleb-trainer is a checkout of clovaai/voxceleb_trainer"
        )
    if not hasattr(np, "float"):
        np.float = float  # its versions of before 2022 are of numpy's of then
    spec = importlib.util.spec_from_file_location("DatasetLoader", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["DatasetLoader"] = module
    spec.loader.exec_module(module)
    (folder / "train_list").write_text("".join(f"id{index // 2:05d} u{index:05d}.wav\n" for index in range(count)))
    dataset = module.train_dataset_loader(
        train_list=str(folder / "train_list"),
        augment=False,
        musan_path=str(folder / "none"),
        rir_path=str(folder / "none"),
        max_frames=CROP,
        train_path=str(folder),
    )
    assert dataset[[0]][0].shape == (1, CROP * 160 + 240)
    each_once = [[index] for index in range(min(count, batch))]
    return torch.utils.data.DataLoader(dataset, batch_size=batch, sampler=each_once, num_workers=0)


def supply(options: argparse.Namespace, folder: Path) -> list[Table]:
    """Crops a second of all ways; and by format against whole matrices."""
    seconds = durations(options.utterances)
    write_recordings(folder, seconds)
    lengths = (100 * seconds).astype(int) - 2
    random, count, batch = np.random.default_rng(2), options.utterances, options.batch
    indices = random.integers(count, size=batch)
    starts = (random.random(batch) * (lengths[indices] - CROP)).astype(np.int64)
    scps = {kind: write_ark(folder, kind, lengths) for kind in METHODS}
    ours = {kind: FeatureReader(scp) for kind, scp in scps.items()}
    theirs = {kind: kaldiio.load_scp(str(scp), max_cache_fd=8) for kind, scp in scps.items()}
    store = ResidentArks(FeatureReader(scps["CM"]), lengths, CPU)
    store.load()
    front_end = FRONT_ENDS.build("features", "fbank40")
    make = CropFeatures(front_end, CPU)
    names = [f"u{index:05d}" for index in range(count)]

    def whole_files(suffix: str, features: bool) -> Callable[[], None]:
        dataset = WholeFiles([folder / f"u{index:05d}.{suffix}" for index in indices], features)
        loader = torch.utils.data.DataLoader(dataset, batch_size=batch, shuffle=True)
        return lambda: all_of(loader)

    def whole_matrices(kind: str) -> np.ndarray:
        matrices = (theirs[kind][names[index]] for index in indices)
        return np.stack([matrix[start : start + CROP] for matrix, start in zip(matrices, starts, strict=True)])

    def crops(kind: str) -> np.ndarray:
        return ours[kind].crops(indices, starts, CROP)

    def waves(suffix: str) -> WaveReader:
        return WaveReader({name: Source(f"{folder}/{name}.{suffix}") for name in names}, names, seconds, front_end)

    flac, wav = waves("flac"), waves("wav")
    for kind in METHODS:
        np.testing.assert_allclose(crops(kind), whole_matrices(kind), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(store.crops(indices, starts, CROP).numpy(), crops("CM"))
    ways: dict[tuple[str, str], Callable[[], object]] = {
        ("DataLoader, whole FLAC", "samples"): whole_files("flac", False),
        ("DataLoader, whole WAV", "samples"): whole_files("wav", False),
        ("DataLoader, whole FLAC", "features"): whole_files("flac", True),
        ("DataLoader, whole WAV", "features"): whole_files("wav", True),
        ("whole matrices through kaldiio", "features"): lambda: whole_matrices("CM"),
        ("spk: parts of FLAC", "samples"): lambda: flac.crops(indices, starts, CROP),
        ("spk: parts of WAV", "samples"): lambda: wav.crops(indices, starts, CROP),
        ("spk: parts of FLAC", "features"): lambda: make(flac.crops(indices, starts, CROP)),
        ("spk: arks, mapped", "features"): lambda: crops("CM"),
        ("spk: arks in memory, torch on the CPU", "features"): lambda: store.crops(indices, starts, CROP),
        ("spk: stream, decoded by torch on the CPU", "features"): lambda: decode_crops(
            read_codes(ours["CM"], indices, starts, CROP), CPU
        ),
        ("spk: stream to a GPU", "codes"): lambda: read_codes(ours["CM"], indices, starts, CROP),
        ("spk: arks on a GPU", "places"): lambda: store.places(indices, starts),
    }
    if options.peer_voxceleb_trainer:
        peer = peer_loader(options.peer_voxceleb_trainer, folder, count, batch)
        ways["voxceleb_trainer's DatasetLoader, whole WAV", "samples"] = lambda: all_of(peer)
    taken = by_turns(ways, options.rounds, time.process_time)
    table = Table(
        f"Crops of {CROP} frames a second, one process; {count} utterances of {seconds.mean():.1f} s on average",
        ["way", "delivers", "crops/s", "/ whole FLAC, samples", "/ whole FLAC, features", "/ kaldiio"],
    )
    sizes = dict.fromkeys(ways, batch)
    if options.peer_voxceleb_trainer:
        sizes["voxceleb_trainer's DatasetLoader, whole WAV", "samples"] = min(count, batch)
    each = {key: [value / sizes[key] for value in values] for key, values in taken.items()}
    bases = [
        ("DataLoader, whole FLAC", "samples"),
        ("DataLoader, whole FLAC", "features"),
        ("whole matrices through kaldiio", "features"),
    ]
    for key in ways:
        ratios = [median_ratio(each[base], each[key]) if base[1] == key[1] else None for base in bases]
        table.add(*key, 1 / statistics.median(each[key]), *ratios)
    options.cpu_rates = {key: 1 / statistics.median(each[key]) for key in ways}
    options.mean_seconds = float(seconds.mean())
    by_format = Table(
        "Memory-mapped crops against whole matrices through kaldiio that are cut then, by format, fbank40",
        ["format", "kaldiio, crops/s", "mapped, crops/s", "ratio"],
    )
    for kind in METHODS:
        pair = by_turns(
            {"theirs": lambda k=kind: whole_matrices(k), "ours": lambda k=kind: crops(k)},
            options.rounds,
            time.process_time,
        )
        rates = [batch / statistics.median(pair[name]) for name in ("theirs", "ours")]
        by_format.add(kind, *rates, median_ratio(pair["theirs"], pair["ours"]))
    return [table, by_format]


def as_training_takes_them(options: argparse.Namespace, folder: Path) -> Table:
    """Whole batches of features on the device, with the sampler, by the three ways that training has."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_gpu = device.type == "cuda"
    lengths = (100 * durations(options.utterances)).astype(int) - 2
    speakers = np.arange(len(lengths)) // 2
    num_speakers = min(options.batch // 2, len(lengths) // 2)
    table = Table(
        f"Crops a second as training takes them, in batches on {device}, fbank40, one process; the stream has threads",
        ["way", *(f"{kind}, crops/s" for kind in ("CM", "CM3"))],
    )
    rates: dict[str, list[float]] = {}
    for kind in ("CM", "CM3"):
        store = ResidentArks(FeatureReader(folder / f"{kind}.scp"), lengths, device)
        store.load()
        readers = [FeatureReader(folder / f"{kind}.scp") for _ in range(2)]
        sources = {
            "arks, decoded on the CPU": (
                CropDataset(readers[0], lengths, speakers, CROP),
                lambda features: features.to(device, non_blocking=True),
            ),
            "stream of codes": (
                CodedCropDataset(readers[1], lengths, speakers, CROP),
                lambda parts: decode_crops(parts, device),
            ),
            "arks on the device": (
                ResidentCropDataset(store, speakers, CROP),
                lambda parts, store=store: store.crops_at(parts, CROP),
            ),
        }
        num_batches = 200 if is_gpu else 5

        def take(dataset: CropDataset, features_of: Callable, num_batches: int = num_batches) -> None:
            sampler = SpeakerSampler(speakers, num_speakers_per_batch=num_speakers, utterances_per_speaker=2)
            batches = load_batches(dataset, sampler, workers=0, pin_memory=is_gpu)
            for _ in range(num_batches):
                features_of(next(batches)[0])
            if is_gpu:
                torch.cuda.synchronize(device)
            batches.close()

        taken = by_turns({way: lambda s=source: take(*s) for way, source in sources.items()}, options.rounds)
        for way, seconds in taken.items():
            rate = num_batches * 2 * num_speakers / statistics.median(seconds)
            rates.setdefault(way, []).append(rate)
    for way, values in rates.items():
        table.add(way, *values)
    return table


class PlainStream(CodedCropDataset):
    """One that waits for each byte when it comes to it; the system reads around what is touched, as by itself."""

    def __init__(self, *args: object) -> None:
        CropDataset.__init__(self, *args)

    def will_need(self, batch: object) -> None:
        pass


def cold(options: argparse.Namespace, folder: Path) -> Table:
    """The stream out of an ark that is not in the page cache."""
    table = Table(
        f"Codes of crops a second out of an ark of {options.cold_mb} MB that is on the disk alone",
        ["features", "reads ahead, crops/s", "asks for nothing, crops/s", "ratio"],
    )
    for name, kind, dim in (("fbank40", "CM", 40), ("spectrogram161", "CM3", 161)):
        record = encode_matrix(np.random.default_rng(0).normal(size=(800, dim)), METHODS[kind])
        count = max(400, options.cold_mb * 10**6 // len(record))
        ark, scp = folder / "cold.ark", folder / "cold.scp"
        with ark.open("wb") as file, scp.open("w") as lines:
            for number in range(count):
                file.write(f"u{number:05d} ".encode())
                lines.write(f"u{number:05d} {ark}:{file.tell()}\n")
                file.write(record)
            file.flush()
            os.fsync(file.fileno())
        speakers, seeds = np.arange(count) % (count // 2), iter(range(10**6))
        size = min(options.batch, len(speakers) // 2)
        num_batches = max(1, min(20, count // (2 * size)))

        def batches(kind: type[CodedCropDataset], scp=scp, speakers=speakers, seeds=seeds, size=size) -> Iterator:
            dataset = kind(FeatureReader(scp), np.full(len(speakers), 800), speakers, CROP)
            sampler = SpeakerSampler(speakers, num_speakers_per_batch=size, seed=next(seeds) // 2)
            return load_batches(dataset, sampler, workers=0, pin_memory=False)

        taken: dict[str, list[float]] = {"ahead": [], "alone": []}
        for _ in range(options.rounds):
            for way, dataset in (("ahead", CodedCropDataset), ("alone", PlainStream)):
                with ark.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                stream = batches(dataset)
                begin = time.perf_counter()
                for _ in range(num_batches):
                    next(stream)
                taken[way].append(time.perf_counter() - begin)
                stream.close()  # a map that is open would keep its pages
        rates = [num_batches * size / statistics.median(taken[way]) for way in ("ahead", "alone")]
        table.add(f"{name}, {kind}", *rates, median_ratio(taken["alone"], taken["ahead"]))
    return table


def needs(options: argparse.Namespace) -> Table:
    """What feeds a GPU that eats so many crops a second: counted bytes, and the measured time of a core."""
    rate = options.rate
    table = Table(
        f"What feeds a GPU that eats {rate:,} crops of {CROP} frames a second: MB/s of each way, by counting bytes",
        [
            *("features", "GB of VoxCeleb2", "KB a crop, codes", "KB a crop, float32"),
            *("read from disk, stream", "to the GPU, codes", "to the GPU, float32", "within the GPU, resident"),
        ],
    )
    frames = 100 * VOXCELEB2_SECONDS - 2
    for name, kind, dim in (
        ("fbank40, 8 bits by column (CM)", Kind.CM, 40),
        ("spectrogram161, 8 bits by column (CM)", Kind.CM, 161),
        ("spectrogram161, 8 bits by row (CM3)", Kind.CM3, 161),
        ("spectrogram257, 16 bits by row (CM2)", Kind.CM2, 257),
    ):
        percentiles = 8 * dim if kind == Kind.CM else 0
        record = frames * dim * DTYPES[kind].itemsize + percentiles
        codes, floats = CROP * dim * DTYPES[kind].itemsize + percentiles, CROP * dim * 4
        from_disk = record if kind == Kind.CM else codes  # of columns, every page of the record has some
        per_second = [rate * size / 1e6 for size in (from_disk, codes, floats, codes + floats)]
        table.add(name, VOXCELEB2 * record / 1e9, codes / 1e3, floats / 1e3, *per_second)
    return table


def cores(options: argparse.Namespace) -> Table:
    """Of the measured rates, how many cores so many crops take."""
    table = Table(
        f"Cores that give {options.rate:,} crops of fbank40 a second, by the rates of one above",
        ["way", "delivers", "cores"],
    )
    for (way, delivers), rate in options.cpu_rates.items():
        table.add(way, delivers, options.rate / rate)
    return table


def main() -> None:
    # 599,400 crops an epoch, 500 epochs, in three hours: a whole Fast ResNet-34 run.
    options_of = parser(
        __doc__, utterances=200, batch=200, rate=27_750, cold_mb=400, folder="", peer_voxceleb_trainer=""
    )
    options = options_of.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder or None) as folder:
        tables = supply(options, Path(folder))
        tables += [as_training_takes_them(options, Path(folder)), cores(options), needs(options)]
        tables += [cold(options, Path(folder))]
    report(options, *tables)


if __name__ == "__main__":
    main()
