from __future__ import annotations

# It is copied out of the tree, and run there.
collect_ignore = ["project"]
