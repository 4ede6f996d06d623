"""The small pure parts around the Raft node."""

import random

import pytest

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import frames, messages
from controlplane.raft.config import resolve
from controlplane.raft.frames import MAX_FRAME_BYTES, FrameError, FrameReader
from controlplane.raft.liveness import ApiLiveness
from controlplane.raft.log import LogFailure
from controlplane.raft.pre_vote import Claim, PreVote, grants
from controlplane.raft.reads import ReadRounds


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_frames_survive_being_cut_anywhere(piece):
    sent = [raft_pb2.LinkMessage(refused=raft_pb2.LinkRefused(id=number)) for number in range(20)]
    stream = b"".join(frames.encode(message) for message in sent)
    reader = FrameReader()
    received = []
    for start in range(0, len(stream), piece):
        received += [raft_pb2.LinkMessage.FromString(body) for body in reader.feed(stream[start : start + piece])]
    assert received == sent


def test_a_frame_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(FrameError, match="over the limit"):
        list(FrameReader().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "little")))


def test_a_read_waits_for_a_majority_of_its_own_round():
    rounds, answers = ReadRounds(), []
    rounds.echo("r2", 5)  # of an older read
    rounds.round = 5
    rounds.add(answers.append)
    assert rounds.start(commit_index=9)
    rounds.finish({"r2", "r3"})
    assert not answers
    rounds.echo("r3", 6)
    rounds.finish({"r2", "r3"})
    assert answers == [9]


def test_reads_of_a_lost_leadership_fail_in_every_state():
    rounds, answers = ReadRounds(), []
    rounds.add(answers.append)
    rounds.start(commit_index=1)
    rounds.add(answers.append)
    rounds.fail()
    assert answers == [None, None]
    assert not rounds.start(commit_index=1)


def test_a_pre_vote_is_won_once_by_a_majority():
    pre_vote = PreVote(members=5)
    number = pre_vote.start(0.0)
    assert [pre_vote.granted(peer, number) for peer in ("r2", "r2", "r3", "r4")] == [False, False, True, False]


def test_answers_to_an_earlier_pre_vote_do_not_count():
    pre_vote = PreVote(members=3)
    number = pre_vote.start(0.0)
    pre_vote.void()
    assert not pre_vote.granted("r2", number)


@pytest.mark.parametrize(
    ("own", "candidate", "asking", "granted"),
    [
        (Claim(2, 5, "r1"), Claim(2, 5, "r2"), False, True),
        (Claim(2, 5, "r1"), Claim(2, 4, "r2"), False, False),
        (Claim(2, 5, "r1"), Claim(3, 1, "r2"), False, True),
        (Claim(2, 5, "r2"), Claim(2, 5, "r1"), False, True),
        (Claim(2, 5, "r2"), Claim(2, 5, "r1"), True, False),
        (Claim(2, 5, "r1"), Claim(2, 5, "r2"), True, True),
    ],
)
def test_the_more_complete_log_gets_the_pre_vote_and_rivals_are_ordered(own, candidate, asking, granted):
    assert grants(own, candidate, asking=asking) is granted


@pytest.fixture
def clock():
    return [10.0]


@pytest.fixture
def liveness(clock):
    return ApiLiveness(Env(lambda: clock[0], lambda: clock[0], random.Random(1), lambda: "uid"), 0.75)


def test_an_api_process_is_electable_when_alive_and_done(liveness):
    assert not liveness.electable(0)
    liveness.connected(5)
    assert liveness.electable(5)
    assert not liveness.electable(6)


def test_silence_ends_a_leadership(liveness, clock):
    liveness.connected(5)
    for _ in range(14):
        clock[0] += 0.05
        assert liveness.interruption() == ""
    clock[0] += 0.1
    assert liveness.interruption() == "api process silent"
    liveness.seen(5)
    assert liveness.interruption() == ""


def test_a_stall_of_this_process_is_not_held_against_the_api_process(liveness, clock):
    liveness.connected(5)
    assert liveness.interruption() == ""
    clock[0] += 3.0
    assert liveness.interruption() == ""


def test_a_connection_made_again_at_once_still_ends_a_leadership(liveness):
    liveness.connected(5)
    liveness.lost()
    liveness.connected(5)
    assert liveness.interruption() == "api process gone"
    assert liveness.interruption() == ""


def test_addresses_are_resolved_and_bad_ones_named():
    assert resolve("127.0.0.1:7444") == ("127.0.0.1", 7444)
    assert resolve("[::1]:7444") == ("::1", 7444)
    for bad in ("host", "host:", "host:x", "host:70000"):
        with pytest.raises(ValueError, match=bad):
            resolve(bad)


def test_votes_travel_unchanged_between_library_and_wire():
    request = {"type": "request_vote", "term": 4, "last_log_index": 9, "last_log_term": 3}
    assert messages.vote_request(4, messages.from_library(request).vote_request) == request


def test_a_vote_request_that_contradicts_its_envelope_is_refused():
    with pytest.raises(FrameError):
        messages.vote_request(5, raft_pb2.VoteRequest(candidate_term=4))


def test_entries_keep_their_kind():
    append = raft_pb2.AppendEntries(prev_index=3)
    append.entries.add(index=4, term=2, kind=raft_pb2.RaftEntry.NO_OP)
    append.entries.add(index=5, term=2, data=b"x")
    assert messages.entries(append, 2) == [(messages.NO_OP, 4, 2), (messages.COMMAND + b"x", 5, 2)]


def test_an_unknown_kind_of_entry_is_a_failure_not_a_skip():
    append = raft_pb2.AppendEntries()
    append.entries.add(index=1, term=1, kind=9)
    with pytest.raises(LogFailure, match="newer version"):
        messages.entries(append, 2)
