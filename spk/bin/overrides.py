"""The keys of a system's config on a command line: apart from the command's own options."""

from __future__ import annotations

from spk.errors import InputError

# Keys that stand outside of sections, so that no dot tells them from a command's own options.
TOP_LEVEL = ("--seed", "--init-from", "--init_from")


def split_overrides(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(the rest, options with a dot in their name, each with its value); the TOP_LEVEL keys belong to the latter."""
    rest, overrides = [], []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument.startswith("--") and ("." in argument or argument in TOP_LEVEL):
            if position + 1 == len(arguments):
                raise InputError(f"{argument}: has no value")
            overrides += arguments[position : position + 2]
            position += 2
        else:
            rest.append(argument)
            position += 1
    return rest, overrides
