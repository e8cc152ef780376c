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

SENTENCE = r"(?:^|(?<=[.!?:;] ))"
CLAUSE = r"(?:What|Which|Who|Whose|Whoever|Whatever)"
#: The pattern of each habit.
HABITS = {
    "clause as a docstring": r"\A(?:What|Which|Who|Whose|Where|Whether|Whatever|Whoever|That)\b(?![^.]*\?)",
    "clause as a subject": SENTENCE + CLAUSE + r" (?!(?:is|are|does|do|if|about)\b)\w+(?![^.?]*\?)",
    "return what": r"(?i)\b(?:return|yield|read|give|hold|say|tell)s? what\b",
    "and what": r"(?i)(?:\band|,|:|;) what\b(?![^.?]*\?)",
    "what": r"(?i)\bwhat\b",
    "of its own": r"\bof (?:its|their|his|your|our|one's) own\b",
    "somebody, nobody, whoever": r"(?i)\b(?:some|any|every|no)body\b|\bwhoever\b|\bwhichever\b",
    "shall": r"\bshall\b",
    "anew": r"\banew\b",
    ", say": r", say\b(?! that)",
    "is no": r"\b(?:is|are|was|were|be) no (?!longer|more|fewer|less|such)\w+",
    "none is": r"(?i)\bnone (?:is|was|has|comes|came)\b",
    "all that": r"(?i)\ball that\b",
    "those of, that of": r"(?i)\b(?:those|that) of\b",
    "another of": r"\banother of\b|\banother one\b",
    "come to its end": r"\bc[oa]me to (?:its|their|an) end\b",
    "go on": r"\b(?:goes|go|went|gone|going) on\b(?! [A-Z])",
    "be had": r"\b(?:be|is|was|were|been|are) had\b",
    "stand": r"\bst(?:ands?|ood) (?:in|at|around|beside|before|there|for itself)\b",
    "beside": r"(?i)\bbeside\b",
    "mend": r"\bmend(?:s|ed|ing)?\b",
    "nor": r"\bnor\b",
    "along with": r"\balong with\b",
    ", which": r", which\b",
}
#: Occurrences in 10,000 words of the anchors, where there are any.
ANCHORS = {
    "clause as a docstring": 0.83,
    "clause as a subject": 0.44,
    "return what": 0.36,
    "and what": 0.28,
    "what": 9.82,
    "of its own": 0.32,
    "somebody, nobody, whoever": 0.56,
    ", say": 0.12,
    "is no": 1.87,
    "none is": 0.4,
    "all that": 0.2,
    "those of, that of": 0.24,
    "another of": 0.16,
    "go on": 0.32,
    "stand": 0.08,
    "nor": 0.72,
    "along with": 0.2,
    ", which": 9.46,
}
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"``[^`]*``|`[^`]*`|<[^>]+>|https?://\S+")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")


@dataclass(frozen=True, slots=True)
class Passage:
    """A docstring, a run of comments, a message or a page: its place and its words."""

    path: Path
    line: int
    text: str


def passages(path: Path) -> Iterator[Passage]:
    """Yield what people read in a file: all of a page; docstrings, comments and messages of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield Passage(path, 1, FENCE.sub("", text))
        return
    yield from strings(path, text)
    yield from comments(path, text)


def strings(path: Path, text: str) -> Iterator[Passage]:
    """Yield the strings of a module that are sentences: those of four words or more."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(WORD.findall(node.value)) > 3:
            yield Passage(path, node.lineno, node.value)


def comments(path: Path, text: str) -> Iterator[Passage]:
    """Yield the comments of a module, those of adjacent lines as one."""
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
    """List the modules and pages that git knows in folders, which are relative to the working folder."""
    command = ["git", "ls-files", "--", *places]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own arguments
    return [
        Path(name)
        for name in listed.stdout.splitlines()
        if name.endswith((".py", ".md", ".rst")) and Path(name).exists()
    ]


def measure(paths: list[Path]) -> tuple[int, dict[str, list[Passage]]]:
    """Count the words of files, and list each occurrence of each habit at its line."""
    words = 0
    found: dict[str, list[Passage]] = {name: [] for name in HABITS}
    for path in paths:
        for passage in passages(path):
            text = MARKUP.sub("it", passage.text)
            words += len(WORD.findall(text))
            for name, pattern in HABITS.items():
                for match in re.finditer(pattern, text, re.MULTILINE if path.suffix != ".py" else 0):
                    line = passage.line + text.count("\n", 0, match.start())
                    found[name].append(Passage(path, line, text[max(0, match.start() - 30) : match.end() + 50]))
    return words, found


def bound(habit: str) -> float:
    """Return the highest rate allowed for a habit, per 10,000 words."""
    return max(2 * ANCHORS.get(habit, 0.0), 0.5)


def main(arguments: list[str]) -> int:
    """Print the rates, or the places of one habit; return 1 if a rate is too high."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--show", metavar="PATTERN", help="list the places of habits whose names match")
    parser.add_argument("--only", metavar="PATH", nargs="+", default=["."], help="folders or files to measure")
    parser.add_argument(
        "--anchors", metavar="DIR", type=Path, help="print the rates of the modules and pages below a folder"
    )
    options = parser.parse_args(arguments)
    if options.anchors:
        files = [
            path
            for path in sorted(options.anchors.rglob("*"))
            if path.suffix in {".py", ".md", ".rst"} and path.is_file()
        ]
    else:
        files = tracked([*options.only])
    words, found = measure(files)
    if options.show:
        for habit, places in found.items():
            if re.search(options.show, habit):
                for place in places:
                    sys.stdout.write(f"{place.path}:{place.line}: {habit}: {place.text!r}\n")
        return 0
    failed = False
    for habit, places in found.items():
        rate = len(places) / words * 10_000
        mark = "" if rate <= bound(habit) else "  too many"
        failed = failed or bool(mark)
        sys.stdout.write(
            f"{habit:28} {rate:6.2f} of at most {bound(habit):5.2f} in 10,000 words ({len(places)}){mark}\n"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
