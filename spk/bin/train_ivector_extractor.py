"""Train an i-vector extractor, or go on where a killed run stopped.

Usage: python3 -m spk.bin.train_ivector_extractor [options] DATA UBM_DIR EXTRACTOR_DIR
EXTRACTOR_DIR gets N.ie after iteration N (0.ie: the first guess) in place of the one before, final.ie, a copy of the
last of them, what extract_ivectors needs beside it (final.ubm, final.dubm, frames.yaml, posteriors.yaml), missing: the
utterances without voiced frames, and training.json: what all this was made from. A run of other data, other options or
another kind of device is not gone on with, but begun again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from spk.bin.command import argument_parser, command
from spk.bin.train import pick_device
from spk.data.files import whole_file
from spk.data.name_lists import list_missing
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.errors import InputError
from spk.out_of_memory import lower_when_out_of_memory
from spk.schema import AT_LEAST_ONE, Range, check_value

log = logging.getLogger(__name__)
UBM_FILES = ("final.ubm", "final.dubm", "frames.yaml")
DATA_FILES = ("feats.scp", ".feats.done", "feats.yaml", "utt2num_frames", "vad.scp", ".vad.done")


@command
def main() -> None:
    parser = argument_parser("train_ivector_extractor", __doc__)
    parser.add_argument("--ivector-dim", default=400, type=int)
    parser.add_argument("--num-iters", default=5, type=int)
    parser.add_argument("--num-gselect", default=20, type=int, help="Gaussians that are looked at in each frame")
    parser.add_argument("--min-post", default=0.025, type=float, help="smaller posteriors are dropped")
    parser.add_argument("--posterior-scale", default=1.0, type=float, help="of all posteriors")
    parser.add_argument("--seed", default=1, type=int, help="of the first matrix")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", default=2, type=int, help="of torch on the CPU")
    parser.add_argument("--only-check", action="store_true", help="see whether all this fits together; write nothing")
    for name in ("data", "ubm_dir", "extractor_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    ivector_dim = check_value("--ivector-dim", options.ivector_dim, Annotated[int, Range(least=2)])
    num_iters = check_value("--num-iters", options.num_iters, Annotated[int, AT_LEAST_ONE])
    seed = check_value("--seed", options.seed, Annotated[int, Range(0, 2**32 - 1)])
    threads = check_value("--threads", options.threads, Annotated[int, AT_LEAST_ONE])
    ubm_dir, extractor_dir = Path(options.ubm_dir), Path(options.extractor_dir)

    import torch

    from spk.ivector.extractor_files import write_extractor
    from spk.ivector.extractor_training import initial_extractor
    from spk.ivector.frames import FrameReader, read_frame_config
    from spk.ivector.statistics_reader import PosteriorConfig, StatisticsReader, read_ubm, write_posterior_config
    from spk.train.lock import locked, refuse_when_in_use

    torch.set_num_threads(threads)
    posteriors = PosteriorConfig(options.num_gselect, options.min_post, options.posterior_scale)
    device = pick_device(options.device)
    frames = FrameReader(options.data, read_frame_config(ubm_dir), device=device)
    diagonal, full = read_ubm(ubm_dir)
    frames.check_dim(full.dim, ubm_dir / "final.ubm")
    if options.only_check:
        refuse_when_in_use(extractor_dir)
        return

    in_data = [path for name in DATA_FILES if (path := Path(options.data) / name).exists()]
    values = {"ivector_dim": ivector_dim, "seed": seed, **asdict(posteriors), "device": device.type}
    made_from = describe_inputs(
        [*(ubm_dir / name for name in UBM_FILES), *in_data], {name: str(value) for name, value in values.items()}
    )
    size = (
        f"{full.num_gaussians} Gaussians of {full.dim} values and i-vectors of {ivector_dim}: lower --ivector-dim, or "
        "train a UBM of fewer Gaussians (--num-gauss)"
    )
    with locked(extractor_dir), lower_when_out_of_memory(size):
        take_up(extractor_dir, made_from)
        for name in UBM_FILES:
            copy(ubm_dir / name, extractor_dir / name)
        write_posterior_config(extractor_dir, posteriors)
        done = iterations_done(extractor_dir, num_iters)
        if done is None:
            done = 0
            generator = torch.Generator().manual_seed(seed)
            write_extractor(extractor_dir / "0.ie", initial_extractor(full, ivector_dim, generator))
        elif done:
            log.info("goes on after iteration %d: %s", done, extractor_dir / f"{done}.ie")
        reader = StatisticsReader(frames, diagonal, full, posteriors)
        for iteration in range(done + 1, num_iters + 1):
            iterate(extractor_dir, iteration, num_iters, reader)
        copy(extractor_dir / f"{num_iters}.ie", extractor_dir / "final.ie")
    log.info("%s", extractor_dir / "final.ie")


def take_up(extractor_dir: Path, made_from: Mapping[str, str]) -> None:
    """Keep the iterations that an earlier run left if it was made from the same, and nothing else."""
    for name in ("final.ie", ".done"):  # .done is the stamp of steps/train_ivector_extractor
        (extractor_dir / name).unlink(missing_ok=True)
    record = extractor_dir / "training.json"
    changed = differences(record, made_from)
    if changed == []:
        return
    if changed:
        log.info("begins again, because this changed: %s", ", ".join(changed))
    for path in extractor_dir.glob("*.ie"):
        path.unlink()
    write_stamp(record, made_from)


def iterate(extractor_dir: Path, iteration: int, num_iters: int, reader) -> None:
    """Make N.ie from the file N-1.ie, so that a run that goes on does the same as one that never stopped.

    To the byte on the CPU; on a GPU sums are added in any order, and the last digits differ between any two runs.
    """
    import torch

    from spk.ivector.extractor import IvectorPosterior
    from spk.ivector.extractor_files import read_extractor, write_extractor
    from spk.ivector.extractor_training import ExtractorStatistics, log_likelihood, update
    from spk.ivector.progress import Progress
    from spk.ivector.utterance_statistics import utterances_at_a_time

    device = reader.frames.device
    extractor = read_extractor(extractor_dir / f"{iteration - 1}.ie")
    posterior_of = IvectorPosterior(extractor, device, torch.float32 if device.type == "cuda" else torch.float64)
    statistics = ExtractorStatistics(extractor, device)
    most_utterances = utterances_at_a_time(*extractor.projections.shape)
    with Progress(f"iteration {iteration} of {num_iters}", len(reader.frames), "utterances") as progress:
        for names, utterances in reader.blocks(most_utterances, statistics.second_order):
            statistics.add(utterances, posterior_of)
            del utterances  # before the next block's are made
            progress.update(len(names))
    if iteration == 1:
        list_missing(extractor_dir / "missing", reader.without_voice, "no voiced frames")
    if not statistics.num_utterances:
        raise InputError(f"{reader.frames.features.scp.path}: no utterance has voiced frames; look at vad.scp")
    before = log_likelihood(extractor, statistics)
    result = update(extractor, statistics)
    write_extractor(extractor_dir / f"{iteration}.ie", result.extractor)
    for earlier in range(iteration):
        (extractor_dir / f"{earlier}.ie").unlink(missing_ok=True)
    log.info(
        "%s: %.4f nats a frame before it, %d utterances; prior offset %.4f, %d Gaussians with too few "
        "frames, %d floored variances; %.0f s",
        progress.what,
        before,
        statistics.num_utterances,
        result.extractor.prior_offset,
        result.num_not_updated,
        result.num_floored,
        progress.seconds,
    )


def iterations_done(extractor_dir: Path, num_iters: int) -> int | None:
    """The last iteration up to `num_iters` whose extractor is there; None when there is not even the first guess."""
    done = [n for n in range(num_iters + 1) if (extractor_dir / f"{n}.ie").exists()]
    return max(done, default=None)


def copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, whole_file(target, "wb") as copied:
        shutil.copyfileobj(file, copied)


if __name__ == "__main__":
    main()
