"""The registry: every requirement of the spec, in order, a module for each group.

The spec page, ``runtimeinfo explain``, the kit's checks and its reports all come from here. A requirement is
never renumbered and never reworded within a spec version. Its example is no part of that: it may get better.
"""

from __future__ import annotations

from types import MappingProxyType

from runtimeinfo.spec._requirements._count import COUNT
from runtimeinfo.spec._requirements._dist import DIST
from runtimeinfo.spec._requirements._fail import FAIL
from runtimeinfo.spec._requirements._hub import HUB
from runtimeinfo.spec._requirements._life import LIFE
from runtimeinfo.spec._requirements._meta import META
from runtimeinfo.spec._requirements._order import ORDER
from runtimeinfo.spec._requirements._resume import RESUME
from runtimeinfo.spec._requirements._scalar import SCALAR
from runtimeinfo.spec._requirements._scope import SCOPE
from runtimeinfo.spec._requirements._share import SHARE
from runtimeinfo.spec._requirements._stage import STAGE

_GROUPS = (LIFE, STAGE, COUNT, META, SCALAR, HUB, RESUME, FAIL, ORDER, SHARE, SCOPE, DIST)

REQUIREMENTS = MappingProxyType({rule.id: rule for group in _GROUPS for rule in group})
"""Every requirement by its id, in the order of the spec."""
