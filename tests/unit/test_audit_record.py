"""Lines of the audit log: what stands in them, and what never does."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from controlplane.admission.request import Identity
from controlplane.apiserver.audit_calls import parts_of
from controlplane.apiserver.authz import API_METHODS
from controlplane.audit.log import AuditLog, Circumstances, Part
from controlplane.audit.policy import Level, policy_of
from controlplane.audit.record import SHOWN_BYTES, Document, Event, line_of
from controlplane.rbac.attributes import Attributes, on_path
from tests.api_server import config_map, make_env, pod

JANE = Identity("jane", ("dev",))
CANARY = "c4n4ry-4711"


def event(asked=None, level=Level.METADATA, **fields):
    asked = asked or Attributes("create", "apps", "deployments", "scale", "prod", "web")
    given_fields = {"code": 201, "uri": "/apis/apps/v1", **fields}
    return Event("id-1", 1_700_000_000.25, 0.0125, level, JANE, asked, **given_fields)


def read(found):
    line = line_of(found)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


def document(tree):
    return Document(json.dumps(tree, indent=2).encode())


def test_a_line_says_who_asked_for_what_from_where_and_how_it_ended():
    acting = Identity("joe", ("ops",), impersonator="jane")
    found = read(event(acting=acting, source="10.0.0.9", user_agent="kubectl/1.31", manager="me", dry_run=True, part=2))
    assert found == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "id-1",
        "stage": "ResponseComplete",
        "requestURI": "/apis/apps/v1",
        "verb": "create",
        "user": {"username": "jane", "groups": ["dev"]},
        "impersonatedUser": {"username": "joe", "groups": ["ops"]},
        "sourceIPs": ["10.0.0.9"],
        "userAgent": "kubectl/1.31",
        "objectRef": {
            "resource": "deployments",
            "namespace": "prod",
            "name": "web",
            "apiGroup": "apps",
            "subresource": "scale",
        },
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": "2023-11-14T22:13:20.250000Z",
        "stageTimestamp": "2023-11-14T22:13:20.262500Z",
        "annotations": {
            "timonier.dev/latency-ms": "12.500",
            "timonier.dev/dry-run": "true",
            "timonier.dev/field-manager": "me",
            "timonier.dev/part": "2",
        },
    }


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (Level.METADATA, set()),
        (Level.REQUEST, {"requestObject"}),
        (Level.REQUEST_RESPONSE, {"requestObject", "responseObject"}),
    ],
)
def test_each_level_shows_what_those_below_do_and_more(level, shown):
    asked = Attributes("create", resource="pods", namespace="default", name="web")
    found = read(event(asked, level, sent=document(pod("web")), answered=document(pod("web"))))
    assert found.keys() & {"requestObject", "responseObject"} == shown
    assert all(found[name] == pod("web") for name in shown)


@pytest.mark.parametrize(
    ("data", "form"),
    [(yaml.safe_dump(pod("web")).encode(), "yaml"), (json.dumps(pod("web")).encode(), "yaml")],
)
def test_what_was_sent_as_yaml_is_shown_as_an_object(data, form):
    asked = Attributes("patch", resource="pods", namespace="default", name="web")
    assert read(event(asked, Level.REQUEST, sent=Document(data, form)))["requestObject"] == pod("web")


@pytest.mark.parametrize("form", ["json", "yaml", "protobuf"])
@given(data=st.binary(max_size=60))
def test_a_body_of_any_bytes_makes_one_readable_line(form, data):
    asked = Attributes("create", resource="pods")
    assert read(event(asked, Level.REQUEST, sent=Document(data, form)))["verb"] == "create"


@given(text=st.text(st.characters(), max_size=40), length=st.integers(0, 2_000))
def test_whatever_callers_call_themselves_a_line_is_readable_and_bounded(text, length):
    found = event(
        Attributes("get", resource="pods", name=text * length),
        user_agent=text * length,
        uri="/" + text,
        acting=Identity(text * length, (text,)),
    )
    assert len(line_of(found)) < 40_000
    assert read(found)["kind"] == "Event"


def test_a_large_object_is_left_out_and_the_line_says_so():
    asked, lines = Attributes("create", resource="pods"), []
    log = AuditLog(policy_of("Request"), lines.append, make_env())
    big = document(pod("web", metadata={"annotations": {"a": "x" * SHOWN_BYTES}}))
    told(log, [Part(asked, big)])
    found = read(lines[0])
    assert "requestObject" not in found
    assert found["annotations"]["timonier.dev/requestObject-omitted"] == "too large"


def told(log, parts):
    start = log.start()
    log.tell(JANE, lambda: parts, lambda: Circumstances(start, JANE, None, "", "", "", "/", dry_run=False))


SECRET_ASKED = [
    Attributes("create", resource="secrets", namespace="default", name="s"),
    Attributes("patch", resource="configmaps", namespace="default", name="s"),
    Attributes("get", resource="secrets", namespace="default", name="s"),
    Attributes("create", "authentication.k8s.io", "tokenreviews"),
    Attributes("create", "", "serviceaccounts", "token", "default", "robot"),
    on_path("post", "/timonier/join-tokens/node"),
]
TREES = st.recursive(
    st.just(CANARY) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "kind", "items"]), inner),
    max_leaves=8,
)


@given(
    asked=st.sampled_from(SECRET_ASKED),
    tree=TREES,
    level=st.sampled_from(Level),
    form=st.sampled_from(["json", "yaml"]),
)
def test_nothing_of_a_secret_or_a_token_is_ever_shown(asked, tree, level, form):
    body = Document(json.dumps(tree).encode(), form)
    assert CANARY.encode() not in line_of(event(asked, level, sent=body, answered=body))


@given(
    kind=st.sampled_from(["Secret", "secret", "ConfigMap", "SecretList", "TokenRequest", "TokenReview", "List"]),
    around=st.lists(st.sampled_from(["spec", "items", "object"]), max_size=3),
)
def test_a_secret_inside_of_something_else_is_not_shown_either(kind, around):
    tree = {"kind": kind, "data": {"password": CANARY}}
    for name in around:
        tree = {"kind": "Pod", name: [tree]}
    asked = Attributes("create", resource="pods", namespace="default", name="web")
    found = read(event(asked, Level.REQUEST_RESPONSE, sent=document(tree), answered=document(tree)))
    assert CANARY not in json.dumps(found)
    assert found["annotations"]["timonier.dev/requestObject-omitted"] == "never shown"


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": CANARY}}


def resource(tree, **envelope):
    return resource_pb2.Resource(json=json.dumps(tree), **envelope)


def without(*names):
    return {name: value for name, value in SECRET.items() if name not in names}


SECRET_OBJECTS = st.sampled_from(
    [
        resource(SECRET),
        resource(without("kind"), kind="Secret"),
        resource(without("kind", "apiVersion"), kind="Secret", api_version="v1"),
        resource(SECRET, kind="Pod", api_version="v1"),
        resource(without("metadata"), kind="Pod", name="x"),
        resource({**SECRET, "apiVersion": "v2"}),
        resource({**SECRET, "metadata": []}),
        resource({**config_map("m"), "data": {"password": CANARY}}),
    ]
)


@given(secret=SECRET_OBJECTS, call=st.sampled_from(["Create", "Update", "UpdateStatus", "Apply", "Transaction"]))
def test_a_call_that_writes_a_secret_shows_nothing_of_it(secret, call):
    operation = pb.Operation(create=secret)
    requests = {
        "Create": pb.CreateRequest(object=secret),
        "Apply": pb.ApplyRequest(object=secret),
        "Transaction": pb.TransactionRequest(operations=[pb.Operation(apply=resource(pod("web"))), operation]),
    }
    request = requests.get(call, pb.UpdateRequest(object=secret))
    answers = {
        "Apply": pb.ApplyResponse(object=secret),
        "Transaction": pb.TransactionResponse(committed=True, results=[{}, {"object": secret}]),
    }
    lines = []
    log = AuditLog(policy_of("RequestResponse"), lines.append, make_env())
    told(log, parts_of(API_METHODS + call, request, answers.get(call, secret)))
    assert len(lines) == (2 if call == "Transaction" else 1)
    assert all(CANARY.encode() not in line_of(line) for line in lines)


def test_a_token_is_not_shown():
    lines = []
    log = AuditLog(policy_of("RequestResponse"), lines.append, make_env())
    told(
        log,
        parts_of(
            API_METHODS + "CreateToken",
            pb.CreateTokenRequest(service_account="r"),
            pb.CreateTokenResponse(token=CANARY),
        ),
    )
    join = pb.CreateJoinTokenRequest(role="replica")
    told(log, parts_of(API_METHODS + "CreateJoinToken", join, pb.CreateJoinTokenResponse(token=CANARY)))
    assert [read(line)["verb"] for line in lines] == ["create", "post"]
    assert all(CANARY.encode() not in line_of(line) for line in lines)
    assert lines[1].asked.path == "/timonier/join-tokens/replica"


def asked_of(method, request, answer=None):
    return [each.asked for each in parts_of(API_METHODS + method, request, answer)]


def test_a_call_is_told_by_verb_and_object():
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "x"}}
    assert asked_of("Create", pb.CreateRequest(object=resource(pod("web")))) == [
        Attributes("create", resource="pods", namespace="default", name="web")
    ]
    assert asked_of("Apply", pb.ApplyRequest(object=resource(deployment))) == [
        Attributes("patch", "apps", "deployments", namespace="x", name="d")
    ]
    tab = {"apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": "t"}}
    stored = resource_pb2.Resource(resource="crontabs.example.com", namespace="default", name="t", json="{}")
    assert asked_of("Create", pb.CreateRequest(object=resource(tab)), stored) == [
        Attributes("create", "example.com", "crontabs", namespace="default", name="t")
    ]
    assert asked_of("Delete", pb.DeleteRequest(resource="nodes", name="n1")) == [
        Attributes("delete", resource="nodes", name="n1")
    ]
    assert asked_of("Watch", pb.WatchRequest(resource="deployments.apps")) == [
        Attributes("watch", "apps", "deployments")
    ]
    assert asked_of("Exec", pb.StreamFrame(exec=pb.ExecStart(pod="web"))) == [
        Attributes("create", "", "pods", "exec", "default", "web")
    ]
    assert asked_of("Attach", pb.StreamFrame(attach=pb.AttachStart(pod="web", namespace="x"))) == [
        Attributes("create", "", "pods", "attach", "x", "web")
    ]
    assert asked_of("PortForward", pb.StreamFrame(forward=pb.ForwardStart(pod="web", namespace="x", port=80))) == [
        Attributes("create", "", "pods", "portforward", "x", "web")
    ]


@pytest.mark.parametrize("request_", [None, pb.CreateRequest(object=resource_pb2.Resource(json="{"))])
def test_a_call_that_cannot_be_read_is_told_by_its_path(request_):
    assert asked_of("Create", request_) == [on_path("post", API_METHODS + "Create")]


def test_each_write_of_a_transaction_that_was_not_done_says_why():
    request = pb.TransactionRequest(
        operations=[
            pb.Operation(create=resource(pod("web"))),
            pb.Operation(delete=pb.DeleteRequest(resource="pods", name="b")),
        ]
    )
    answer = pb.TransactionResponse(results=[{}, {"reason": "NotFound"}])
    parts = parts_of(API_METHODS + "Transaction", request, answer)
    assert [(part.asked.verb, part.code, part.reason) for part in parts] == [
        ("create", 409, "NotCommitted"),
        ("delete", 404, "NotFound"),
    ]


def test_a_fault_in_telling_of_a_request_does_not_reach_it():
    def broken():
        raise ZeroDivisionError

    log = AuditLog(policy_of(""), lambda _event: None, make_env())
    log.tell(JANE, broken, broken)
