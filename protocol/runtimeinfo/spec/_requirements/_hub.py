"""HUB: reading, writing, saving and loading a hub."""

from __future__ import annotations

from functools import partial

from runtimeinfo.spec._requirements._rule import rule

_rule = partial(rule, party="hub", since="0.3")

HUB = (
    rule(
        "HUB-01",
        "MUST",
        "get_info MUST return what update_info published last under that key.",
        "A reader sees the present.",
        example=(
            "`hub.update_info('epoch', 2); hub.update_info('epoch', 0); hub.get_info('epoch', -1) == 0`: zero is a "
            "value like any other."
        ),
        party="hub",
    ),
    rule(
        "HUB-02",
        "MUST",
        "get_info of a key that holds nothing MUST return the default.",
        "A component works without a run as well.",
        example="`hub.get_info('epoch') is None`, and `hub.get_info('epoch', 0) == 0`.",
        party="hub",
    ),
    rule(
        "HUB-03",
        "MUST",
        "pop_info MUST remove the info and return it, or return the default.",
        "What is over can be taken back.",
        example=(
            "`hub.update_info('loop_stage', 'val'); hub.pop_info('loop_stage') == 'val'`, and from then on "
            "`hub.pop_info('loop_stage', 'none') == 'none'`."
        ),
        party="hub",
    ),
    rule(
        "HUB-04",
        "MUST",
        "After update_scalar, the history's current() MUST be that value.",
        "A reader sees the present.",
        example=(
            "`hub.update_scalar('loss', 2.0); hub.update_scalar('loss', 1.0); hub.get_scalar('loss').current() == 1.0`."
        ),
        party="hub",
    ),
    rule(
        "HUB-05",
        "MUST",
        "mean(window_size) MUST be the sum of the last values over the sum of their counts.",
        "Sums over batches of different sizes average right.",
        example=(
            "`hub.update_scalar('loss', 8.0, 4); hub.update_scalar('loss', 2.0, 1); hub.get_scalar('loss').mean(2) == "
            "2.0`: that is 10 over 5, not the mean of 8 and 2."
        ),
        party="hub",
    ),
    rule(
        "HUB-06",
        "MUST",
        "min(window_size) and max(window_size) MUST be the smallest and the largest of the last values.",
        "A window means the same in every statistic.",
        example=(
            "`hub.update_scalar('loss', 1.0); hub.update_scalar('loss', 3.0); hub.get_scalar('loss').min(1) == 3.0`: "
            "the 1.0 lies outside of the window."
        ),
        party="hub",
    ),
    rule(
        "HUB-07",
        "MUST",
        "get_scalar of a key that nobody published MUST raise KeyError.",
        "A misspelt key is found.",
        example="`hub.update_scalar('loss', 0.5)`, but `hub.get_scalar('lost')` raises KeyError.",
        party="hub",
    ),
    rule(
        "HUB-08",
        "MUST",
        "An update that changes a key's resumed flag MUST be refused, and change nothing.",
        "What a checkpoint holds does not depend on who wrote last.",
        example=(
            "`hub.update_info('epoch', 2)`, then `hub.update_info('epoch', 3, resumed=False)` raises, and "
            "`hub.get_info('epoch') == 2`."
        ),
        party="hub",
    ),
    rule(
        "HUB-09",
        "MUST",
        "update_info_dict MUST do what update_info does for each entry.",
        "There is one way to publish.",
        example=(
            "`hub.update_info_dict({'epoch': 2, 'iter': 10}); (hub.get_info('epoch'), hub.get_info('iter')) == (2, "
            "10)`."
        ),
        party="hub",
    ),
    rule(
        "HUB-10",
        "MUST",
        "data MUST be all values and all counts in the order in which they were published.",
        "A plot can be drawn from it.",
        example=(
            "`hub.update_scalar('loss', 8.0, 4); hub.update_scalar('loss', 2.0); [list(each) for each in "
            "hub.get_scalar('loss').data] == [[8.0, 2.0], [4, 1]]`."
        ),
        party="hub",
    ),
    rule(
        "HUB-11",
        "MUST",
        "load_state_dict of what state_dict returned MUST bring back every resumable info and history.",
        "A resumed run continues its curves.",
        example=(
            "`hub.update_scalar('loss', 8.0, 4); other.load_state_dict(hub.state_dict()); "
            "other.get_scalar('loss').mean() == 2.0`: the count came along."
        ),
        party="hub",
    ),
    rule(
        "HUB-12",
        "MUST",
        "state_dict MUST NOT hold a key that was published with resumed=False.",
        "What holds for this process only stays in it.",
        example=(
            "`hub.update_info('pid', 4711, resumed=False); other.load_state_dict(hub.state_dict()); "
            "other.get_info('pid') is None`."
        ),
        party="hub",
    ),
    rule(
        "HUB-13",
        "MUST",
        "load_state_dict of a state that lacks a field MUST raise, and leave the hub as it was.",
        "A damaged checkpoint does no damage.",
        example=(
            "`hub.update_info('epoch', 2)`, then `hub.load_state_dict({})` raises, and `hub.get_info('epoch') == 2`."
        ),
        party="hub",
    ),
    rule(
        "HUB-14",
        "MUST",
        "log_scalars and runtime_info MUST hold exactly the keys that are published.",
        "A logger can write down everything.",
        example=(
            "`hub.update_info('epoch', 2); hub.update_scalar('loss', 0.5); hub.pop_info('epoch'); "
            "(list(hub.runtime_info), list(hub.log_scalars)) == ([], ['loss'])`."
        ),
        party="hub",
    ),
    rule(
        "HUB-15",
        "MUST",
        "update_scalars MUST do what update_scalar does for each entry, with the count of dict(value=, count=).",
        "There is one way to publish.",
        example=(
            "`hub.update_scalars({'loss': dict(value=8.0, count=4), 'lr': 0.1}); hub.get_scalar('loss').mean() == 2.0`."
        ),
        party="hub",
    ),
    _rule(
        "HUB-16",
        "MUST",
        "What several threads publish at once MUST be in the hub, each value once and with its count, those of a "
        "thread in its order.",
        "A thread that loads data or evaluates may publish while another one trains.",
        example=(
            "Four threads call update_scalar 100 times each: the history has 400 values. A hub that reads a history, "
            "appends, and writes it back loses some."
        ),
    ),
    _rule(
        "HUB-17",
        "MUST",
        "If all resumable infos are plain data, what state_dict returned MUST survive pickle and load the same in "
        "another process.",
        "A checkpoint is read by another process than the one that wrote it.",
        example=(
            "`import pickle; other.load_state_dict(pickle.loads(pickle.dumps(hub.state_dict())))`, here or in another "
            "process. A lock in the state breaks it."
        ),
    ),
    _rule(
        "HUB-18",
        "MUST",
        "What state_dict returned MUST NOT change with later updates, neither of the hub that returned it nor of one "
        "that has loaded it.",
        "A checkpoint is written in the background while the training goes on.",
        example=(
            "`state = hub.state_dict(); hub.update_info('epoch', 2); other.load_state_dict(state); "
            "other.get_info('epoch') is None`: the state is older."
        ),
    ),
    _rule(
        "HUB-19",
        "MUST",
        "update_info_dict and update_scalars with an entry that is refused MUST raise and publish none of the entries.",
        "After an error the caller knows what the hub holds.",
        example=("`hub.update_scalars({'loss': 0.5, 'acc': 'high'})` raises, and `'loss' not in hub.log_scalars`."),
    ),
    _rule(
        "HUB-20",
        "MUST",
        "load_state_dict MUST replace the infos and histories that the state has, and leave all others as they are.",
        "A resume into a hub that is in use loses nothing, and mixes no two histories.",
        example=(
            "`hub.update_info('epoch', 1); state = hub.state_dict(); hub.update_info('epoch', 2); "
            "hub.load_state_dict(state); hub.get_info('epoch') == 1`."
        ),
    ),
    _rule(
        "HUB-21",
        "MUST",
        "If load_state_dict raises, whatever is wrong with the state, the hub MUST be as it was.",
        "No run goes on with half of a checkpoint.",
        example=(
            "`other.update_info('epoch', 2); state = other.state_dict(); state[list(state)[-1]] = 0; "
            "hub.load_state_dict(state)` raises, and `hub.get_info('epoch') is None`."
        ),
    ),
    _rule(
        "HUB-22",
        "MUST",
        "A history that get_scalar returned MUST hold all values that had been published until then, in order, also "
        "when more have been published since; whether it shows those too is open. After pop_scalar, drop_latest or "
        "load_state_dict of its key it may hold anything.",
        "A component asks once, and reads in each iteration.",
        example=(
            "`hub.update_scalar('loss', 1.0); history = hub.get_scalar('loss'); hub.update_scalar('loss', 2.0); "
            "history.data[0][0] == 1.0`."
        ),
    ),
    _rule(
        "HUB-23",
        "MUST",
        "What data returned MUST NOT change with later updates, and writing into it MUST NOT change the history.",
        "A plot or a reduction works on numbers that stay as they are.",
        example=(
            "`hub.update_scalar('loss', 1.0); hub.get_scalar('loss').data[0][:] = 0; "
            "hub.get_scalar('loss').data[0][0] == 1.0`. An array that refuses it will do, too."
        ),
    ),
    _rule(
        "HUB-24",
        "MUST",
        "A hub that was pickled and unpickled, or deep-copied, MUST hold the same, and later updates of one MUST NOT "
        "show in the other; a hub that refuses both keeps this rule.",
        "A worker or a test gets a hub to work with.",
        example=(
            "`import copy; twin = copy.deepcopy(hub); twin.update_info('epoch', 9); hub.get_info('epoch') is None`."
        ),
    ),
    _rule(
        "HUB-25",
        "MUST",
        "statistics(name, ...) MUST return what the method mean, min, max or current of that name returns, and raise "
        "KeyError for a name that is unknown.",
        "A logger is configured with names.",
        example=(
            "`hub.update_scalar('loss', 1.0); hub.update_scalar('loss', 3.0); history = hub.get_scalar('loss'); "
            "history.statistics('min') == 1.0`; `history.statistics('any')` raises KeyError."
        ),
    ),
    _rule(
        "HUB-26",
        "MUST",
        "pop_scalar MUST remove the history of a scalar, and do nothing where there is none.",
        "A metric that is not a scalar any more leaves no stale history (SCALAR-08).",
        example=("`hub.update_scalar('best', 0.9); hub.pop_scalar('best'); 'best' not in hub.log_scalars`."),
    ),
    _rule(
        "HUB-27",
        "MUST",
        "drop_latest MUST take back the latest value of a scalar with its count, and do nothing where there is none.",
        "An iteration that was aborted leaves no learning rate (SCALAR-11).",
        example=(
            "`hub.update_scalar('lr', 0.1); hub.update_scalar('lr', 0.2); hub.drop_latest('lr'); "
            "hub.get_scalar('lr').current() == 0.1`."
        ),
    ),
)
