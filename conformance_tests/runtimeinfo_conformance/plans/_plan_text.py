"""Read a plan back from its text without running the text."""

from __future__ import annotations

import ast
import math
import re
import types
import typing
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance._lookup import did_you_mean
from runtimeinfo_conformance.plans._any_plan import PLAN_KINDS, AnyPlan
from runtimeinfo_conformance.plans._fault import Fault, PlanError
from runtimeinfo_conformance.plans._hub_plan import HubOp
from runtimeinfo_conformance.plans._moments import MOMENTS
from runtimeinfo_conformance.plans._plan import Plan
from runtimeinfo_conformance.plans._reduce_plan import Put, Turn
from runtimeinfo_conformance.plans._values import (
    CHANGING_KIND,
    HUB_SCALAR_KINDS,
    OBJECT_KINDS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
)

_PLANS = tuple(kind.__name__ for kind in PLAN_KINDS.values())
_PARTS: Mapping[str, type[Any]] = MappingProxyType(
    {kind.__name__: kind for kind in (*PLAN_KINDS.values(), Fault, HubOp, Turn, Put)}
)

_ALLOWED = f"a plan is made of {', '.join(_PARTS)}, and of numbers, strings, tuples, lists, dicts, True, None"

_MOST_TEXT = 100_000  # characters; the kit's own plans have a few hundred
_MOST_DEPTH = 20  # nesting depth of literals
_MOST_NUMBER = 2**63  # lengths and seeds stay below it, and Python does not print ints of unlimited size
_MOST_SHOWN = 60  # characters of quoted text in an error

# Prefixes of fields that the kit sets while it runs a plan. Text that sets them describes a leg, not a plan.
_SET_WHILE_RUNNING = ("start_", "checkpoint", "resume_from", "salt")

# Every int is a count, and a mean over 0 values would divide by zero. `Plan` checks its own fields.
_LEAST = MappingProxyType({"count": 1, "times": 1})

_WORDS: Mapping[Any, str] = MappingProxyType(
    {int: "an int", bool: "True or False", str: "a string", types.NoneType: "None"}
)

_KINDS = (*SCALAR_KINDS, *TENSOR_KINDS, *OTHER_KINDS, *OTHER_TENSOR_KINDS, CHANGING_KIND)
_KINDS_OF_OP = MappingProxyType(
    {
        "update_scalar": (*HUB_SCALAR_KINDS, *TENSOR_KINDS),
        "update_scalars": (*HUB_SCALAR_KINDS, *TENSOR_KINDS),
        "refuse_scalar": (*OTHER_KINDS, *OTHER_TENSOR_KINDS),
        "refuse_entry": (*OTHER_KINDS, *OTHER_TENSOR_KINDS),
        "update_object": OBJECT_KINDS,
    }
)


class PlanTextError(Exception):
    """A text is not a plan.

    Attributes:
        line: The line of the error, from 1.
        column: The character in that line, from 1.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        place = f"column {column}" if line == 1 else f"line {line}, column {column}"
        super().__init__(f"{place}: {message}")
        self.line = line
        self.column = column


def parse_plan(text: str) -> AnyPlan:
    """Return the plan described by a text, as the inverse of `repr`.

    The text is parsed but never run, because it may come from anywhere.

    Args:
        text: A call of `Plan`, `HubPlan` or `ReducePlan`, as in a report.

    Raises:
        PlanTextError: If the text is not a plan. The message names the place, the problem and the remedy.

    Example:
        >>> parse_plan("Plan(max_epochs=2, fault=Fault('before_val'))").fault
        Fault(event='before_val')
        >>> parse_plan("Plan(max_epoch=2)")
        Traceback (most recent call last):
        runtimeinfo_conformance.plans._plan_text.PlanTextError: column 6: Plan has no 'max_epoch'; did you mean \
'max_epochs'?
    """
    if len(text) > _MOST_TEXT:
        raise PlanTextError(
            f"this text has {len(text):,} characters, and a plan at most {_MOST_TEXT:,}: paste the plan alone"
        )
    source = text.strip()
    before = text[: len(text) - len(text.lstrip())]
    reader = _Reader(source, before)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. about an unknown escape, which repr never writes
            tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        raise reader.error_at(error.lineno, error.offset, f"no Python: {_clip(error.msg)}; {_ALLOWED}") from None
    except (RecursionError, MemoryError):
        raise PlanTextError("nested too deep to be read: paste a plan as a report prints it") from None
    except ValueError as error:  # a character that is illegal in source code
        raise PlanTextError(f"no Python: {error}; paste a plan as a report prints it") from None
    return reader.read_plan(tree.body)


def plan_text(plan: AnyPlan) -> str:
    r"""Return the text of a plan without single quotes, so that you can single-quote it in a POSIX shell.

    Example:
        >>> plan_text(parse_plan("Plan(fault=Fault('before_val'))"))
        'Plan(fault=Fault(event="before_val"))'
    """
    return _STRING.sub(_in_double_quotes, repr(plan))


# A string as `repr` writes it, with either kind of quotes, and the parts that differ between the two.
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_CHARACTER = re.compile(r"""\\.|['"]""")
_IN_DOUBLE_QUOTES = MappingProxyType({"'": r"\x27", r"\'": r"\x27", '"': r"\""})


def _in_double_quotes(found: re.Match[str]) -> str:
    inside = _CHARACTER.sub(lambda part: _IN_DOUBLE_QUOTES.get(part.group(), part.group()), found.group()[1:-1])
    return f'"{inside}"'


class _Reader:
    """Reader for the syntax tree of a text.

    The allowed values of a field come from its type hint, not from a separate list, so a new field needs no change
    here.

    Args:
        source: The text that was parsed.
        before: The white space that precedes it, for the columns.
    """

    def __init__(self, source: str, before: str) -> None:
        self._source = source
        self._lines = re.split(r"\r\n|\r|\n", source)
        skipped = re.split(r"\r\n|\r|\n", before)
        self._line_shift, self._column_shift = len(skipped) - 1, len(skipped[-1])

    def read_plan(self, node: ast.expr) -> AnyPlan:
        """Read the whole plan."""
        name = _called(node)
        if name in _PLANS:
            plan: AnyPlan = self._read_call(node, _PARTS[name])
            return plan
        if name is not None and name not in _PARTS:
            raise self._error(node, f"there is no {name!r} here; {did_you_mean(name, _PARTS, _ALLOWED)}")
        *others, last = (f"{each}(...)" for each in _PLANS)
        raise self._error(node, f"a plan is {', '.join(others)} or {last}, not {self._shown(node)}")

    def error_at(self, line: int | None, column: int | None, message: str) -> PlanTextError:
        """Return an error at a line and column of the source, both from 1."""
        line, column = max(line or 1, 1), max(column or 1, 1)
        return PlanTextError(message, line + self._line_shift, column + (self._column_shift if line == 1 else 0))

    # -- values, by type hint

    def _read(self, node: ast.expr, hint: Any, where: str, wanted: str) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._read_either(node, arguments, where, wanted)
        if origin is Literal:
            return self._read_choice(node, arguments, where)
        if origin is tuple:
            return self._read_tuple(node, arguments, where, wanted)
        if origin is dict:
            return self._read_dict(node, arguments, where, wanted)
        if hint is Any:
            return self._read_literal(node, where)
        if is_dataclass(hint) and isinstance(hint, type):
            return self._read_call(node, hint, where, wanted)
        if hint in (bool, int, str):
            return self._read_plain(node, hint, where, wanted)
        # For example a path. Only the kit sets such a field while it runs a plan.
        raise self._error(node, f"{where} cannot be given in a text; leave it out")

    def _read_either(self, node: ast.expr, arguments: tuple[Any, ...], where: str, wanted: str) -> Any:
        if types.NoneType in arguments and isinstance(node, ast.Constant) and node.value is None:
            return None
        error: PlanTextError | None = None
        for each in arguments:
            if each is not types.NoneType:
                try:
                    return self._read(node, each, where, wanted)
                except PlanTextError as its_own:
                    error = error or its_own
        raise error or self._error(node, f"{where} must be None")

    def _read_choice(self, node: ast.expr, choices: tuple[Any, ...], where: str) -> Any:
        value = self._read_literal(node, where)
        if value not in choices:
            listed = f"there are {', '.join(map(repr, choices))}"
            raise self._error(node, f"{where} cannot be {self._shown(node)}; {did_you_mean(value, choices, listed)}")
        return value

    def _read_tuple(self, node: ast.expr, arguments: tuple[Any, ...], where: str, wanted: str) -> tuple[Any, ...]:
        if not isinstance(node, ast.Tuple):
            raise self._type_error(node, where, wanted)
        if arguments[-1:] == (...,):
            arguments = (arguments[0],) * len(node.elts)
        if len(node.elts) != len(arguments):
            raise self._type_error(node, where, wanted)
        pairs = zip(node.elts, arguments, strict=True)
        return tuple(self._read(each, hint, f"an entry of {where}", _describe(hint)) for each, hint in pairs)

    def _read_dict(self, node: ast.expr, arguments: tuple[Any, ...], where: str, wanted: str) -> dict[Any, Any]:
        if not isinstance(node, ast.Dict):
            raise self._type_error(node, where, wanted)
        key_hint, value_hint = arguments
        read: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self._error(value, f"{where} cannot unpack; {_ALLOWED}")
            name = self._read(key, key_hint, f"a key of {where}", _describe(key_hint))
            read[name] = self._read(value, value_hint, f"a value of {where}", _describe(value_hint))
        return read

    def _read_plain(self, node: ast.expr, kind: type[Any], where: str, wanted: str) -> Any:
        value = self._read_literal(node, where)
        if type(value) is not kind:  # True is not a number here
            raise self._type_error(node, where, wanted)
        least = _LEAST.get(where, 0)
        if kind is int and value < least:
            raise self._error(node, f"{where} must be at least {least}, but is {value}")
        return value

    # -- calls

    def _read_call(self, node: ast.expr, kind: type[Any], where: str = "", wanted: str = "") -> Any:
        name = kind.__name__
        if not isinstance(node, ast.Call) or _called(node) != name:
            raise self._type_error(node, where, wanted)
        known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
        given: dict[str, Any] = {}
        for field, value in self._arguments(node, known, name):
            if field in given:
                raise self._error(value, f"{field} is given twice; keep one")
            if field.startswith(_SET_WHILE_RUNNING):
                raise self._error(value, f"{field} is set by the kit while it runs a plan; leave it out")
            hint = _hints(name)[field]
            given[field] = self._read(value, hint, field, _describe(hint))
            self._check_words(value, kind, field, given)
        for each in known.values():
            if each.name not in given and each.default is MISSING and each.default_factory is MISSING:
                raise self._error(node, f"{name} needs its {each.name}")
        try:
            made = kind(**given)
        except PlanError as error:
            raise self._error(node, str(error)) from None
        if isinstance(made, HubOp):
            self._check_op(node, made)
        if isinstance(made, Put) and type(made.value) not in (int, float) and made.value not in ("nan", "inf", "-inf"):
            raise self._error(node, f"value must be a number, 'nan', 'inf' or '-inf', but is {_clip(repr(made.value))}")
        return made

    def _arguments(self, node: ast.Call, known: Mapping[str, Field[Any]], name: str) -> Iterable[tuple[str, ast.expr]]:
        positional = [field.name for field in known.values() if not field.kw_only]
        for index, value in enumerate(node.args):
            if isinstance(value, ast.Starred):
                raise self._error(value, f"{name} cannot unpack; {_ALLOWED}")
            if index >= len(positional):
                takes = f"takes {len(positional)} values without a name at most" if positional else "needs names"
                raise self._error(value, f"{name} {takes}, as in {name}({next(iter(known))}=...)")
            yield positional[index], value
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._error(keyword.value, f"{name} cannot unpack; {_ALLOWED}")
            if keyword.arg not in known:
                listed = f"it has {', '.join(each for each in known if not each.startswith(_SET_WHILE_RUNNING))}"
                raise self._error(
                    keyword, f"{name} has no {_clip(repr(keyword.arg))}; {did_you_mean(keyword.arg, known, listed)}"
                )
            yield keyword.arg, keyword.value

    def _check_words(self, node: ast.expr, kind: type[Any], field: str, given: Mapping[str, Any]) -> None:
        """Refuse a word that the kit does not know, because type hints do not list these words."""
        if kind is Fault and field == "event":
            self._check_word(node, "event", given[field], (*HOOK_POINTS, *MOMENTS))
        if kind is Plan and field in ("outputs", "metrics"):
            for _, word in given[field]:
                self._check_word(node, f"a kind of {field}", word, _KINDS)

    def _check_op(self, node: ast.expr, op: HubOp) -> None:
        # With other kinds, a correct hub would look broken, because the value might not be a scalar, or must be
        # refused.
        if op.name in _KINDS_OF_OP:
            self._check_word(node, f"the value of {op.name}", op.value, _KINDS_OF_OP[op.name])

    def _check_word(self, node: ast.expr, what: str, word: Any, words: Iterable[str]) -> None:
        if word not in tuple(words):
            raise self._error(node, f"{what} cannot be {_clip(repr(word))}; {did_you_mean(word, words)}")

    # -- literals

    def _read_literal(self, node: ast.expr, where: str, depth: int = 0) -> Any:
        if depth > _MOST_DEPTH:
            raise self._error(node, f"{where} is nested deeper than {_MOST_DEPTH} levels; give it flatter")
        match node:
            case ast.Constant(value=None | str()):
                return node.value
            case ast.Constant(value=int() | float() as value):  # bool is an int, too
                return self._sized(node, value, where)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
                type(value) is not bool
            ):
                return -self._sized(node, value, where)
            case ast.Tuple(elts=entries):
                return tuple(self._read_literal(each, where, depth + 1) for each in entries)
            case ast.List(elts=entries):
                return [self._read_literal(each, where, depth + 1) for each in entries]
            case ast.Dict():
                return self._read_literal_dict(node, where, depth)
            case _:
                raise self._error(node, f"{where} cannot be {self._shown(node)}; {_ALLOWED}")

    def _read_literal_dict(self, node: ast.Dict, where: str, depth: int) -> dict[Any, Any]:
        read: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self._error(value, f"{where} cannot unpack; {_ALLOWED}")
            name = self._read_literal(key, where, depth + 1)
            try:
                hash(name)
            except TypeError:
                raise self._error(
                    key, f"{self._shown(key)} cannot be a key of a dict; give a number or a string"
                ) from None
            read[name] = self._read_literal(value, where, depth + 1)
        return read

    def _sized(self, node: ast.expr, value: Any, where: str) -> Any:
        if abs(value) >= _MOST_NUMBER if isinstance(value, int) else not math.isfinite(value):
            raise self._error(node, f"{where} is too large a number; the largest is 2**63 - 1")
        return value

    # -- errors

    def _type_error(self, node: ast.expr, where: str, wanted: str) -> PlanTextError:
        return self._error(node, f"{where} must be {wanted}, but is {self._shown(node)}")

    def _error(self, node: ast.expr | ast.keyword, message: str) -> PlanTextError:
        # The tree counts bytes, but people count characters.
        ahead = self._lines[node.lineno - 1].encode()[: node.col_offset].decode()
        return self.error_at(node.lineno, len(ahead) + 1, message)

    def _shown(self, node: ast.expr) -> str:
        return _clip(ast.get_source_segment(self._source, node) or "that")


@cache
def _hints(name: str) -> Mapping[str, Any]:
    return typing.get_type_hints(_PARTS[name])


def _describe(hint: Any) -> str:
    """Describe a type hint in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(each) for each in arguments)
    if origin is tuple and arguments[-1:] == (...,):
        return f"a tuple of entries, each {_describe(arguments[0])}"
    if origin is tuple:
        return f"a tuple of {' and '.join(_describe(each) for each in arguments)}"
    if origin is dict:
        return "a dict"
    if is_dataclass(hint) and isinstance(hint, type):
        return f"{hint.__name__}(...)"
    return _WORDS.get(hint, "a literal")


def _called(node: ast.expr) -> str | None:
    """Return the name of the called object, or None if the node is not a call."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _clip(text: str) -> str:
    """Shorten quoted text to one line of an error."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."
