"""Start the import hook in each Python that inherits PYTHONPATH from ``runtimeinfo run``.

The interpreter imports this module when it starts. The environment may hold another Python, in which this project is
not installed, so its syntax is that of any Python. The next `sitecustomize` runs last, in the place of this one: what
it raises, and that there is none, then has the effect that it has without us.
"""

import os
import sys

if __name__ == "sitecustomize":  # not where a tool, such as a search for doctests, imports it as another module
    # pathlib would take 5 ms.
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]  # noqa: PTH100
    sys.path_importer_cache.pop(folder, None)

    if os.environ.get("RUNTIMEINFO_AUTOPUBLISH", "") not in ("", "0") and sys.version_info >= (3, 11):
        try:
            from importlib.machinery import ModuleSpec, SourceFileLoader

            package = "runtimeinfo_adapters.autopublish"
            path = os.path.join(os.path.dirname(folder), "_imports.py")  # noqa: PTH118, PTH120
            loader = SourceFileLoader(package + "._imports", path)
            hook = type(sys)(loader.name)
            hook.__loader__, hook.__file__, hook.__package__ = loader, path, package
            hook.__spec__ = ModuleSpec(loader.name, loader, origin=path)
            hook.__spec__.has_location = True
            loader.exec_module(hook)
            sys.modules[loader.name] = hook
            hook.start()
        except Exception as error:  # noqa: BLE001  # whatever it is, the script must not notice
            if sys.stderr is not None:
                sys.stderr.write("AutopublishWarning: nothing is published: %s: %s\n" % (type(error).__name__, error))  # noqa: UP031

    del sys.modules["sitecustomize"]
    __import__("sitecustomize")
