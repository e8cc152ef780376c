"""HUB: what a hub does with what is published."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

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
)
