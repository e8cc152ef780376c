"""The registry: every requirement of the spec, in order.

The spec page, ``runtimeinfo explain``, the kit's checks and its reports all come from here. A requirement is
never renumbered and never reworded within a spec version.
"""

from __future__ import annotations

from types import MappingProxyType

from runtimeinfo._requirement import Level, Party, Requirement


def _rule(
    id: str,
    level: Level,
    text: str,
    intent: str,
    *,
    needs: str = "",
    party: Party = "runner",
    since: str = "0.1",
    untestable: str | None = None,
) -> Requirement:
    return Requirement(
        id=id,
        level=level,
        party=party,
        text=text,
        intent=intent,
        capabilities=frozenset(needs.split()),
        since=since,
        untestable=untestable,
    )


_LIFE = (
    _rule(
        "LIFE-01",
        "MUST",
        "An event MUST come only where the grammar has a place for it.",
        "A hook can rely on the order of events, and keep its state on a stack.",
    ),
    _rule(
        "LIFE-02",
        "MUST",
        "A run MUST emit before_run before any other event of the grammar, and after_run after all of them.",
        "There is one place to set up, and one to clean up.",
    ),
    _rule(
        "LIFE-03",
        "MUST",
        "Every training batch MUST get exactly one before_train_iter and one after_train_iter.",
        "Whoever counts these events counts the batches.",
    ),
    _rule(
        "LIFE-04",
        "MUST",
        "Every training epoch, also an empty one, MUST get exactly one before_train_epoch and one after_train_epoch.",
        "Whoever counts these events counts the epochs.",
    ),
    _rule(
        "LIFE-05",
        "MUST",
        "When a run has ended, however it did, every scope that it opened MUST have been closed.",
        "What a hook acquires when a scope opens, it can release when the scope closes.",
    ),
    _rule(
        "LIFE-06",
        "MUST",
        "Every validation batch MUST get exactly one before_val_iter and one after_val_iter.",
        "Whoever counts these events counts the batches.",
        needs="val",
    ),
    _rule(
        "LIFE-07",
        "MUST",
        "Every test batch MUST get exactly one before_test_iter and one after_test_iter.",
        "Whoever counts these events counts the batches.",
        needs="test",
    ),
    _rule(
        "LIFE-08",
        "MUST",
        "The two events of an iteration MUST carry the same batch_idx, and it MUST grow by one from an iteration "
        "to the next within an epoch.",
        "A hook can pair the events, and act every n-th batch.",
    ),
    _rule(
        "LIFE-09",
        "SHOULD",
        "The events of a training iteration SHOULD carry the batch as data_batch; None where it cannot be had.",
        "A hook can look at the data, and is never shown the wrong data.",
    ),
    _rule(
        "LIFE-10",
        "MUST",
        "A run MUST begin as if it were the first of its process: whatever ran before, the same training emits the "
        "same events and publishes the same information.",
        "A notebook that trains twice, a sweep, a test suite: no run inherits from another.",
        since="0.2",
    ),
    _rule(
        "LIFE-11",
        "MUST",
        "A validation over several loaders MUST give each loader an epoch of its own, in their order.",
        "Metrics belong to one data set.",
        needs="val val_loaders",
        since="0.2",
    ),
    _rule(
        "LIFE-12",
        "MUST",
        "A training that is stopped early MUST end at the latest with the epoch in which it was asked to stop, close "
        "what is open as at any other end, and announce no exception.",
        "To stop early is not to fail.",
        needs="early_stop",
        since="0.2",
    ),
    _rule(
        "LIFE-13",
        "MUST",
        "A validation that is made during an epoch MUST stand inside that epoch, and leave it open.",
        "A hook can tell a validation during an epoch from one after it.",
        needs="val val_inside",
        since="0.2",
    ),
)

_STAGE = (
    _rule(
        "STAGE-01",
        "MUST",
        "Between before_train and after_train, outside of any validation or test, loop_stage MUST be 'train'.",
        "A component knows that it is being trained, whatever mode the model is in.",
    ),
    _rule(
        "STAGE-02",
        "MUST",
        "Between before_val and after_val loop_stage MUST be 'val'.",
        "A component knows that it is being validated.",
        needs="val",
    ),
    _rule(
        "STAGE-03",
        "MUST",
        "From after_val on, loop_stage MUST be what it was before before_val.",
        "A validation leaves no trace in the stage.",
        needs="val",
    ),
    _rule(
        "STAGE-04",
        "MUST",
        "Between before_test and after_test loop_stage MUST be 'test'.",
        "A component knows that it is being tested.",
        needs="test",
    ),
    _rule(
        "STAGE-05",
        "MUST",
        "From after_test on, loop_stage MUST be what it was before before_test.",
        "A test leaves no trace in the stage.",
        needs="test",
    ),
    _rule(
        "STAGE-06",
        "MUST",
        "Outside of training, validation and test the hub MUST hold no loop_stage.",
        "A model used for inference after its training does not take itself for one in training.",
    ),
)

_COUNT = (
    _rule(
        "COUNT-01",
        "MUST",
        "At before_train_iter, iter MUST be the number of training iterations completed so far.",
        "A schedule over iter starts at 0 and never skips or repeats a value.",
    ),
    _rule(
        "COUNT-02",
        "MUST",
        "At after_train_iter, iter MUST still be what it was at the before_train_iter of that iteration.",
        "What is published during an iteration carries one number.",
    ),
    _rule(
        "COUNT-03",
        "MUST",
        "At before_train_epoch, epoch MUST be the number of training epochs completed so far.",
        "A sampler that shuffles by epoch gets each order once.",
    ),
    _rule(
        "COUNT-04",
        "MUST",
        "At after_train_epoch, epoch MUST still be what it was at the before_train_epoch of that epoch.",
        "What is published during an epoch carries one number.",
    ),
    _rule(
        "COUNT-05",
        "MUST",
        "From before_train on, at each event of the grammar, the hub's iter MUST equal the runner's.",
        "There is one truth, and a component without the runner sees it.",
    ),
    _rule(
        "COUNT-06",
        "MUST",
        "From before_train on, at each event of the grammar, the hub's epoch MUST equal the runner's.",
        "There is one truth, and a component without the runner sees it.",
    ),
    _rule(
        "COUNT-07",
        "MUST",
        "From before_train on, the hub's max_epochs MUST be the number of epochs that the training was asked for; "
        "None if it was not asked for a number.",
        "A component can tell how much of the training lies behind.",
    ),
    _rule(
        "COUNT-08",
        "MUST",
        "From before_train on, the hub's max_iters MUST be the number of iterations of the whole training; None if "
        "it is not known: never -1, infinity, or a huge number.",
        "A component that divides by it gets a fraction, or can see that there is none.",
    ),
    _rule(
        "COUNT-09",
        "MUST",
        "Whatever trains MUST have all members of TrainRunner, of the right types, at before_train.",
        "What is missing is said once, at the beginning, and all at once.",
    ),
    _rule(
        "COUNT-10",
        "MUST",
        "iter MUST count batches, also when one optimizer step is made for several of them.",
        "The same schedule means the same under any framework.",
        needs="accumulation",
    ),
    _rule(
        "COUNT-11",
        "MUST",
        "A validation MUST change neither iter nor epoch.",
        "Validating more often does not change the training.",
        needs="val",
    ),
)

_META = (
    _rule(
        "META-01",
        "MUST",
        "From before_run on, the hub's cfg MUST be the pretty text of the run's configuration.",
        "A checkpoint tells how it came about.",
    ),
    _rule(
        "META-02",
        "MUST",
        "From before_run on, the hub's seed MUST be the run's seed; None if it has none.",
        "A component can seed its own random numbers.",
    ),
    _rule(
        "META-03",
        "MUST",
        "From before_run on, the hub's experiment_name MUST be the run's; None if it has none.",
        "A component can name what it writes.",
    ),
    _rule(
        "META-04",
        "MUST",
        "From before_run on, the hub MUST hold the framework's version under <framework_name>_version.",
        "A checkpoint tells what made it.",
    ),
    _rule(
        "META-05",
        "MUST",
        "From before_run on, the hub MUST hold the version of the hook under runtimeinfo_version.",
        "A checkpoint tells what made it.",
    ),
    _rule(
        "META-06",
        "MUST",
        "A runner MUST have all members of Runner, of the right types, at before_run.",
        "What is missing is said once, at the beginning, and all at once.",
    ),
    _rule(
        "META-07",
        "MUST",
        "If the training dataset has metainfo, the hub's dataset_meta MUST be it from before_train on.",
        "A component knows the classes it predicts.",
        needs="metainfo",
    ),
    _rule(
        "META-08",
        "MUST",
        "From before_train on, seed and experiment_name in the hub MUST be this run's, not those of a checkpoint "
        "that was loaded.",
        "A resumed run does not go by another run's name.",
        needs="resume",
    ),
)

_SCALAR = (
    _rule(
        "SCALAR-01",
        "MUST",
        "update_scalar MUST take every real number and every array of exactly one, and refuse everything else "
        "without changing the hub.",
        "What a scalar is does not depend on who asks.",
        party="hub",
    ),
    _rule(
        "SCALAR-02",
        "MUST",
        "At each before_train_iter the first value of each entry of get_lr() MUST be appended to train/<name>, once.",
        "The history of a learning rate has one value an iteration.",
    ),
    _rule(
        "SCALAR-03",
        "MUST",
        "The learning rate of an iteration MUST be the one in force before it, not the next one.",
        "A curve over the learning rate is not shifted by one.",
        needs="scheduler",
    ),
    _rule(
        "SCALAR-04",
        "MUST",
        "At each after_train_iter every output that is a scalar MUST be appended to train/<key>, once.",
        "The history of a loss has one value an iteration.",
        needs="outputs",
    ),
    _rule(
        "SCALAR-05",
        "MUST",
        "An output that is no scalar MUST NOT become a scalar, and MUST NOT end the run.",
        "Information does not take a training down.",
        needs="outputs",
    ),
    _rule(
        "SCALAR-06",
        "MUST",
        "At after_val_epoch every metric that is a scalar MUST be appended to val/<key>, once.",
        "The history of a metric has one value a validation.",
        needs="val metrics",
    ),
    _rule(
        "SCALAR-07",
        "MUST",
        "At after_val_epoch every metric that is no scalar MUST become the info val/<key>.",
        "A confusion matrix can be read as well.",
        needs="val metrics",
    ),
    _rule(
        "SCALAR-08",
        "MUST",
        "A metric that changes between scalar and other data MUST be found only where it was published last.",
        "Nobody reads a stale value.",
        needs="val metrics",
    ),
    _rule(
        "SCALAR-09",
        "MUST",
        "At after_test_epoch metrics MUST be published in the same way under test/<key>.",
        "A test reads like a validation.",
        needs="test metrics",
    ),
    _rule(
        "SCALAR-10",
        "SHOULD",
        "Publishing a value that lies on an accelerator SHOULD NOT wait for the accelerator.",
        "Information costs no speed.",
        untestable="Whether a call waits shows only on a device; a conformance run has none in general.",
    ),
)

_HUB = (
    _rule(
        "HUB-01",
        "MUST",
        "get_info MUST return what update_info published last under that key.",
        "A reader sees the present.",
        party="hub",
    ),
    _rule(
        "HUB-02",
        "MUST",
        "get_info of a key that holds nothing MUST return the default.",
        "A component works without a run as well.",
        party="hub",
    ),
    _rule(
        "HUB-03",
        "MUST",
        "pop_info MUST remove the info and return it, or return the default.",
        "What is over can be taken back.",
        party="hub",
    ),
    _rule(
        "HUB-04",
        "MUST",
        "After update_scalar, the history's current() MUST be that value.",
        "A reader sees the present.",
        party="hub",
    ),
    _rule(
        "HUB-05",
        "MUST",
        "mean(window_size) MUST be the sum of the last values over the sum of their counts.",
        "Sums over batches of different sizes average right.",
        party="hub",
    ),
    _rule(
        "HUB-06",
        "MUST",
        "min(window_size) and max(window_size) MUST be the smallest and the largest of the last values.",
        "A window means the same in every statistic.",
        party="hub",
    ),
    _rule(
        "HUB-07",
        "MUST",
        "get_scalar of a key that nobody published MUST raise KeyError.",
        "A misspelt key is found.",
        party="hub",
    ),
    _rule(
        "HUB-08",
        "MUST",
        "An update that changes a key's resumed flag MUST be refused, and change nothing.",
        "What a checkpoint holds does not depend on who wrote last.",
        party="hub",
    ),
    _rule(
        "HUB-09",
        "MUST",
        "update_info_dict MUST do what update_info does for each entry.",
        "There is one way to publish.",
        party="hub",
    ),
    _rule(
        "HUB-10",
        "MUST",
        "data MUST be all values and all counts in the order in which they were published.",
        "A plot can be drawn from it.",
        party="hub",
    ),
    _rule(
        "HUB-11",
        "MUST",
        "load_state_dict of what state_dict returned MUST bring back every resumable info and history.",
        "A resumed run continues its curves.",
        party="hub",
    ),
    _rule(
        "HUB-12",
        "MUST",
        "state_dict MUST NOT hold a key that was published with resumed=False.",
        "What holds for this process only stays in it.",
        party="hub",
    ),
    _rule(
        "HUB-13",
        "MUST",
        "load_state_dict of a state that lacks a field MUST raise, and leave the hub as it was.",
        "A damaged checkpoint does no damage.",
        party="hub",
    ),
    _rule(
        "HUB-14",
        "MUST",
        "log_scalars and runtime_info MUST hold exactly the keys that are published.",
        "A logger can write down everything.",
        party="hub",
    ),
    _rule(
        "HUB-15",
        "MUST",
        "update_scalars MUST do what update_scalar does for each entry, with the count of dict(value=, count=).",
        "There is one way to publish.",
        party="hub",
    ),
)

_RESUME = (
    _rule(
        "RESUME-01",
        "MUST",
        "A resumed training MUST begin with the counters that the saved one ended with.",
        "A schedule goes on where it stopped.",
        needs="resume",
    ),
    _rule(
        "RESUME-02",
        "MUST",
        "A resumed training MUST continue the histories that the saved one had published.",
        "A curve has no gap, and no second start.",
        needs="resume",
    ),
    _rule(
        "RESUME-03",
        "MUST",
        "A training that is resumed in mid-epoch MUST go on in that epoch, with the batch after the last one that was "
        "completed.",
        "No batch is seen twice, and none is left out.",
        needs="resume resume_mid_epoch",
        since="0.2",
    ),
)

_FAIL = (
    _rule(
        "FAIL-01",
        "MUST",
        "An exception, KeyboardInterrupt included, MUST come out of the run as the very object that was raised.",
        "Nobody's error is swallowed or dressed up.",
    ),
    _rule(
        "FAIL-02",
        "MUST",
        "A run that ends with an exception MUST emit on_exception once, with that exception.",
        "A hook can tell a crash from an end.",
    ),
    _rule(
        "FAIL-03",
        "MUST",
        "After on_exception the open scopes MUST be closed, innermost first, and nothing else be emitted.",
        "What a hook acquires when a scope opens, it can release when the scope closes.",
    ),
    _rule(
        "FAIL-04",
        "MUST",
        "An iteration or epoch that ends with an exception MUST NOT be counted.",
        "A resume repeats what was not completed.",
    ),
    _rule(
        "FAIL-05",
        "MUST",
        "A close that belongs to an abnormal end MUST carry neither outputs nor metrics.",
        "Half a validation has no result.",
    ),
    _rule(
        "FAIL-06",
        "MUST",
        "After an abnormal end the hub MUST hold no loop_stage.",
        "A notebook that goes on after an interrupt does not take itself for a training.",
    ),
)

_ORDER = (
    _rule(
        "ORDER-01",
        "MUST",
        "At each event hooks MUST run by priority, and those of the same priority in the order given.",
        "A hook can rely on what ran before it.",
    ),
    _rule(
        "ORDER-02",
        "MUST",
        "A hook of a later priority than VERY_HIGH MUST find the event's own information in the hub.",
        "A logger writes down this iteration, not the last one.",
    ),
    _rule(
        "ORDER-03",
        "SHOULD",
        "A hook that implements no hook point, or one with a wrong signature, SHOULD be refused when it is registered.",
        "A misspelt hook is found before the training, not after it.",
        untestable="How hooks are registered is the framework's own affair; Dispatcher does it so.",
    ),
)

REQUIREMENTS = MappingProxyType(
    {rule.id: rule for group in (_LIFE, _STAGE, _COUNT, _META, _SCALAR, _HUB, _RESUME, _FAIL, _ORDER) for rule in group}
)
"""Every requirement by its id, in the order of the spec."""
