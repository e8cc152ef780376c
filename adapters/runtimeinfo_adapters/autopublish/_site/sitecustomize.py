"""Start the import hook in each Python that inherits PYTHONPATH from ``runtimeinfo run``.

The interpreter imports this module when it starts. The environment may hold another Python, in which this project is
not installed, so it has no newer syntax. The next `sitecustomize` runs last, in the place of this one: what it raises,
and that there is none, then has the effect that it has without us.
"""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib takes 5 ms


def _start() -> None:
    from importlib.machinery import ModuleSpec, SourceFileLoader

    name = "runtimeinfo_adapters.autopublish._imports"
    path = os.path.join(os.path.dirname(_FOLDER), "_imports.py")  # noqa: PTH118, PTH120
    loader = SourceFileLoader(name, path)
    spec = ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    module = type(sys)(name)
    module.__spec__ = spec
    module.__loader__ = loader
    module.__file__ = path
    module.__package__ = "runtimeinfo_adapters.autopublish"
    loader.exec_module(module)
    sys.modules[name] = module
    module.start()


if __name__ == "sitecustomize":  # not where a tool, such as a search for doctests, imports it as another module
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _FOLDER]  # noqa: PTH100
    sys.path_importer_cache.pop(_FOLDER, None)

    if os.environ.get("RUNTIMEINFO_AUTOPUBLISH", "0") != "0" and sys.version_info >= (3, 11):
        try:
            _start()
        except Exception as error:  # noqa: BLE001  # whatever it is, the script must not notice
            sys.stderr.write("AutopublishWarning: nothing is published: %s: %s\n" % (type(error).__name__, error))  # noqa: UP031

    del sys.modules["sitecustomize"]
    __import__("sitecustomize")
