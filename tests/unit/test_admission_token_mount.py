"""The volume with a service account's token that every pod gets."""

from __future__ import annotations

import pytest

from api.errors import Forbidden
from api.object import Object, canonical
from api.scheme import by_kind, by_resource
from api.validation import validate
from controlplane.admission.request import Identity, Request
from controlplane.admission.token_mount import MOUNT_PATH, TokenMount

ADMIN = Identity("admin", ("system:masters",))
OWN_MOUNT = {"name": "mine", "mountPath": MOUNT_PATH}


class Accounts:
    """A snapshot of one namespace's service accounts."""

    def __init__(self, **accounts):
        self.accounts = {"robot": {}} | accounts

    def get(self, resource, namespace, name):
        assert (resource, namespace) == ("serviceaccounts", "shop")
        fields = self.accounts.get(name)
        if fields is None:
            return None
        return Object(resource, namespace, name, "u", 1, canonical({"metadata": {"name": name}, **fields}))


def pod(*containers, account="robot", **spec):
    containers = containers or ({"name": "main", "image": "app:1"},)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"serviceAccountName": account, "containers": list(containers), **spec},
    }


def admitted(tree, old=None, accounts=None):
    verb = "create" if old is None else "update"
    request = Request(ADMIN, verb, by_resource("pods"), "shop", "web", tree, old)
    return TokenMount().admit(request, accounts or Accounts())["spec"]


def test_a_pod_gets_a_volume_of_token_certificate_and_namespace():
    spec = admitted(pod())
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    }
    mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    assert [each["volumeMounts"] for each in spec["containers"]] == [[mount]]


def test_what_is_added_is_valid():
    tree = pod()
    assert not validate(by_kind("v1", "Pod"), {**tree, "spec": admitted(tree)}, None)


def test_pods_of_one_account_get_equal_volumes():
    """Equal specs are stored once and scheduled as one class."""
    assert admitted(pod()) == admitted(pod())
    assert admitted(pod())["volumes"] != admitted(pod(account="default"))["volumes"]


def test_every_container_gets_the_mount_but_one_that_has_something_there():
    own = {"name": "own", "image": "app:1", "volumeMounts": [OWN_MOUNT]}
    other = {"name": "other", "image": "app:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    spec = admitted(pod(own, other, initContainers=[{"name": "first", "image": "app:1"}]))
    [volume] = spec["volumes"]
    mounts = {each["name"]: each["volumeMounts"] for each in (*spec["initContainers"], *spec["containers"])}
    assert mounts["own"] == [OWN_MOUNT]
    assert [each["name"] for each in mounts["other"]] == ["v", volume["name"]]
    assert [each["name"] for each in mounts["first"]] == [volume["name"]]


def test_a_pod_whose_containers_all_have_something_there_gets_no_volume():
    tree = pod({"name": "own", "image": "app:1", "volumeMounts": [OWN_MOUNT]})
    assert admitted(tree) == tree["spec"]


@pytest.mark.parametrize(
    ("pod_says", "account_says", "mounted"),
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (False, True, False),
        (False, None, False),
        (True, False, True),
    ],
)
def test_the_pod_decides_then_its_account(pod_says, account_says, mounted):
    said = {} if pod_says is None else {"automountServiceAccountToken": pod_says}
    account = {} if account_says is None else {"automountServiceAccountToken": account_says}
    assert ("volumes" in admitted(pod(**said), accounts=Accounts(robot=account))) is mounted


def test_a_pod_of_an_account_that_does_not_exist_is_refused():
    with pytest.raises(Forbidden, match='error looking up service account shop/nobody: serviceaccount "nobody" not'):
        admitted(pod(account="nobody"))


def test_the_account_of_a_namespace_that_is_being_made_is_waited_for_on_the_node():
    assert admitted(pod(account="default"))["volumes"]


def test_a_volume_of_that_name_is_taken_as_it_is():
    given = {"name": "kube-api-access-abcde", "emptyDir": {}}
    spec = admitted(pod(volumes=[given]))
    assert spec["volumes"] == [given]
    assert spec["containers"][0]["volumeMounts"][0]["name"] == given["name"]


def test_replacing_a_pod_by_its_own_manifest_changes_nothing():
    old = {**pod(), "spec": admitted(pod())}
    assert admitted(pod(), old) == old["spec"]
    assert admitted(old, old) == old["spec"]


def test_a_pod_that_had_no_volume_gets_none_later():
    bare = pod(automountServiceAccountToken=False)
    assert admitted(bare, bare) == bare["spec"]


def test_other_kinds_are_left_alone():
    tree = {"metadata": {"name": "a"}}
    assert (
        TokenMount().admit(Request(ADMIN, "create", by_resource("configmaps"), "shop", "a", tree), Accounts()) is tree
    )
