"""Send a hub to a spawned process while it is shared, and print what both sides hold afterwards, as JSON."""

import json
import multiprocessing
import warnings

from runtimeinfo_adapters import MessageHub, UnsavedInfoWarning


def read_and_write(hub, answers):
    loss = hub.get_scalar("loss")
    received = [
        dict(hub.runtime_info),
        loss.data[0].tolist(),
        str(hub.board_path),
        MessageHub.check_instance_created("run"),
    ]
    hub.update_info("epoch", 30)
    hub.update_scalar("loss", 9.0)
    answers.put([received, hub.get_info("epoch"), loss.data[0].tolist()])


def main():
    context = multiprocessing.get_context("spawn")
    hub = MessageHub.get_instance("run")
    hub.share()
    hub.update_info("epoch", 3)
    hub.update_info("classes", ["cat", "dog"])
    hub.update_info("scale", lambda value: value / 255)
    for value in (4.0, 2.0):
        hub.update_scalar("loss", value)
    answers = context.Queue()
    process = context.Process(target=read_and_write, args=(hub, answers))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        process.start()
    answer = answers.get(timeout=120)
    process.join()
    left_out = [str(warning.message) for warning in caught if warning.category is UnsavedInfoWarning]
    kept = [hub.get_info("epoch"), hub.get_scalar("loss").data[0].tolist(), callable(hub.get_info("scale"))]
    print(json.dumps({"child": answer, "parent": kept, "left_out": left_out, "exit_code": process.exitcode}))
    hub.unshare()


if __name__ == "__main__":
    main()
