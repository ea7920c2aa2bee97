"""Trials of the training speakers that a system's training held out: what its calibration is trained on.

Usage: python3 -m spk.bin.held_out_trials [--max-trials N] [--seed S] [--across-sessions true] EXP DATA OUT_DIR
EXP was trained on DATA. OUT_DIR becomes a data directory of all utterances with features of the held-out speakers, but
no augmented copies of them, with a list `trials` of all pairs.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.whole_number import whole_number
from spk.data.all_pairs import write_all_pairs
from spk.data.data_dir import check_source, count_and_name, write_part
from spk.errors import InputError
from spk.schema import Range

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("held_out_trials", __doc__)
    parser.add_argument("--max-trials", default="500000", help="draw so many of all pairs (default %(default)s)")
    parser.add_argument("--seed", default="1", help="of the trials that are drawn (default %(default)s)")
    parser.add_argument(
        "--across-sessions",
        choices=["true", "false"],
        default="false",
        help="no pairs of one session: utterances named alike up to the last dash (default %(default)s)",
    )
    for name in ("exp", "data", "out_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    max_trials = whole_number("--max-trials", options.max_trials, allowed=Range(least=2))
    seed = whole_number("--seed", options.seed)
    data_dir, out_dir = Path(options.data), Path(options.out_dir)
    check_source(data_dir, out_dir)

    chosen = held_out_utterances(Path(options.exp), data_dir)
    for line in write_part(data_dir, out_dir, chosen):
        log.info("%s", line)
    counts = write_all_pairs(
        out_dir / "trials",
        chosen,
        max_trials,
        seed,
        across_sessions=options.across_sessions == "true",
    )
    log.info(
        "%d held-out speakers, %d utterances; trials: %d target of %d, %d non-target of %d",
        *(
            len(set(chosen.values())),
            len(chosen),
            counts.target,
            counts.all_target,
            counts.nontarget,
            counts.all_nontarget,
        ),
    )


def held_out_utterances(exp_dir: Path, data_dir: Path) -> dict[str, str]:
    """{utterance: speaker} of the speakers of `data_dir` that the training of `exp_dir` did not see, without copies.

    Raises: InputError when the system was not trained here, on other data, or on all speakers, and when it started from
    a network that was trained on some of them.
    """
    from spk.train.experiment import read_config, read_run
    from spk.train.seen_speakers import changed_since, is_online, speakers_seen, validation_of
    from spk.train.training_data import read_utterances, speakers_trained_on

    config, run = read_config(exp_dir), read_run(exp_dir)
    if config is None or run is None or "imported" in run:
        raise InputError(f"{exp_dir}: was not trained here (steps/train), so that no training speakers are held out")
    if changed := changed_since(run, data_dir):
        raise InputError(
            f"{exp_dir} was trained on other data than {data_dir} (its {' and '.join(changed)}); give the directory "
            f"that it was trained on, {run['data']} then"
        )
    listed = read_utterances(data_dir, is_online=is_online(config))
    voices = listed.voices.names
    held_out = set(voices.tolist()) - speakers_trained_on(
        data_dir, validation_of(config), config["seed"], is_online=is_online(config)
    )
    if not held_out:
        raise InputError(
            f"{exp_dir}: its training held out no speaker (validation.speakers: 0); train one that holds some out"
        )
    try:
        seen = speakers_seen(run.get("init_from"), data_dir) & held_out
    except InputError as error:
        raise InputError(
            f"{exp_dir} started from another network (init_from), and whom that was trained on is not known: {error}"
        ) from None
    if seen:
        raise InputError(
            f"{exp_dir} started from a network (init_from: {run['init_from']['file']}) trained on some of its "
            f"{len(held_out)} held-out speakers, {count_and_name(seen)}; hold the same ones out in both "
            "(seed, validation.speakers)"
        )
    of_utterances = voices[listed.voices.labels].tolist()
    recorded = zip(listed.utterances, of_utterances, listed.are_recorded.tolist(), strict=True)
    return {utterance: voice for utterance, voice, is_recorded in recorded if is_recorded and voice in held_out}


if __name__ == "__main__":
    main()
