"""ORDER: the order of hooks."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

ORDER = (
    rule(
        "ORDER-01",
        "MUST",
        "At each event hooks MUST run by priority, and those of the same priority in the order given.",
        "A hook can rely on what ran before it.",
        example=(
            "A logger (VERY_LOW), a timer and a profiler (both NORMAL), given in this order: the timer runs first, "
            "then the profiler, then the logger."
        ),
    ),
    rule(
        "ORDER-02",
        "MUST",
        "A hook of a later priority than VERY_HIGH MUST find the event's own information in the hub.",
        "A logger writes down this iteration, not the last one.",
        example=(
            "A logger (LOW) reads iter from the hub at the before_train_iter of the third batch, and gets 2. Were it "
            "published after the logger ran, it would get 1."
        ),
    ),
    rule(
        "ORDER-03",
        "SHOULD",
        "A hook that implements no hook point, or one with a wrong signature, SHOULD be refused when it is registered.",
        "A misspelt hook is found before the training, not after it.",
        example=(
            "A hook with after_train_itr alone, or with before_train_iter(self, runner), raises HookError when a "
            "Dispatcher is given it."
        ),
        untestable="How hooks are registered is the framework's own affair; Dispatcher does it so.",
    ),
)
