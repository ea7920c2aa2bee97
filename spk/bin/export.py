"""A trained system for elsewhere: all of it in one file, or its network for ONNX.

Usage: spk export [options] EXP OUT
OUT.spk is one file with network, config, trained back-ends and calibration, which every command takes in the place of
EXP. OUT.onnx is the network with the normalisation of its input: features [N, T, bins] -> embeddings [N, D], and the
config as metadata. It is written when onnxruntime gives the embeddings of the network itself, at several lengths.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.files import remove_partials
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("spk export", __doc__)
    parser.add_argument("exp", help="the directory of a trained system, or its .spk file")
    parser.add_argument("out", help="a file that ends in .spk or .onnx")
    options = parser.parse_args()
    out = Path(options.out)
    if out.suffix not in (".spk", ".onnx"):
        raise InputError(f"{out}: ends in neither .spk (the system in one file) nor .onnx (its network)")
    if out.is_dir():
        raise InputError(f"{out}: is a directory; name a file")
    from spk.verification.bundle import unpacked, write_bundle

    remove_partials(out.parent, out.name)
    with unpacked(options.exp) as exp:
        if out.suffix == ".spk":
            parts = write_bundle(exp, out)
            log.info("%s: %s", out, " ".join(parts))
            return
        from spk.config import make_system
        from spk.embed.model import load_model
        from spk.feats import FRONT_ENDS
        from spk.verification.onnx_export import export_onnx

        embedder, content = load_model(exp)
        num_bins = FRONT_ENDS.build("features", make_system(content, f"{exp}/final.pt").features).dim
        difference = export_onnx(embedder, num_bins, content, out)
        log.info("%s: onnxruntime's embeddings are the network's within %.1e of their largest value", out, difference)


if __name__ == "__main__":
    main()
