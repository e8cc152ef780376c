import json

import pytest

from runtimeinfo.authoring import Config
from runtimeinfo_adapters import TextConfig


def test_text_stays_as_it_is():
    assert TextConfig("lr = 0.1").pretty_text == "lr = 0.1"
    assert TextConfig().pretty_text == ""


def test_a_mapping_becomes_json():
    assert json.loads(TextConfig({"lr": 0.1, "name": "x"}).pretty_text) == {"lr": 0.1, "name": "x"}


def test_what_json_has_no_word_for_is_shown_by_its_repr():
    assert json.loads(TextConfig({"optim": complex, "ids": {1}}).pretty_text) == {
        "optim": "<class 'complex'>",
        "ids": "{1}",
    }


def test_a_later_change_of_the_mapping_does_not_show():
    data = {"lr": 0.1}
    cfg = TextConfig(data)
    data["lr"] = 0.2
    assert json.loads(cfg.pretty_text) == {"lr": 0.1}


def test_satisfies_the_protocol():
    assert isinstance(TextConfig(), Config)


class Native(dict):
    pretty_text = "native"


class NotAMapping:
    pretty_text = "other"


@pytest.mark.parametrize(
    ("cfg", "text"),
    [(None, ""), ("text", "text"), ({"a": 1}, '{\n  "a": 1\n}'), (Native(a=1), "native"), (NotAMapping(), "other")],
)
def test_of_takes_whatever_there_is(cfg, text):
    assert TextConfig.of(cfg).pretty_text == text


def test_of_keeps_what_satisfies_the_protocol():
    for cfg in (Native(), NotAMapping(), TextConfig("x")):
        assert TextConfig.of(cfg) is cfg
