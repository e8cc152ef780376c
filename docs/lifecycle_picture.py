"""Draws the lifecycle as nested boxes, from the table of the grammar: docs/lifecycle.svg."""

from collections.abc import Iterator

from runtimeinfo.spec import ABORT, GRAMMAR

LINE = 20
PAD = 14
GAP = 10
CHIP = 84

STYLE = """
    .ground { fill: #ffffff; } .box { fill: #f3f6fb; stroke: #4a6fa5; stroke-width: 1.3; }
    .train { fill: #e2f1e5; stroke: #3b8150; }
    .val { fill: #fdf3e1; stroke: #b7791f; } .test { fill: #f6e8f5; stroke: #8a4a86; }
    text { fill: #1d2733; } .name { font-weight: 600; }
    .event { font-family: ui-monospace, monospace; font-size: 13px; }
    .small { font-size: 12.5px; fill: #445; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #11161d; } .box { fill: #1b2636; stroke: #7fa3d8; } .train { fill: #17301f; stroke: #6cc088; }
      .val { fill: #33270f; stroke: #e0a94a; } .test { fill: #30203a; stroke: #c58ac0; }
      text { fill: #e8edf4; } .small { fill: #b9c3d0; }
    }"""


def lifecycle_svg() -> str:
    """Return the picture: the scopes that stand in one place as boxes inside each other, the others beside them."""
    shared = [name for name, scope in GRAMMAR.items() if len(scope.inside) > 1]
    (root,) = [name for name, scope in GRAMMAR.items() if scope.inside == (None,)]
    left, right = 490, 340
    drawn = list(_box(root, PAD, PAD, left, None))
    top = PAD
    for name in shared:
        drawn += _box(name, PAD + left + 2 * GAP, top, right, None)
        top += _height(name) + 2 * GAP
    height = max(PAD + _height(root), top - 2 * GAP) + PAD
    width = 2 * PAD + left + 2 * GAP + right
    below = (
        f"{ABORT} may come wherever a scope is open; then what is open closes, innermost first.",
        "* any number of times, + at least once; what stands in a box comes in any order.",
    )
    for number, line in enumerate(below):
        drawn.append(_text(PAD, height + LINE * number + 6, line, "small"))
    height += LINE * len(below)
    about = 'role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="15"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {about}>',
            '  <title id="t">The lifecycle of a run</title>',
            f'  <desc id="d">{" ".join(_words(shared))}</desc>',
            f"  <style>{STYLE}\n  </style>",
            f'  <rect class="ground" width="{width}" height="{height}"/>',
            *(f"  {line}" for line in drawn),
            "</svg>",
            "",
        )
    )


def _children(scope: str) -> tuple[list[str], list[str]]:
    """Return the scopes that stand in this one only, and those that may stand here and elsewhere."""
    inside = [name for name, row in GRAMMAR.items() if scope in row.inside]
    return [name for name in inside if len(GRAMMAR[name].inside) == 1], [
        name for name in inside if len(GRAMMAR[name].inside) > 1
    ]


def _height(scope: str) -> int:
    nested, chips = _children(scope)
    return 2 * PAD + 3 * LINE + sum(_height(name) + GAP for name in nested) + (LINE + GAP + 4 if chips else 0)


def _box(scope: str, x: int, y: int, width: int, times: str | None) -> Iterator[str]:
    """Yield a scope with all that is in it."""
    nested, chips = _children(scope)
    height = _height(scope)
    yield f'<rect class="box {_stage(scope)}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    line = y + PAD + LINE - 7
    yield _text(x + PAD, line, scope, "name")
    if times:
        yield _text(x + width - PAD, line, times, "name", anchor="end")
    line += LINE
    yield _text(x + PAD, line, f"before_{scope}", "event")
    top = line + GAP
    for name in nested:
        yield from _box(name, x + PAD, top, width - 2 * PAD, "+" if GRAMMAR[scope].at_least_one == name else "*")
        top += _height(name) + GAP
    for number, name in enumerate(chips):
        left = x + PAD + number * (CHIP + GAP)
        yield f'<rect class="box {name}" x="{left}" y="{top}" width="{CHIP}" height="{LINE + 4}" rx="6"/>'
        yield _text(left + CHIP // 2, top + LINE - 3, f"{name} *", "", anchor="middle")
    yield _text(x + PAD, y + height - PAD, f"after_{scope}", "event")
    if GRAMMAR[scope].stage is not None:
        yield _text(x + width - PAD, y + height - PAD, f"loop_stage is '{GRAMMAR[scope].stage}'", "small", anchor="end")


def _stage(scope: str) -> str:
    """Return the stage inside of a scope, which gives it its colour."""
    outer: str | None = scope
    while outer is not None:
        row = GRAMMAR[outer]
        if row.stage is not None:
            return row.stage
        outer = row.inside[0]
    return ""


def _text(x: int, y: int, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _words(shared: list[str]) -> Iterator[str]:
    """Yield what the picture shows, for who cannot see it."""
    for name, row in GRAMMAR.items():
        if row.inside == (None,):
            yield f"{name} is outermost."
        elif name in shared:
            yield f"{name} may stand in {', '.join(str(each) for each in row.inside)}."
        else:
            yield f"{name} stands in {row.inside[0]}."
