from __future__ import annotations

# It is copied out of the tree, and runs there.
collect_ignore = ["project"]
