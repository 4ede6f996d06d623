"""SPDY/3.1 as kubectl speaks it inside a WebSocket."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.rest import spdy

HEADERS = st.dictionaries(st.text("abc:-", min_size=1, max_size=8), st.text(max_size=20), max_size=4)
STREAMS = st.integers(1, 2**31 - 1)
SENT = st.one_of(
    st.builds(spdy.Opened, STREAMS, HEADERS),
    st.builds(spdy.Data, STREAMS, st.binary(max_size=40), st.booleans()),
    st.builds(spdy.Ping, st.integers(0, 2**32 - 1)),
)


def encoded(writer, frame):
    match frame:
        case spdy.Opened(stream, headers):
            return writer.open(stream, headers)
        case spdy.Data(stream, data, fin):
            return spdy.data(stream, data, fin=fin)
        case spdy.Ping(number):
            return spdy.ping(number)
    raise AssertionError(frame)


def test_the_dictionary_is_the_one_of_the_specification():
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2  # every header block of SPDY/3 begins with 78 bb e3 c6 a7 c2


@pytest.mark.slow
@given(st.lists(SENT, max_size=6), st.integers(1, 50))
def test_frames_arrive_as_they_were_sent_however_they_are_cut(frames, size):
    writer, reader = spdy.Writer(), spdy.Reader()
    sent = b"".join(encoded(writer, frame) for frame in frames)
    found = [frame for at in range(0, len(sent), size) for frame in reader.feed(sent[at : at + size])]
    assert found == frames


def test_bytes_of_each_frame_are_those_of_the_specification():
    assert spdy.data(5, b"ab", fin=True) == b"\0\0\0\x05\x01\0\0\x02ab"
    assert spdy.ping(7) == b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x07"
    assert spdy.refuse(3) == b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x03"
    reply = spdy.Writer().reply(9)
    assert reply[:4] + reply[8:12] == b"\x80\x03\0\x02\0\0\0\x09"
    assert reply[12:18] == b"\x78\xbb\xe3\xc6\xa7\xc2"
    assert zlib.decompressobj(zdict=spdy.DICTIONARY).decompress(reply[12:]) == bytes(4)


def test_what_ends_is_told_and_settings_and_windows_mean_nothing():
    settings, window = b"\x80\x03\0\x04\0\0\0\x04\0\0\0\0", b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\0\0\x02"
    reset, away = b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x05", b"\x80\x03\0\x07\0\0\0\x08\0\0\0\0\0\0\0\0"
    assert list(spdy.Reader().feed(settings + window + reset + away)) == [spdy.Reset(5), spdy.GoAway()]


def headers(block):
    packed = zlib.compressobj(zdict=spdy.DICTIONARY)
    body = bytes(10) + packed.compress(block) + packed.flush(zlib.Z_SYNC_FLUSH)
    return b"\x80\x03\0\x01" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x07", "SPDY of version 2"),
        (b"\0\0\0\x01\0\xff\xff\xff", "a frame of 16777215 bytes"),
        (b"\x80\x03\0\x01\0\0\xff\xff", "a frame of 65535 bytes"),
        (b"\x80\x03\0\x06\0\0\0\x02\0\0", "cut off"),
        (b"\x80\x03\0\x02\0\0\0\x04\0\0\0\x01", "unexpected frame of type 2"),
        (b"\x80\x03\0\x01\0\0\0\x0c" + bytes(10) + b"no", "headers: "),
        (headers(b"\0\0\0\x01\0\0\0\x09ab"), "headers that are cut off"),
        (headers(b"\xff\xff\xff\xff" + b"\0" * 8), "headers that are cut off"),
        (headers(bytes(spdy.HEADERS_LIMIT_BYTES + 1)), "headers that are too long"),
    ],
)
def test_what_is_not_spdy_or_too_much_breaks_the_connection(sent, said):
    with pytest.raises(spdy.Broken, match=said):
        list(spdy.Reader().feed(sent))
