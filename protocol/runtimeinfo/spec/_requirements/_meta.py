"""META: what identifies a run."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

META = (
    rule(
        "META-01",
        "MUST",
        "From before_run on, the hub's cfg MUST be the pretty text of the run's configuration.",
        "A checkpoint tells how it came about.",
        example="A configuration whose pretty_text is 'lr = 0.1': the hub's cfg is that string, not the object.",
    ),
    rule(
        "META-02",
        "MUST",
        "From before_run on, the hub's seed MUST be the run's seed; None if it has none.",
        "A component can seed its own random numbers.",
        example="A run that was seeded with 42: the hub's seed is 42. A run that nobody seeded has None, not 0.",
    ),
    rule(
        "META-03",
        "MUST",
        "From before_run on, the hub's experiment_name MUST be the run's; None if it has none.",
        "A component can name what it writes.",
        example="A run named 'digits': the hub's experiment_name is 'digits'. A run without a name has None, not ''.",
    ),
    rule(
        "META-04",
        "MUST",
        "From before_run on, the hub MUST hold the framework's version under <framework_name>_version.",
        "A checkpoint tells what made it.",
        example=(
            "A runner whose framework_name is 'torch' and whose framework_version is '2.6.0': the hub's torch_version "
            "is '2.6.0'."
        ),
    ),
    rule(
        "META-05",
        "MUST",
        "From before_run on, the hub MUST hold the version of the hook under runtimeinfo_version.",
        "A checkpoint tells what made it.",
        example="Under the hook of runtimeinfo 0.1.0 the hub's runtimeinfo_version is '0.1.0'.",
    ),
    rule(
        "META-06",
        "MUST",
        "A runner MUST have all members of Runner, of the right types, at before_run.",
        "What is missing is said once, at the beginning, and all at once.",
        example="A runner without cfg, whose seed is the string '42': one RunnerError at before_run lists both.",
    ),
    rule(
        "META-07",
        "MUST",
        "If the training dataset has metainfo, the hub's dataset_meta MUST be it from before_train on.",
        "A component knows the classes it predicts.",
        example=(
            "A dataset whose metainfo is {'classes': ['cat', 'dog']}: the hub's dataset_meta is that. A wrapper around "
            "the dataset that hides it breaks the rule."
        ),
        needs="metainfo",
    ),
    rule(
        "META-08",
        "MUST",
        "From before_train on, seed and experiment_name in the hub MUST be this run's, not those of a checkpoint "
        "that was loaded.",
        "A resumed run does not go by another run's name, and tells the seed that it has: a runner that goes on with "
        "the checkpoint's seed, as mmengine's does, has that seed from then on.",
        example=(
            "The run 'tuesday' with seed 2 loads a checkpoint of the run 'monday' with seed 1: at before_train the hub "
            "says 'tuesday' and 2."
        ),
        needs="resume",
    ),
)
