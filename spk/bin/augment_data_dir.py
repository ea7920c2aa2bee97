"""Augmented copies of a data directory: which noise, room or speed each utterance gets. No audio is written.

Usage: augment_data_dir [options] SOURCE_DATA NEW_DATA
NEW_DATA has the audio of SOURCE_DATA and a table utt2augmentation, which steps/make_feats follows. A kind is used when
its directory is given: noise, music, babble, reverb (a room), and one kind for each speed. What is drawn depends on the
seed, on the utterance's name and length, and on the directories of noises, on nothing else. Voice activity (vad.scp) is
taken along where the speed stays. When nothing has changed since the last call, nothing is done; lengths are those of
the audio, so utt2dur may come later, as make_feats writes it.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.config import check_speeds
from spk.data.augment_data_dir import Copies, augment_data_dir, input_files, what_left_out
from spk.data.augmentation_plan import Drawing
from spk.data.noise_dir import read_noise_dir
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.errors import InputError

log = logging.getLogger(__name__)
SETS = {
    "noises": "noises, one after another with a second between",
    "music": "music, one piece under the whole utterance",
    "babble": "speech, of which three to seven recordings are heard at once",
    "rirs": "room impulse responses",
}


@command
def main() -> None:
    parser = argument_parser("augment_data_dir", __doc__)
    for name, what in SETS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=f"data directory of {what}")
    for name in ("noise", "music", "babble"):
        default = ":".join(map(str, getattr(Drawing, f"{name}_snrs")))
        parser.add_argument(
            f"--{name}-snrs",
            metavar="DB:DB...",
            default=default,
            help="signal-to-noise ratios to draw from (default %(default)s)"
            + " of each speaker by itself" * (name == "babble"),
        )
    parser.add_argument(
        "--rir-probability",
        type=float,
        default=0.0,
        metavar="P",
        help="of a room beside noise, music or babble (default %(default)s)",
    )
    parser.add_argument(
        "--speeds", default="", metavar="X,X...", help="such as 0.9,1.1; a copy at each of these speeds"
    )
    parser.add_argument(
        "--speed-speakers",
        choices=["new", "same"],
        default="new",
        help="at another speed (and pitch) a speaker is a new one, sp0.9-SPEAKER, or the same (default %(default)s)",
    )
    parser.add_argument(
        "--copies",
        choices=["each", "one"],
        default="each",
        help="each: of every utterance one copy of every kind, called UTTERANCE-KIND; one: one copy of every "
        "utterance, of a kind that is drawn (default %(default)s)",
    )
    parser.add_argument("--number", type=int, metavar="N", help="draw N of these copies (default: all)")
    parser.add_argument(
        "--same-names",
        choices=["true", "false"],
        default="false",
        help="for a noisy copy of a test set: every utterance once, under its own name, and the trials with it",
    )
    parser.add_argument("--seed", type=int, default=1, help="of every draw (default %(default)s)")
    parser.add_argument("source", type=Path, metavar="SOURCE_DATA")
    parser.add_argument("destination", type=Path, metavar="NEW_DATA")
    options = parser.parse_args()
    same_names = options.same_names == "true"
    check_options(options, same_names)

    folders = {name: getattr(options, name) for name in SETS if getattr(options, name) is not None}
    if not (options.source / "utt2spk").is_file() or not (options.source / "wav.scp").is_file():
        raise InputError(f"{options.source}: is no data directory with audio; it needs wav.scp and utt2spk")
    sets = {name: read_noise_dir(folder) for name, folder in folders.items()}
    destination = options.destination
    stamp = destination / ".augment.done"
    values = {f"--{name.replace('_', '-')}": str(value) for name, value in vars(options).items()}
    values |= {f"recordings of {folder}": sets[name].digest() for name, folder in folders.items()}
    inputs = describe_inputs(input_files(options.source), values)
    different = differences(stamp, inputs | what_left_out(destination))
    tables = ("wav.scp", "utt2spk", "spk2utt", "utt2dur", "utt2augmentation")
    if different == [] and all((destination / name).exists() for name in tables):
        log.info("%s: already made", destination)
        return
    if different:
        log.info("%s is made again, because this changed: %s", destination, ", ".join(different))
    drawing = Drawing(
        **sets,
        noise_snrs=numbers("--noise-snrs", options.noise_snrs),
        music_snrs=numbers("--music-snrs", options.music_snrs),
        babble_snrs=numbers("--babble-snrs", options.babble_snrs),
        speeds=numbers("--speeds", options.speeds),
        rir_probability=options.rir_probability,
        seed=options.seed,
    )
    copies = Copies(
        each=options.copies == "each" and not same_names,
        number=options.number,
        same_names=same_names,
        new_speakers=options.speed_speakers == "new",
    )
    stamp.unlink(missing_ok=True)  # it speaks of tables that are now overwritten
    augment_data_dir(options.source, destination, drawing, copies)
    write_stamp(stamp, inputs | what_left_out(destination))


def check_options(options, same_names: bool) -> None:
    if not options.speeds and not any(getattr(options, name) for name in SETS):
        raise InputError("nothing to augment with: give --noises, --music, --babble, --rirs or --speeds")
    if same_names and options.speeds:
        raise InputError("--same-names true keeps speakers and their voices; it does not go with --speeds")
    if same_names and options.number is not None:
        raise InputError("--same-names true keeps every utterance; it does not go with --number")
    if options.number is not None and options.number < 1:
        raise InputError(f"--number {options.number}: must be at least 1")
    if not 0 <= options.rir_probability <= 1:
        raise InputError(f"--rir-probability {options.rir_probability}: must be from 0 to 1")
    if options.rir_probability and not options.rirs:
        raise InputError("--rir-probability needs --rirs")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    check_speeds(f"--speeds {options.speeds}", numbers("--speeds", options.speeds))
    for name in ("noise", "music", "babble"):
        if not numbers(f"--{name}-snrs", getattr(options, f"{name}_snrs")):
            raise InputError(f"--{name}-snrs names no ratio")


def numbers(option: str, text: str) -> tuple[float, ...]:
    """'15:10' or '15,10' -> (15.0, 10.0)"""
    try:
        values = tuple(float(word) for word in text.replace(":", ",").split(",") if word)
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise InputError(f"{option} {text!r}: wanted numbers with colons or commas between")
    return values


if __name__ == "__main__":
    main()
