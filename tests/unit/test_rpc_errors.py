"""Errors over gRPC: one code each, and back again with everything they said."""

from __future__ import annotations

import subprocess
import sys

import grpc
import grpc.aio
import msgspec
import pytest

from api import errors
from api.errors import FieldError
from component import rpc
from component.rpc_failover import judge
from controlplane.commands import CommitRefused, Refused


def failed(status: rpc.Status) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.details)


def broken(code: grpc.StatusCode, details: str = "socket closed") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


def test_every_error_has_a_code_and_only_those_over_a_limit_share_one():
    assert set(rpc.CODES) == set(errors.ERRORS.values())
    limits = {errors.TooLarge, errors.TooManyRequests}
    codes = [code for error, code in rpc.CODES.items() if error not in limits]
    assert len({*codes, grpc.StatusCode.RESOURCE_EXHAUSTED}) == len(codes) + 1
    assert {rpc.CODES[error] for error in limits} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_an_exhausted_resource_that_the_transport_names_is_a_message_that_is_too_large():
    assert type(rpc.error_of(broken(grpc.StatusCode.RESOURCE_EXHAUSTED))) is errors.TooLarge


@pytest.mark.parametrize("error", errors.ERRORS.values())
def test_an_error_arrives_as_itself(error):
    received = rpc.error_of(failed(rpc.status_of(error('pod "größe" ≠ no'))))
    assert type(received) is error
    assert str(received) == 'pod "größe" ≠ no'


def test_field_errors_arrive_one_by_one():
    fields = [FieldError("spec.a", "bad"), FieldError("", "whole"), FieldError("spec.b[0]", "Required value")]
    sent = errors.Invalid("Pod is invalid", fields)
    received = rpc.error_of(failed(rpc.status_of(sent)))
    assert received.fields == sent.fields
    assert str(received) == str(sent)


def test_a_client_that_knows_only_codes_still_reads_the_whole_message():
    sent = errors.Invalid("Pod is invalid", [FieldError("spec.a", "bad")])
    status = rpc.status_of(sent)
    assert (status.code, status.details) == (grpc.StatusCode.INVALID_ARGUMENT, "Pod is invalid: spec.a: bad")


def test_thousands_of_field_errors_are_cut_to_what_metadata_may_carry():
    sent = errors.Invalid("Pod is invalid", [FieldError(f"spec.field{index}", "x" * 50) for index in range(5_000)])
    status = rpc.status_of(sent)
    ((_, data),) = status.trailing_metadata
    assert len(data) < rpc.MAX_METADATA_BYTES
    assert len(status.details) <= rpc.MAX_DETAILS
    received = rpc.error_of(failed(status))
    assert received.fields[-1].message == f"and {5_000 - len(received.fields) + 1} more"


def test_a_refinement_of_an_error_has_the_code_of_what_it_refines():
    class Stale(errors.Conflict):
        pass

    assert rpc.status_of(Stale("x")).code == grpc.StatusCode.ABORTED
    assert rpc.status_of(CommitRefused(Refused("Exists", 0, "x"))).code == grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.CANCELLED, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Unknown),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.TooLarge),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotFound),
        (grpc.StatusCode.INTERNAL, errors.ApiError),
        (grpc.StatusCode.DATA_LOSS, errors.ApiError),
    ],
)
def test_failures_of_the_transport_become_the_nearest_error(code, error):
    failure = broken(code)
    assert type(rpc.error_of(failure)) is error
    assert not rpc.answered(failure)


def test_metadata_that_cannot_be_read_counts_as_no_answer():
    failure = grpc.aio.AioRpcError(
        grpc.StatusCode.ABORTED, grpc.aio.Metadata(), grpc.aio.Metadata((rpc.ERROR_KEY, b"{rubbish")), "stale"
    )
    assert not rpc.answered(failure)
    assert isinstance(rpc.error_of(failure), errors.Conflict)


def test_an_unknown_reason_of_a_newer_server_is_still_an_error():
    data = msgspec.json.encode({"reason": "Novelty", "message": "news"})
    failure = grpc.aio.AioRpcError(
        grpc.StatusCode.ABORTED, grpc.aio.Metadata(), grpc.aio.Metadata((rpc.ERROR_KEY, data)), "news"
    )
    assert str(rpc.error_of(failure)) == "news"


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (failed(rpc.status_of(errors.Unavailable("no leader"))), "elsewhere"),
        (failed(rpc.status_of(errors.Unknown("lost"))), "doubtful"),
        (failed(rpc.status_of(errors.Conflict("stale"))), "final"),
        (failed(rpc.status_of(errors.TooLarge("quota"))), "final"),
        (broken(grpc.StatusCode.UNAVAILABLE), "doubtful"),
        (broken(grpc.StatusCode.DEADLINE_EXCEEDED), "doubtful"),
        (broken(grpc.StatusCode.INTERNAL), "final"),
        (broken(grpc.StatusCode.RESOURCE_EXHAUSTED), "final"),
    ],
)
def test_only_what_certainly_did_not_happen_goes_elsewhere_without_doubt(failure, verdict):
    assert judge(failure)[0] == verdict


@pytest.mark.slow
def test_the_client_stays_light_enough_for_the_command_line():
    code = (
        "import sys, component.rpc_client\n"
        "print([name for name in ('cryptography', 'structlog', 'numpy', 'yaml', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
