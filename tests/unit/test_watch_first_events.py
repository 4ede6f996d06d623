"""Events that watches begin with, shared between them."""

from __future__ import annotations

from controlplane.apiserver.first_events import FirstEvents
from controlplane.commands import Envelope, Key, Stored


def stored(name: str, revision: int, body: bytes = b'{"kind":"ConfigMap"}', resource: str = "configmaps") -> Stored:
    return Stored(Envelope(Key(resource, "default", name)), body, revision, 1)


def test_watches_that_begin_with_the_same_version_share_its_event_and_later_ones_see_the_newer():
    events, old = FirstEvents(), stored("a", 1)
    assert events.of(old) is events.of(old)
    new = stored("a", 2, b"{}")
    assert (events.of(new).revision, events.of(new).body) == (2, b"{}")
    assert events.of(old).revision == 1


def test_what_is_kept_is_bounded_however_often_objects_change():
    events = FirstEvents(10_000)
    for number in range(100):
        events.of(stored(f"a{number}", number + 1, b"x" * 1_000))
        events.of(stored("b", number + 1, b"y" * 1_000))
    assert 0 < events._bytes <= 10_000
    assert events._bytes == sum(2 * len(each.body) + 600 for each in events._events.values())
    large = stored("large", 1_000, b"z" * 20_000)
    assert events.of(large).body == large.body


def test_nothing_of_a_secret_is_kept():
    events = FirstEvents()
    assert events.of(stored("a", 1, resource="secrets")).revision == 1
    assert not events._events
