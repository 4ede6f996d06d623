"""`tim create token`."""

from __future__ import annotations

import pytest

from api.v1 import apiserver_pb2 as pb
from tests.cli_rig import FakeApi, tim


class Asked(FakeApi):
    """Remembers what was asked for."""

    async def create_token(self, namespace, service_account, **options):
        self.asked = (namespace, service_account, options)
        return pb.CreateTokenResponse(token="head.body.signature")


def options(**given):
    return {"audiences": (), "expiration_seconds": 0, "pod": "", "uid": ""} | given


def test_the_token_alone_is_printed():
    api = Asked()
    result = tim(api, "create", "token", "robot")
    assert (result.exit_code, result.stdout) == (0, "head.body.signature\n")
    assert api.asked == ("default", "robot", options())


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("--duration", "10m"), {"expiration_seconds": 600}),
        (("--audience", "vault", "--audience", "x"), {"audiences": ("vault", "x")}),
        (("--bound-object-kind=Pod", "--bound-object-name", "web"), {"pod": "web"}),
        (
            ("--bound-object-kind=Pod", "--bound-object-name", "web", "--bound-object-uid", "u"),
            {"pod": "web", "uid": "u"},
        ),
    ],
)
def test_what_is_said_is_asked_for(words, asked):
    api = Asked()
    assert tim(api, "create", "token", "robot", "-n", "shop", *words).exit_code == 0
    assert api.asked == ("shop", "robot", options(**asked))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bound-object-kind", "Pod"), "belong together"),
        (("--bound-object-name", "web"), "belong together"),
        (("--bound-object-uid", "u"), "belong together"),
        (("--bound-object-kind", "Secret", "--bound-object-name", "s"), "is not 'Pod'"),
        (("--duration", "soon"), "no duration"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(words, message):
    result = tim(Asked(), "create", "token", "robot", *words)
    assert result.exit_code == 2
    assert message in result.stderr
