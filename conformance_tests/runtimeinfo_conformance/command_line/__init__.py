"""The command ``runtimeinfo``. `_cli` is its entry, which loads the rest only if its extra is installed."""
