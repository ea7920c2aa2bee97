"""What remove_sitw_overlap and check_sitw_overlap share: their options, and who of a data directory is in SITW."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from spk.bin.command import argument_parser
from spk.data.data_dir import check_source, first_names, read_table
from spk.data.original_speaker import original
from spk.data.sitw_overlap import ON_LIST, Overlap, may_be_voxceleb2, read_overlap
from spk.errors import InputError

log = logging.getLogger(__name__)


def parse_options(prog: str, description: str, *positions: str, with_model: bool = False) -> argparse.Namespace:
    parser = argument_parser(prog, description)
    parser.add_argument("--overlap", metavar="FILE", help="the list: voxceleb1_sitw_overlap.txt of OpenSLR 49")
    parser.add_argument(
        "--metadata",
        default="",
        metavar="FILE[,FILE]",
        help="vox1_meta.csv, which has the ids of the list's names, and vox2_meta.csv, which has VoxCeleb2's test part",
    )
    if with_model:
        parser.add_argument("--model", type=Path, metavar="EXP", help="a system trained on DATA_DIR")
        parser.add_argument("--init-from", type=Path, metavar="EXP", help="a system that training will start from")
    for position in positions:
        parser.add_argument(position.lower(), type=Path, metavar=position)
    options = parser.parse_args()
    if not options.overlap:
        raise InputError(
            "which speakers of VoxCeleb1 are in Speakers in the Wild? Give --overlap voxceleb1_sitw_overlap.txt, of "
            "OpenSLR 49 (local/download_corpus sitw_overlap DIR)"
        )
    return options


def find_overlap(options: argparse.Namespace) -> tuple[dict[str, str], dict[str, str], Overlap]:
    """utt2spk of DATA_DIR, {speaker who is in SITW: why we say so}, and the list; says of whom nothing is known.

    Raises: InputError when some of those may be of VoxCeleb2's test part.
    """
    check_source(options.data_dir)
    overlap = read_overlap(options.overlap, [path for path in options.metadata.split(",") if path])
    utt2spk = read_table(options.data_dir / "utt2spk")
    speakers = sorted(set(utt2spk.values()))
    unknown = overlap.unknown(speakers)
    refuse_unknown_voxceleb2(str(options.data_dir), speakers, overlap)
    if unknown:
        log.warning(
            "%s: whether %d of its %d speakers are in Speakers in the Wild is not known, because %s: %s",
            options.data_dir,
            len(unknown),
            len(speakers),
            "--metadata does not have them" if overlap.known else "there is no --metadata",
            first_names(unknown),
        )
    return utt2spk, {speaker: why for speaker in speakers if (why := overlap.reason(speaker))}, overlap


def refuse_unknown_voxceleb2(where: str, speakers: Collection[str], overlap: Overlap) -> None:
    """InputError when some speakers of `where` may be of VoxCeleb2's test part."""
    if unknown := sorted(speaker for speaker in overlap.unknown(speakers) if may_be_voxceleb2(speaker)):
        raise InputError(
            f"{where}: {len(unknown)} of its {len(speakers)} speakers are VoxCeleb2's by their ids, whose test part "
            f"shares speakers with Speakers in the Wild, and --metadata does not have them: {first_names(unknown)}; "
            "give --metadata vox2_meta.csv (of local/download_corpus voxceleb_lists DIR), or add it there after a comma"
        )


def list_speakers(found: Mapping[str, str], utt2spk: Mapping[str, str]) -> None:
    """Print a line each, `speaker utterances why`, with tabs between."""
    counts = Counter(utt2spk.values())
    for speaker, why in found.items():
        print(f"{speaker}\t{counts[speaker]}\t{why}")


def describe(found: Mapping[str, str], overlap: Overlap) -> str:
    """'3 of the 60 speakers on the list and 118 of VoxCeleb2's test part'. Copies at other speeds are the same."""
    reasons = Counter({original(speaker): why for speaker, why in found.items()}.values())
    on_list, others = reasons.pop(ON_LIST, 0), [f"{count} of {why}" for why, count in reasons.items()]
    return " and ".join([f"{on_list} of the {overlap.listed} speakers on the list", *others])
