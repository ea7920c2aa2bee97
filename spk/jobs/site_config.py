"""What a site's queue wants to be told for each resource: conf/<engine>.conf in Kaldi's form.

    command sbatch --partition cpu      # how a job is submitted
    option mem=* --mem $0               # --mem 4G becomes --mem 4G; $0 is the value
    option gpu=0                        # nothing for --gpu 0
    option gpu=* --partition gpu --gres gpu:$0
    default gpu=0                       # as if --gpu 0 were given
An option that the file does not name keeps the engine's own lines, and so does the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spk.errors import InputError
from spk.jobs.job import CONTROLS
from spk.schema import nearest


@dataclass
class SiteConfig:
    """`options[name][value]` are the flags for that value; the value '*' is any other."""

    source: str
    command: list[str] = field(default_factory=list)
    options: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)

    def submit_command(self, resources: Mapping[str, str]) -> list[str]:
        """The command of the queue with the flags for these resources; InputError for one that the site lacks."""
        words = list(self.command)
        for name, value in {**self.defaults, **resources}.items():
            values = self.options.get(name)
            flag = f"--{name.replace('_', '-')} {value}"
            if values is None:
                known = (option.replace("_", "-") for option in (*self.options, *CONTROLS))
                raise InputError(
                    f"{flag}: no line 'option {name}=*' in {self.source}; {nearest(name.replace('_', '-'), known)}"
                )
            if value not in values and "*" not in values:
                raise InputError(f"{flag}: {self.source} allows for {name}: {', '.join(sorted(values))}")
            words += [word.replace("$0", value) for word in values.get(value, values.get("*", []))]
        return words


def parse_site_config(text: str, source: str) -> SiteConfig:
    """Read Kaldi's form; InputError names the file, the line and what it should be."""
    config = SiteConfig(source)
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{source}:{number}"
        try:
            keyword, *words = shlex.split(line, comments=True) or [""]
        except ValueError as error:
            raise InputError(f"{where}: {line.strip()!r}: {error}") from None
        name, equals, value = words[0].partition("=") if words else ("", "", "")
        name = name.replace("-", "_")
        if not keyword:
            continue
        if keyword == "command" and words:
            config.command = words
        elif keyword == "option" and name and equals:
            config.options.setdefault(name, {})[value] = words[1:]
        elif keyword == "default" and name and equals and len(words) == 1:
            config.defaults[name] = value
        else:
            raise InputError(
                f"{where}: {line.strip()!r}: a line is 'command SUBMIT ...', 'option NAME=VALUE FLAGS ...' "
                "(VALUE * is any; $0 in FLAGS is the value) or 'default NAME=VALUE'"
            )
    return config


def site_config(engine: str, built_in: str, path: str | None = None) -> SiteConfig:
    """The site's file over the engine's own lines: `path`, else conf/<engine>.conf of the current folder, if any."""
    config = parse_site_config(built_in, f"the options of {engine}")
    file = Path(path or f"conf/{engine}.conf")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path:
            raise InputError(f"{path}: no such file (--config names the site's options for {engine})") from None
        return config
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    site = parse_site_config(text, str(file))
    return SiteConfig(
        str(file),
        site.command or config.command,
        {**config.options, **site.options},
        {**config.defaults, **site.defaults},
    )
