import pytest

from api import scheme
from api.core import Pod
from api.errors import Invalid, NotFound


@pytest.mark.parametrize(
    ("word", "resource"),
    [
        ("po", "pods"),
        ("pod", "pods"),
        ("Pod", "pods"),
        ("PODS", "pods"),
        ("svc", "services"),
        ("deploy", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployment.apps", "deployments.apps"),
        ("rs", "replicasets.apps"),
        ("ns", "namespaces"),
        ("no", "nodes"),
        ("cm", "configmaps"),
        ("secret", "secrets"),
        ("sa", "serviceaccounts"),
        ("ev", "events"),
        ("lease", "leases.coordination.k8s.io"),
        ("endpointslices", "endpointslices.discovery.k8s.io"),
    ],
)
def test_people_find_kinds_by_any_of_their_names(word, resource):
    assert scheme.lookup(word).resource == resource


def test_objects_find_their_kind():
    kind = scheme.by_kind("apps/v1", "Deployment")
    assert kind is scheme.by_resource("deployments.apps")
    assert (kind.group, kind.plural, kind.singular, kind.namespaced) == ("apps", "deployments", "deployment", True)
    assert scheme.by_kind("v1", "Node").group == ""


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda: scheme.lookup("widgets"), 'no resource type "widgets"'),
        (lambda: scheme.by_resource("deployments"), 'no resource "deployments"'),
        (lambda: scheme.by_kind("v1", "Deployment"), 'no kind "Deployment" in "v1"; use apiVersion "apps/v1"'),
        (lambda: scheme.by_kind("x/v1", "Widget"), 'no kind "Widget" in "x/v1"'),
    ],
)
def test_unknown_kinds_are_named(find, message):
    with pytest.raises(NotFound, match=message):
        find()


def test_names_of_kinds_are_unique():
    words = [word for kind in scheme.KINDS for word in (*{kind.plural, kind.singular}, *kind.short_names)]
    assert len(set(words)) == len(words)


def test_trees_and_json_give_the_same_view():
    tree = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}], "unknown": 1}}
    view = scheme.decode(scheme.lookup("pod"), tree)
    assert view == scheme.decode(
        scheme.lookup("pod"), b'{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}'
    )
    assert isinstance(view, Pod)
    assert view.spec.containers[0].name == "c"


@pytest.mark.parametrize("source", [{"spec": {"containers": 1}}, b'{"spec": 1}', b"{"])
def test_what_cannot_be_viewed_is_refused(source):
    with pytest.raises(Invalid, match=r"^Pod: "):
        scheme.decode(scheme.lookup("pod"), source)
