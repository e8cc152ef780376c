"""Measure the English of the project, and name each place where a habit goes past its bound.

    python docs/vocabulary.py                 # rates and bounds; fails if a bound is passed
    python docs/vocabulary.py --show PATTERN  # each place where the habits of that name occur
    python docs/vocabulary.py --only protocol # the same within one folder
    python docs/vocabulary.py --anchors DIR   # measure unpacked source archives of other projects, for the table below

A habit is a word or a construction that native speakers rarely use in documentation. Its rate is the number of
occurrences in 10,000 words of docstrings, comments, messages and pages. The anchors are h11 0.16.0, trio 0.35.0,
attrs 26.1.0, pluggy 1.7.0 and websockets 17.4, read as source archives. A bound is twice the rate of the anchors,
or 0.5 where that is less.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SENTENCE = r"(?:^|(?<=[.!?:;] ))"
CLAUSE = r"(?:What|Which|Who|Whose|Whoever|Whatever)"
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"``[^`]*``|`[^`]*`|<[^>]+>|https?://\S+")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
SUFFIXES = (".py", ".md", ".rst")


class Habit(NamedTuple):
    """A word or construction, the pattern that matches it, and the anchors' occurrences in 10,000 words."""

    name: str
    pattern: str
    anchors: float

    @property
    def bound(self) -> float:
        """The highest rate allowed, in 10,000 words."""
        return max(2 * self.anchors, 0.5)


HABITS = (
    Habit(
        "clause as a docstring", r"\A(?:What|Which|Who|Whose|Where|Whether|Whatever|Whoever|That)\b(?![^.]*\?)", 0.83
    ),
    Habit("clause as a subject", SENTENCE + CLAUSE + r" (?!(?:is|are|does|do|if|about)\b)\w+(?![^.?]*\?)", 0.44),
    Habit("return what", r"(?i)\b(?:return|yield|read|give|hold|say|tell)s? what\b", 0.36),
    Habit("and what", r"(?i)(?:\band|,|:|;) what\b(?![^.?]*\?)", 0.28),
    Habit("what", r"(?i)\bwhat\b", 9.82),
    Habit("of its own", r"\bof (?:its|their|his|your|our|one's) own\b", 0.32),
    Habit("somebody, nobody, whoever", r"(?i)\b(?:some|any|every|no)body\b|\bwhoever\b|\bwhichever\b", 0.56),
    Habit("shall", r"\bshall\b", 0.0),
    Habit("anew", r"\banew\b", 0.0),
    Habit(", say", r", say\b(?! that)", 0.12),
    Habit("is no", r"\b(?:is|are|was|were|be) no (?!longer|more|fewer|less|such)\w+", 1.87),
    Habit("none is", r"(?i)\bnone (?:is|was|has|comes|came)\b", 0.4),
    Habit("all that", r"(?i)\ball that\b", 0.2),
    Habit("those of, that of", r"(?i)\b(?:those|that) of\b", 0.24),
    Habit("another of", r"\banother of\b|\banother one\b", 0.16),
    Habit("come to its end", r"\bc[oa]me to (?:its|their|an) end\b", 0.0),
    Habit("go on", r"\b(?:goes|go|went|gone|going) on\b(?! [A-Z])", 0.32),
    Habit("be had", r"\b(?:be|is|was|were|been|are) had\b", 0.0),
    Habit("stand", r"\bst(?:ands?|ood) (?:in|at|around|beside|before|there|for itself)\b", 0.08),
    Habit("beside", r"(?i)\bbeside\b", 0.0),
    Habit("mend", r"\bmend(?:s|ed|ing)?\b", 0.0),
    Habit("nor", r"\bnor\b", 0.72),
    Habit("along with", r"\balong with\b", 0.2),
    Habit(", which", r", which\b", 9.46),
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A docstring, some adjacent comments, a message or a page."""

    path: Path
    line: int
    text: str


def passages(path: Path) -> Iterator[Passage]:
    """Yield the text of a page, or the docstrings, comments and messages of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield Passage(path, 1, FENCE.sub("", text))
        return
    yield from strings(path, text)
    yield from comments(path, text)


def strings(path: Path, text: str) -> Iterator[Passage]:
    """Yield the strings of a module with four words or more, which are likely to be sentences."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(WORD.findall(node.value)) > 3:
            yield Passage(path, node.lineno, node.value)


def comments(path: Path, text: str) -> Iterator[Passage]:
    """Yield the comments of a module. Comments on adjacent lines are one passage."""
    lines: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] != last + 1:
            yield Passage(path, first, " ".join(lines))
            lines = []
        if not lines:
            first = token.start[0]
        lines.append(token.string.lstrip("#: "))
        last = token.start[0]
    if lines:
        yield Passage(path, first, " ".join(lines))


def tracked(places: list[str]) -> list[Path]:
    """List the tracked modules and pages below some places, which are relative to the working folder."""
    command = ["git", "ls-files", "--", *places]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own arguments
    return [path for path in map(Path, listed.stdout.splitlines()) if path.suffix in SUFFIXES and path.exists()]


def measure(paths: list[Path]) -> tuple[int, dict[Habit, list[Passage]]]:
    """Count the words of files, and list each occurrence of each habit at its line."""
    words = 0
    found: dict[Habit, list[Passage]] = {habit: [] for habit in HABITS}
    for path in paths:
        for passage in passages(path):
            text = MARKUP.sub("it", passage.text)
            words += len(WORD.findall(text))
            for habit in HABITS:
                for match in re.finditer(habit.pattern, text, re.MULTILINE if path.suffix != ".py" else 0):
                    line = passage.line + text.count("\n", 0, match.start())
                    found[habit].append(Passage(path, line, text[max(0, match.start() - 30) : match.end() + 50]))
    return words, found


def main(arguments: list[str]) -> int:
    """Print the rates, or the places of one habit; return 1 if a rate is too high."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--show", metavar="PATTERN", help="list the places of habits whose names match")
    parser.add_argument("--only", metavar="PATH", nargs="+", default=["."], help="folders or files to measure")
    parser.add_argument("--anchors", metavar="DIR", type=Path, help="measure the modules and pages below a folder")
    options = parser.parse_args(arguments)
    if options.anchors:
        files = [path for path in sorted(options.anchors.rglob("*")) if path.suffix in SUFFIXES and path.is_file()]
    else:
        files = tracked(options.only)
    words, found = measure(files)
    if options.show:
        for habit, places in found.items():
            if re.search(options.show, habit.name):
                for place in places:
                    sys.stdout.write(f"{place.path}:{place.line}: {habit.name}: {place.text!r}\n")
        return 0
    has_failed = False
    for habit, places in found.items():
        rate = len(places) / words * 10_000
        is_too_high = rate > habit.bound
        has_failed = has_failed or is_too_high
        counted = f"{habit.name:28} {rate:6.2f} of at most {habit.bound:5.2f} in 10,000 words ({len(places)})"
        sys.stdout.write(f"{counted}{'  too many' if is_too_high else ''}\n")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
