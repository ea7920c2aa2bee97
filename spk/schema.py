"""Check values from YAML files and command lines against Python signatures: the arguments of a class are its schema."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from spk.errors import InputError


@dataclass(frozen=True)
class Range:
    """The values a number may take; as in `Annotated[float, Range(0, 1)]`; its ends belong to it, `above` does not."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def holds(self, value: float) -> bool:
        return self.least <= value <= self.most and value > self.above

    def __str__(self) -> str:
        low = (
            f"above {self.above:g}"
            if self.above > self.least
            else f"at least {self.least:g}" * (self.least > -math.inf)
        )
        high = f"at most {self.most:g}" * (self.most < math.inf)
        return " and ".join(part for part in (low, high) if part) or "any number"


@runtime_checkable
class SectionSchema(Protocol):
    """What knows the sections of one kind, {name, arguments}: a registry."""

    def check(self, key: str, section: str | Mapping[str, Any]) -> dict[str, Any]: ...


POSITIVE = Range(above=0)
NOT_NEGATIVE = Range(least=0)
AT_LEAST_ONE = Range(least=1)
FRACTION = Range(0, 1)


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X? Known: A, B, C' for an error about an unknown name."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(known) or 'none'}"


def check_value(key: str, value: Any, annotation: Any) -> Any:
    """Return `value` as the annotation's type, or raise InputError naming `key`, the value and what is allowed.

    Understands bool, int, float (an int or the text '1e-3' will do), str, Literal, None, unions, list[X], dict[str, X],
    Annotated[number, Range], Annotated[str | dict, registry] (a section of its own) and Any.
    """
    if annotation is Any or annotation is inspect.Parameter.empty:
        return value
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        checked = check_value(key, value, arguments[0])
        for bound in arguments[1:]:
            if isinstance(bound, Range) and isinstance(checked, (int, float)) and not bound.holds(checked):
                raise InputError(f"{key}: {value!r} is out of range; allowed: {bound}")
            if isinstance(bound, SectionSchema):
                checked = bound.check(key, checked)
        return checked
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{key}: {value!r} is not known; {nearest(value, map(str, arguments))}")
        return value
    if origin in (typing.Union, types.UnionType):
        return check_union(key, value, arguments)
    if origin is list:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{key}: {value!r} must be a list")
        return [check_value(f"{key}[{index}]", item, arguments[0]) for index, item in enumerate(value)]
    if annotation is dict or origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{key}: {value!r} must be a section of keys and values")
        inner = arguments[1] if arguments else Any
        return {str(name): check_value(f"{key}.{name}", item, inner) for name, item in value.items()}
    return check_scalar(key, value, annotation)


def check_union(key: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """The first choice that fits; the last choice's own error (it is the most specific one) when none does.

    The error names the words that would have done, too, as in Literal["auto"] | int.
    """
    if value is None and type(None) in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not type(None))
    for choice in choices[:-1]:
        try:
            return check_value(key, value, choice)
        except InputError:
            continue
    literals = [choice for choice in choices[:-1] if typing.get_origin(choice) is typing.Literal]
    words = [repr(word) for literal in literals for word in typing.get_args(literal)]
    try:
        return check_value(key, value, choices[-1])
    except InputError as error:
        raise InputError(", or ".join([str(error), *words])) from None


def check_scalar(key: str, value: Any, kind: type) -> Any:
    """bool, int, float, str or a class; a bool never passes for a number, and 3.0 passes for the whole number 3."""
    if kind is float and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    elif kind is int and not isinstance(value, bool) and isinstance(value, (int, float)) and value % 1 == 0:
        return int(value)
    elif kind not in (int, float) and isinstance(value, kind):
        return value
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    raise InputError(f"{key}: {value!r} must be {names.get(kind, kind.__name__)}")


def check_arguments(
    key: str, values: Mapping[str, Any], target: Callable[..., Any], given: Iterable[str] = ()
) -> dict[str, Any]:
    """Check a config section against the parameters of `target` (a class, function or dataclass).

    `given` names the parameters that the program itself fills in (a number of speakers, say); no config sets them.
    Returns every configurable argument, defaults filled in. Raises InputError for an unknown key, a wrong type, a value
    out of range, or a missing argument that has no default.
    """
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in given and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    for name in values:
        if name not in parameters:
            raise InputError(f"{key}.{name}: unknown key; {nearest(name, parameters)}".lstrip("."))
    checked = {}
    for name, parameter in parameters.items():
        if name in values:
            checked[name] = check_value(f"{key}.{name}".lstrip("."), values[name], hints.get(name, Any))
        elif parameter.default is not inspect.Parameter.empty:
            checked[name] = check_value(f"{key}.{name}".lstrip("."), parameter.default, hints.get(name, Any))
        else:
            raise InputError(f"{key}.{name}: missing; it has no default".lstrip("."))
    return checked
