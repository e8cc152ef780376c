"""DIST: what comes out where the ranks of a distributed run reduce their scalars."""

from __future__ import annotations

from functools import partial

from runtimeinfo.spec._requirements._rule import rule

_rule = partial(rule, party="reducer", since="0.2")

DIST = (
    _rule(
        "DIST-01",
        "MUST",
        "The mean of a scalar MUST be the sum of the values of all ranks over the sum of their counts.",
        "A rank with more samples weighs more, as a larger batch does on one rank.",
        example="Rank 0 has published 8.0 with the count 4, and rank 1 has published 2.0: the mean is 10 / 5 = 2.0.",
    ),
    _rule(
        "DIST-02",
        "MUST",
        "Sum and count of a scalar MUST be those of the values that all ranks have published.",
        "No rank is left out, and the result can be reduced further.",
        example="Rank 0 has published 8.0 with the count 4, and rank 1 has published 2.0: sum 10.0, count 5.",
    ),
    _rule(
        "DIST-03",
        "MUST",
        "Minimum and maximum of a scalar MUST be those of the values that all ranks have published.",
        "The worst rank shows.",
        example="Rank 0 has published 3.0 and 5.0, rank 1 4.0: the minimum is 3.0, the maximum 5.0.",
    ),
    _rule(
        "DIST-04",
        "MUST",
        "Every rank MUST get the same result, to the last bit.",
        "Ranks that decide something by it, such as when to stop, decide the same.",
        example="Each rank ends the run if the mean is below 0.1, and all of them end it in the same iteration.",
    ),
    _rule(
        "DIST-05",
        "MUST",
        "Where ranks have different scalars, every rank MUST get an error that names one that lacks some, and which.",
        "Nobody waits for a rank that has nothing to say, and no two scalars are taken for one.",
        example="Rank 1 has not published val/acc: on each rank, the error says that rank 1 lacks val/acc.",
    ),
    _rule(
        "DIST-06",
        "MUST",
        "Where a rank cannot read its hub, every other rank MUST get an error that names that rank.",
        "The rank at fault is found in the log of any rank.",
        example="On rank 2 the hub raises OSError. So does reduce there, and on ranks 0 and 1 the error names rank 2.",
    ),
    _rule(
        "DIST-07",
        "MUST",
        "Where a rank does not come, every other rank MUST get an error when the timeout of the group is over.",
        "A run ends with a reason, instead of not ending.",
        example="Rank 1 has died: on ranks 0 and 2 reduce raises, within the timeout given to init_process_group.",
    ),
    _rule(
        "DIST-08",
        "MUST",
        "What was not reduced because of an error MUST be in the result of the next call that comes to its end.",
        "An error costs no value.",
        example="Rank 1 lacked val/acc, and all ranks raised. Once rank 1 has it, the next sum has all values.",
    ),
    _rule(
        "DIST-09",
        "MUST",
        "A value that has been reduced MUST NOT be in the result of a later call.",
        "Each result speaks of its own time, and their sums add up.",
        example="Each rank publishes 2.0, and reduces; then 3.0, and reduces again: the means are 2.0 and 3.0.",
    ),
    _rule(
        "DIST-10",
        "MUST",
        "Where a value is NaN, sum, mean, minimum and maximum of its scalar MUST be NaN.",
        "A loss that has broken down on one rank is seen on all.",
        example="Ranks 0 and 1 publish 1.0, rank 2 NaN: mean, minimum and maximum are NaN on each rank.",
    ),
    _rule(
        "DIST-11",
        "MUST",
        "Reducing MUST NOT change a hub.",
        "What a rank has published stays its own.",
        example="Before and after, infos and histories of each hub are the same; the result is in none of them.",
    ),
    _rule(
        "DIST-12",
        "MUST",
        "A rank that has published nothing new of a scalar MUST add nothing to it; without any, it MUST be left out.",
        "Ranks may have different amounts of work.",
        example="Only rank 0 has had a last batch: sum, count and mean are those of rank 0.",
    ),
)
