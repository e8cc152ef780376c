from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.top._keys import Event, KeyDecoder, Mouse


def decoded(*pieces: bytes) -> list[Event]:
    """Return all events of bytes that arrive in pieces."""
    decoder = KeyDecoder()
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.flush()


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        (b"q", ["q"]),
        ("é数".encode(), ["é", "数"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1bOA\x1bOB\x1bOH\x1bOF", ["up", "down", "home", "end"]),  # in application mode
        (b"\x1b[1;5A\x1b[1;2B", ["up", "down"]),  # with Ctrl and Shift
        (b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~", ["home", "end"] * 3),
        (b"\x1b[5~\x1b[6~\x1b[3~\x1b[5;5~", ["page_up", "page_down", "delete", "page_up"]),
        (b"\t\x1b[Z\r\n\x7f\x08", ["tab", "shift_tab", "enter", "enter", "backspace", "backspace"]),
        (b"\x1bOP\x1bOQ\x1b[11~\x1b[15~\x1b[17~\x1b[21~", ["f1", "f2", "f1", "f5", "f6", "f10"]),
        (b"\x1b[[A\x1b[[E", ["f1", "f5"]),  # of the Linux console
        (b"\x03\x04\x0c\x15", ["ctrl_c", "ctrl_d", "ctrl_l", "ctrl_u"]),
        (b"\x1bj\x1bq", ["escape", "j", "escape", "q"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1b[<0;1;1M\x1b[<0;1;1m", [Mouse("press", 0, 0)]),
        (b"\x1b[<0;200;50M", [Mouse("press", 199, 49)]),
        (b"\x1b[<64;3;4M\x1b[<65;3;4M", [Mouse("wheel_up", 2, 3), Mouse("wheel_down", 2, 3)]),
        (b"\x1b[<68;3;4M", [Mouse("wheel_up", 2, 3)]),  # with Shift
        (b"\x1b[<2;3;4M\x1b[<32;3;4M\x1b[<66;3;4Mx", ["x"]),  # the right button, a move, a wheel to the side
        (b"\x1b[M !!\x1b[M#!!\x1b[M`#$", [Mouse("press", 0, 0), Mouse("wheel_up", 2, 3)]),  # in three characters
    ],
)
def test_keys_and_mouse_are_decoded_in_one_piece_and_in_bytes(sent: bytes, events: list[Event]) -> None:
    assert decoded(sent) == events
    assert decoded(*(bytes([byte]) for byte in sent)) == events


@pytest.mark.parametrize(
    "sent", [b"\x1b[?1;2c", b"\x1b[200~", b"\x1b[99999999999999~", b"\x1b[;~", b"\x1b[1;2$y", b"\x1bOw", b"\x00\x1c"]
)
def test_meaningless_samples_are_left_out(sent: bytes) -> None:
    assert decoded(sent, b"j") == ["j"]


def test_sequence_that_has_begun_waits_for_the_rest() -> None:
    decoder = KeyDecoder()
    assert (decoder.feed(b"\x1b["), decoder.is_waiting) == ([], True)
    assert (decoder.feed(b"A"), decoder.is_waiting) == (["up"], False)
    assert (decoder.feed(b"\x1b[<0;1"), decoder.is_waiting) == ([], True)
    assert decoder.flush() == []  # the rest was lost
    assert decoder.feed(b"q") == ["q"]


def test_sequence_without_an_end_is_given_up() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[" + b"0;" * 500) == []
    assert decoder.feed(b"m\x1b[A") == ["m", "up"]


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.binary(max_size=8)))
def test_any_bytes_are_decoded(pieces: list[bytes]) -> None:
    decoder = KeyDecoder()
    for piece in pieces:
        for event in decoder.feed(piece):
            assert isinstance(event, Mouse) or (event.isprintable() and event)
    decoder.flush()
    assert decoder.feed(b"q")[-1] == "q"
