"""Names for classes that a config may choose: networks, losses, poolings, front ends, schedules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spk.errors import InputError
from spk.schema import check_arguments, nearest


class Registry:
    """A table name -> class or function. Registering a name twice raises, so that no file shadows another silently."""

    def __init__(self, kind: str, given: Iterable[str] = ()) -> None:
        """`kind` is the word for messages ('network'); `given` names the arguments that the program can fill in."""
        self.kind = kind
        self.given = tuple(given)
        self.targets: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Class decorator: `@NETWORKS.register("fast_resnet34")`."""

        def add(target: Callable[..., Any]) -> Callable[..., Any]:
            if name in self.targets:
                raise RuntimeError(f"two {self.kind}s are named {name!r}")
            self.targets[name] = target
            return target

        return add

    def __iter__(self):
        return iter(sorted(self.targets))

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self.targets:
            raise InputError(f"no {self.kind} is named {name!r}; {nearest(name, self.targets)}")
        return self.targets[name]

    def check(self, key: str, section: str | Mapping[str, Any]) -> dict[str, Any]:
        """A config section (a bare name stands for {name: it}) as {name, every argument with its default}."""
        section = {"name": section} if isinstance(section, str) else section
        if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
            raise InputError(f"{key}: needs a name; known: {', '.join(self)}")
        name = section["name"]
        if name not in self.targets:
            raise InputError(f"{key}.name: no {self.kind} is named {name!r}; {nearest(name, self.targets)}")
        values = {argument: value for argument, value in section.items() if argument != "name"}
        return {"name": name, **check_arguments(key, values, self.targets[name], self.given)}

    def build(self, key: str, section: str | Mapping[str, Any], **given: Any) -> Any:
        """Check the section and call its class with it and with those of the `given` that it takes."""
        arguments = self.check(key, section)
        target = self.targets[arguments.pop("name")]
        taken = inspect.signature(target).parameters
        return target(**{name: value for name, value in given.items() if name in taken}, **arguments)


def import_files(package: str, folders: Iterable[str]) -> None:
    """Import every file of a package, so that what it registers is known: a new one stands in no list."""
    for file in pkgutil.iter_modules(folders):
        importlib.import_module(f"{package}.{file.name}")
