"""The front end that a config asks for: as it stands there, or checked and complete; whatever features.online says.

Usage: python3 -m spk.bin.feature_config [--config FILE] [--compress METHOD] [--output FILE] [--features.<option> VALUE]
FILE is a front end's YAML or a whole system's, of which `features` is taken; without one it is fbank40. Prints the
section in one line; with --output, checks it and writes it there with every default and the arks' compression method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import yaml

from spk.bin.command import command
from spk.config import override, read_yaml, split_online
from spk.data.ark_format import COMPRESSION_METHODS
from spk.data.files import whole_file
from spk.errors import InputError

DEFAULT = {"name": "fbank40"}


def read_section(path: str | None, overrides: Sequence[str]) -> Any:
    """The section `features` of a config file, with overrides like ["--features.window", "hann"] put in; unchecked."""
    content = read_yaml(path) if path else DEFAULT
    if "features" not in content:
        if "name" not in content:
            raise InputError(f"{path}: has neither a section 'features' nor a front end's 'name'")
        content = {"features": content}
    for option in overrides[::2]:
        if not option.startswith("--features."):
            raise InputError(f"{option}: unknown option; overrides begin with --features. here")
    return split_online(override({"features": content["features"]}, overrides)["features"])[0]


def complete(section: Any, compress: str, source: str) -> dict[str, Any]:
    """{features: the checked section with every default, compression: Kaldi's method}."""
    from spk.feats import FRONT_ENDS

    try:
        checked = FRONT_ENDS.check("features", section)
        front_end = FRONT_ENDS.build("features", checked)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if compress and compress not in map(str, COMPRESSION_METHODS):
        raise InputError(
            f"--compress: {compress!r} is no method; 0 is none, and Kaldi's are 1 to 7 "
            "(1: 8 bits for log features, 3: 16 bits)"
        )
    return {"features": checked, "compression": int(compress) if compress else front_end.compression}


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="feature_config",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", default="")
    parser.add_argument("--compress", default="")
    parser.add_argument("--output")
    options, overrides = parser.parse_known_args()
    section = read_section(options.config, overrides)
    if options.output is None:
        print(json.dumps(section, sort_keys=True))
        return
    config = complete(section, options.compress, options.config or DEFAULT["name"])
    with whole_file(options.output) as file:
        yaml.safe_dump(config, file, sort_keys=False)


if __name__ == "__main__":
    main()
