"""Who is in a gallery: list the speakers, or remove some.

Usage: spk gallery list GALLERY             a line for each: name, tab, number of recordings
       spk gallery remove GALLERY NAME...
"""

from __future__ import annotations

import logging

from spk.bin.command import argument_parser, command
from spk.errors import InputError
from spk.verification.gallery import Gallery

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("spk gallery", __doc__)
    parser.add_argument("action", choices=["list", "remove"])
    parser.add_argument("gallery")
    parser.add_argument("names", nargs="*", metavar="name")
    options = parser.parse_args()
    gallery = Gallery(options.gallery)
    if options.action == "remove":
        if not options.names:
            raise InputError("remove takes the names of those to be removed")
        gallery.remove(options.names)
        log.info("%s: removed %s; %d are left", options.gallery, ", ".join(options.names), len(gallery.names()))
        return
    for name in options.names or gallery.names():
        print(f"{name}\t{len(gallery.read(name).recordings)}")


if __name__ == "__main__":
    main()
