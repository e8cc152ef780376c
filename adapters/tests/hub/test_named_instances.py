import threading

import pytest

from runtimeinfo import HubError
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.hub._named_instances import NamedInstances


@pytest.fixture
def kind():
    class Kind(NamedInstances):
        def __init__(self, name, size=0):
            super().__init__(name)
            self.size = size

    return Kind


def test_a_name_finds_its_instance(kind):
    first = kind.get_instance("first", size=3)
    assert first.instance_name == "first"
    assert first.size == 3
    assert kind.get_instance("first") is first
    assert kind.get_instance("second") is not first


def test_the_current_instance_is_the_one_made_last(kind):
    first, second = kind.get_instance("first"), kind.get_instance("second")
    assert kind.get_current_instance() is second
    assert kind.get_instance("first") is first
    assert kind.get_current_instance() is second  # asking for one makes none


def test_a_renewed_instance_takes_the_name_and_is_the_current_one(kind):
    first, second = kind.get_instance("first", size=3), kind.get_instance("second")
    renewed = kind.renew_instance("first")
    assert renewed not in (first, second)
    assert kind.get_instance("first") is kind.get_current_instance() is renewed
    assert kind.renew_instance("third") is kind.get_instance("third")
    with pytest.raises(HubError, match="a name must be a non-empty string"):
        kind.renew_instance("")
    assert kind.get_current_instance().instance_name == "third"


def test_without_any_instance_one_is_made(kind):
    assert kind.get_current_instance().instance_name == "runtimeinfo"
    assert kind.check_instance_created("runtimeinfo")


def test_tells_whether_a_name_is_taken(kind):
    assert not kind.check_instance_created("first")
    kind("first")  # not by get_instance, so it is not registered
    assert not kind.check_instance_created("first")
    kind.get_instance("first")
    assert kind.check_instance_created("first")


def test_each_class_has_its_own_names(kind):
    class Other(kind):
        pass

    assert Other.get_instance("same") is not kind.get_instance("same")
    assert type(Other.get_instance("same")) is Other


def test_arguments_for_an_existing_instance_warn(kind):
    kind.get_instance("first", size=1)
    with pytest.warns(UserWarning, match="Kind 'first' exists already: size has no effect") as caught:
        assert kind.get_instance("first", size=2).size == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["", None, 1])
def test_a_name_is_a_non_empty_string(kind, name):
    with pytest.raises(HubError, match="a name must be a non-empty string"):
        kind.get_instance(name)
    assert not kind.check_instance_created(name)


def test_threads_get_the_same_instance(kind):
    start, found = threading.Barrier(8), []

    def find():
        start.wait()
        found.append(kind.get_instance("shared"))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_the_hub_has_named_instances():
    hub = MessageHub.get_instance("test-named-instances")
    hub.update_info("epoch", 1)
    assert MessageHub.get_instance("test-named-instances").get_info("epoch") == 1
    assert MessageHub.get_current_instance() is hub
