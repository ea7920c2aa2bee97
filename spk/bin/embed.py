"""Embed recordings with a trained system.

Usage: spk embed [options] EXP RECORDING... --output OUT
OUT ending in .npz becomes a file of numpy: `recordings` [N] and `embeddings` [N, D], or [N, K, D] with K crops. Else it
is a directory that gets embedding.ark, embedding.scp and evaluation.yaml, as steps/extract_embeddings writes them: an
utterance is called as its file is, without folders and ending. A long recording has the mean of its parts' embeddings,
each made of length 1. Recordings that cannot be used are left out, with a line for each, and then the status is 1.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from spk.bin.command import argument_parser, command
from spk.bin.use_options import LeftOut, add_model_options, open_verifier
from spk.data.data_dir import count_and_name
from spk.data.files import whole_file
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("spk embed", __doc__)
    add_model_options(parser, with_backend=False)
    parser.add_argument("recordings", nargs="+", metavar="recording")
    parser.add_argument("--output", required=True, help="a directory, or a file that ends in .npz")
    options = parser.parse_args()
    output = Path(options.output)
    to_ark = output.suffix != ".npz"
    if to_ark:
        check_utterance_names(options.recordings)
    if to_ark and output.exists() and not output.is_dir():
        raise InputError(f"--output: {output} is a file; name a directory, or a file that ends in .npz")
    if not to_ark and output.is_dir():
        raise InputError(f"--output: {output} is a directory; name a file that ends in .npz, or another directory")
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from spk.embed.write import write_embeddings

    verifier = open_verifier(options)
    paths, embedded = [], []
    with (
        tqdm(total=len(options.recordings), unit="rec", disable=not sys.stderr.isatty()) as bar,
        logging_redirect_tqdm(),
    ):
        left_out = LeftOut(len(options.recordings), bar.update)
        for recording, crops in verifier.embed_files(options.recordings, left_out):
            paths.append(recording.path)
            embedded.append(verifier.one_embedding(crops))
            bar.update()
    if not embedded:
        raise InputError(f"none of the {len(options.recordings)} recordings can be used; nothing is written")
    embeddings = np.stack(embedded)
    if to_ark:
        with whole_file(output / "evaluation.yaml") as file:
            yaml.safe_dump(asdict(verifier.embedder.evaluation), file, sort_keys=False)
        write_embeddings(str(output / "embedding"), list(map(utterance_name, paths)), embeddings)
    else:
        with whole_file(output, "wb") as file:
            np.savez(file, recordings=np.array(paths), embeddings=embeddings)
    log.info("%d embeddings of shape %s in %s", len(embeddings), list(embeddings.shape[1:]), output)
    left_out.end()


def utterance_name(recording: str) -> str:
    """The file's name without folders and ending."""
    return Path(recording).stem


def check_utterance_names(recordings: list[str]) -> None:
    """InputError where these are not distinct words."""
    names = list(map(utterance_name, recordings))
    if spaced := [name for name in names if len(name.split()) != 1 or name.split()[0] != name]:
        raise InputError(
            f"{count_and_name(spaced)}: an utterance of an ark has no spaces in its name; rename the files, or write "
            "--output to an .npz"
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"{count_and_name(twice)}: several recordings are called so, and utterances of an ark are distinct; rename "
            "the files, or write --output to an .npz"
        )


if __name__ == "__main__":
    main()
