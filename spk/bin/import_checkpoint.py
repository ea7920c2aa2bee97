"""Import a network trained by the code of 'In defence of metric learning', clovaai/voxceleb_trainer.

Usage: python3 -m spk.bin.import_checkpoint [--features.window hann ...] SYSTEM.yaml CHECKPOINT EXP
SYSTEM.yaml says which it is: fast_resnet34 (ResNetSE34L there), thin_resnet34 (ResNetSE34) or vgg_m_40 (VGGVox), its
embedding_dim and pooling. EXP gets config.yaml, run.json and final.pt, so that steps/extract_embeddings EXP works.
The window there is Hann (--features.window hann), but for ResNetSE34L Hamming.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.config import load_system
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("import_checkpoint", __doc__)
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("exp")
    arguments, overrides = split_overrides(sys.argv[1:])
    options = parser.parse_args(arguments)
    checkpoint, exp_dir = Path(options.checkpoint), Path(options.exp)
    config = load_system(options.config, overrides)
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: no such file")

    from spk.embed.published import import_published
    from spk.train.imported import is_imported, write_imported
    from spk.train.lock import locked

    if is_imported(exp_dir, config, checkpoint):
        log.info("%s: already imported", exp_dir / "final.pt")
        return
    embedder, num_bins = import_published(checkpoint, config, window_is_known="--features.window" in overrides)
    with locked(exp_dir):
        write_imported(exp_dir, config, embedder, num_bins, checkpoint, overrides, options.config)
    log.info("%s: imported from %s", exp_dir / "final.pt", checkpoint)


if __name__ == "__main__":
    main()
