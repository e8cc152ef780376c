"""SCOPE: whose run answers."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

SCOPE = (
    rule(
        "SCOPE-01",
        "MUST",
        "While other runs are open in the process, around the run, inside it or in other threads, current_hub() MUST "
        "answer the code that the run calls in the thread of its training, or in a copy of the context there, with the "
        "hub of the run.",
        "People train several times at once: a sweep in threads, a search inside a training. A runner keeps this if it "
        "enters its hub with use_hub in the thread that trains, and has no hub that is global to the process.",
        example=(
            "A study of two jobs trains in two threads: each loss reads the epoch of its own training. A runner that "
            "keeps the hub of its latest run in a global breaks it."
        ),
        since="0.3",
    ),
    rule(
        "SCOPE-02",
        "MUST",
        "Where one thread steps several trainings in turn that are generators, current_hub() MUST answer the code of "
        "each step with the hub of the training that is stepped, and the code between the steps, while several wait, "
        "with the hub of none of them.",
        "Population-based training, and the paused cell of a notebook: a training is a generator that waits. A runner "
        "keeps this if it enters its hub inside the generator, or again at each step.",
        example=(
            "Two generators, each with a training in it, and next() of one and of the other: a sampler reads the iter "
            "of the training that draws from it, also after the other one was begun."
        ),
        needs="in_turn",
        since="0.3",
    ),
    rule(
        "SCOPE-03",
        "MUST",
        "When a run has ended, current_hub() MUST answer code in a copy of the context of its training as outside of "
        "any run, also while a later run is open; but with the hub of that later run if its code calls it.",
        "A thread or a task that outlives its run reports nothing, rather than the values of a run that it is not part "
        "of. A runner keeps this if it leaves the hub where its run ends.",
        example=(
            "asyncio.to_thread copies the context. An upload that still runs there while the second training does, "
            "gets its defaults."
        ),
        since="0.3",
    ),
    rule(
        "SCOPE-04",
        "MUST",
        "In a thread that has inherited no context, current_hub() MUST answer with the hub of the only run that was "
        "open in the lifetime of the thread, and as outside of any run if there were several.",
        "A helper thread finds the run where there is no doubt which one it is. A runner keeps this if it enters one "
        "hub for a run, the same one each time.",
        example=(
            "A thread that writes pictures reads the epoch of the training. While a second training is open, it gets "
            "its default: it might belong to either."
        ),
        since="0.3",
    ),
    rule(
        "SCOPE-05",
        "MUST",
        "In a worker process, be it forked, spawned or made by a fork server, current_hub() MUST answer with the hub "
        "of the run whose thread has started it, whatever runs are opened later; and after that run as outside of any "
        "run, unless a later run takes the worker over.",
        "Workers of a DataLoader belong to the training that iterates over it. A runner keeps this if its workers are "
        "started by the thread that trains, inside the run.",
        example=(
            "Two trainings in two threads, each with num_workers=2: no worker reads an epoch of the other training. A "
            "worker that outlives its training gets its defaults."
        ),
        needs="share",
        since="0.3",
    ),
    rule(
        "SCOPE-06",
        "MUST",
        "What current_hub() has returned MUST answer, wherever it was kept and however it was copied or pickled, with "
        "the hub of the run in which it is used, and outside of any run as there.",
        "A component asks once, in its __init__, and works before, in and after any run.",
        example=(
            "A data set keeps what current_hub() returned when it was made, before the first run; a hook, what it "
            "returned in another run. To both, get_info('epoch') is the epoch of this run."
        ),
        since="0.3",
    ),
    rule(
        "SCOPE-07",
        "MUST",
        "When a run has ended, however it did, current_hub() MUST answer its caller as before the run: with the hub of "
        "the run around it, or as outside of any run.",
        "A training inside another one takes nothing from it, and a script that has trained evaluates without a run.",
        example=(
            "A hook trains a small model at the end of an epoch. From then on its own training is answered by its own "
            "hub, not by none and not by that of the small one."
        ),
        since="0.3",
    ),
)
