"""What requests of Kubernetes' clients mean: paths, queries, forms, errors. Values in, values out."""

from __future__ import annotations

import json

import pytest

from api import errors
from api.errors import FieldError
from api.scheme import KINDS
from component.client import ObjectList
from controlplane.apiserver.freshness import Freshness
from controlplane.apiserver.past import At
from controlplane.apiserver.rest import negotiation, paths, queries
from controlplane.apiserver.rest.channels import frame_of
from controlplane.apiserver.rest.exec import exit_status
from controlplane.apiserver.rest.negotiation import accepted
from controlplane.apiserver.rest.paths import GroupVersion
from controlplane.apiserver.rest.refusals import Refusal, status_of
from controlplane.apiserver.rest.views import View, list_pieces

REVIEWS = {("authentication.k8s.io/v1", "tokenreviews"): False}


def meant(path):
    target = paths.parse(path, REVIEWS)
    return target.resource, target.namespace, target.name, target.subresource


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/pods", ("pods", "", "", "")),
        ("/api/v1/namespaces/x/pods", ("pods", "x", "", "")),
        ("/api/v1/namespaces/x/pods/a", ("pods", "x", "a", "")),
        ("/api/v1/namespaces/x/pods/a/log", ("pods", "x", "a", "log")),
        ("/api/v1/namespaces", ("namespaces", "", "", "")),
        ("/api/v1/namespaces/x", ("namespaces", "", "x", "")),
        ("/api/v1/namespaces/x/status", ("namespaces", "", "x", "status")),
        ("/api/v1/nodes/n%31/status", ("nodes", "", "n1", "status")),
        ("/apis/apps/v1/namespaces/x/deployments/a%2Fb", ("deployments.apps", "x", "a/b", "")),
        ("/api/v1/watch/namespaces/x/pods/a", ("pods", "x", "a", "")),
        ("/apis/authentication.k8s.io/v1/tokenreviews", ("tokenreviews.authentication.k8s.io", "", "", "")),
    ],
)
def test_a_path_names_a_resource_and_where_it_stands(path, found):
    assert meant(path) == found


def test_every_kind_has_its_paths():
    for kind in KINDS:
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        place = f"{root}/namespaces/x" if kind.namespaced else root
        assert meant(f"{place}/{kind.plural}/a")[0] == kind.resource


def test_a_path_that_ends_early_names_its_documents():
    assert paths.parse("/apis/apps/v1/", {}) == GroupVersion("apps", "v1")
    assert paths.parse("/apis/apps", {}) == GroupVersion("apps")
    assert paths.parse("/api/v1", {}) == GroupVersion("", "v1")


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/apis", "/api/v2/pods", "/apis/apps/v1/pods", "/api/v1/pods/a", "/api/v1/namespaces/x/nodes"),
        *("/api/v1/namespaces//pods", "/api/v1/namespaces/x/pods/a/b/c", "/api/v1/nodes/a/b/c", "/other/v1/pods"),
        "/apis/authentication.k8s.io/v1/namespaces/x/tokenreviews",
    ],
)
def test_other_paths_are_not_found(path):
    with pytest.raises(errors.NotFound):
        paths.parse(path, REVIEWS)


@pytest.mark.parametrize("tail", ["", "/", "/healthz", "/logs/a%2Fb"])
def test_the_proxy_of_nodes_is_refused_by_name(tail):
    with pytest.raises(errors.NotFound, match="nodes/proxy is not supported: nodes listen on nothing"):
        paths.parse(f"/api/v1/nodes/n1/proxy{tail}", {})


def test_the_first_wanted_form_that_can_be_had_is_taken():
    shapes = (("Table", "v1"),)
    table = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json;as=Table;g=meta.k8s.io;v=v1,application/json"
    assert (accepted(table, shapes).shape, accepted(table, shapes).version) == ("Table", "v1")
    assert accepted(table).shape == ""
    assert accepted("application/vnd.kubernetes.protobuf, */*").media == negotiation.JSON
    assert accepted("application/json;q=0.1, application/yaml").media == negotiation.YAML
    assert accepted("") == negotiation.PLAIN
    for unknown in ("application/vnd.kubernetes.protobuf", "text/html", "application/json;as=Poem;v=v1"):
        with pytest.raises(Refusal):
            accepted(unknown, shapes)


@pytest.mark.parametrize(
    ("query", "fresh", "at"),
    [
        ({}, Freshness(), At()),
        ({"resourceVersion": "0"}, Freshness(not_older_than=0), At()),
        ({"resourceVersion": "5"}, Freshness(not_older_than=5), At()),
        ({"resourceVersion": "5", "limit": "2"}, Freshness(), At(5)),
        ({"resourceVersion": "0", "limit": "2"}, Freshness(not_older_than=0), At()),
        ({"resourceVersion": "5", "resourceVersionMatch": "Exact"}, Freshness(), At(5)),
        (
            {"resourceVersion": "5", "limit": "2", "resourceVersionMatch": "NotOlderThan"},
            Freshness(not_older_than=5),
            At(),
        ),
        ({"continue": "x", "resourceVersion": "0"}, Freshness(), At()),
    ],
)
def test_the_version_of_a_list_means_what_kubernetes_says(query, fresh, at):
    """https://kubernetes.io/docs/reference/using-api/api-concepts, the table of resourceVersionMatch."""
    options = queries.list_options(query)
    assert (options.fresh, options.at) == (fresh, at)


@pytest.mark.parametrize(
    ("query", "revision", "from_now"),
    [
        ({}, None, False),
        ({"resourceVersion": "0"}, None, False),
        ({"resourceVersion": "5"}, 5, False),
        ({"resourceVersion": "5", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, None, False),
        ({"resourceVersion": "5", "sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}, 5, False),
        ({"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}, None, True),
    ],
)
def test_a_watch_begins_where_kubernetes_says(query, revision, from_now):
    options = queries.watch_options(query)
    assert (options.revision, options.from_now) == (revision, from_now)


def test_faults_of_fields_become_causes_with_their_kind_of_reason():
    faults = [
        FieldError("spec.a", "Required value"),
        FieldError("spec.b", "Unsupported value: x"),
        FieldError("c", "odd"),
    ]
    target = paths.parse("/api/v1/namespaces/x/pods/a", {})
    status = status_of(errors.Invalid("Pod is invalid", faults), target)
    assert status["code"] == 422
    assert status["details"]["kind"] == "Pod"
    assert [cause["reason"] for cause in status["details"]["causes"]] == [
        "FieldValueRequired",
        "FieldValueNotSupported",
        "FieldValueInvalid",
    ]


def test_every_error_of_the_api_has_a_code_and_waiting_is_told():
    codes = {name: status_of(error("why"))["code"] for name, error in errors.ERRORS.items()}
    assert codes["Invalid"] == 400  # without fields: the request, not an object
    assert all(400 <= code < 600 for code in codes.values())
    for name in ("Unavailable", "Unknown"):
        assert status_of(errors.ERRORS[name]("why"))["details"]["retryAfterSeconds"] == 1


def test_lists_come_in_pieces_that_join_to_the_whole():
    made = View(negotiation.PLAIN, {"kind": "L"}, b"items", lambda item: b"%d" % item, lambda item: b"%d" % item, 10)
    for count in (0, 1, 9, 10, 11, 95):
        pieces = list(list_pieces(made, ObjectList(tuple(range(count)), 7, "t")))
        assert len(pieces) == max(1, -(-count // 10))
        assert json.loads(b"".join(pieces)) == {
            "kind": "L",
            "metadata": {"resourceVersion": "7", "continue": "t"},
            "items": list(range(count)),
        }


def test_messages_of_a_websocket_are_frames_or_nothing():
    assert frame_of(b"\x00abc", closes=False).stdin == b"abc"
    assert frame_of(b"\xff\x00", closes=True).stdin_closed
    assert frame_of(b'\x04{"Width":80,"Height":24}', closes=False).resize.width == 80
    for nothing in (b"", b"\x00", b"\x01x", b"\xff\x00", b"\xff", b"\x04{", b'\x04{"Width":-1}', b'\x04{"Width":1e9}'):
        assert frame_of(nothing, closes=False) is None
    assert exit_status(0)["status"] == "Success"
