"""Remember how a speaker sounds: add recordings to a name in a gallery.

Usage: spk enroll [options] EXP GALLERY NAME RECORDING...
GALLERY is a directory, which is made where there is none. What is enrolled are embeddings, for any back-end of EXP,
which takes the mean over a speaker's recordings. A recording that cannot be used stops all of them; several calls at a
time may enrol in one gallery.
"""

from __future__ import annotations

import logging

from spk.bin.command import argument_parser, command
from spk.bin.use_options import add_model_options, open_verifier
from spk.data.files import file_digest

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("spk enroll", __doc__)
    add_model_options(parser, with_backend=False)
    parser.add_argument("gallery")
    parser.add_argument("name")
    parser.add_argument("recordings", nargs="+", metavar="recording")
    options = parser.parse_args()
    from spk.verification.gallery import Enrolled, Gallery

    verifier = open_verifier(options)
    gallery = Gallery(options.gallery, verifier.digest, create=True)
    gallery.file_of(options.name)  # raises for what is no name, before anything is embedded
    embedded = [crops for _, crops in verifier.embed_files(options.recordings)]
    digests = [file_digest(recording) for recording in options.recordings]
    now = gallery.add(options.name, Enrolled(options.recordings, digests, embedded))
    log.info("%s: %s has %d recordings", options.gallery, options.name, len(now.recordings))


if __name__ == "__main__":
    main()
