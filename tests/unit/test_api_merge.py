import copy

import pytest

from api import scheme
from api.errors import Invalid
from api.merge import merge_patch, strategic_merge, three_way

DEPLOYMENT = scheme.lookup("deployment")
POD = scheme.lookup("pod")
SERVICE = scheme.lookup("service")


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def merged(kind, current, patch):
    arguments = copy.deepcopy((current, patch))
    result = strategic_merge(kind, current, patch)
    assert (current, patch) == arguments, "an argument was changed"
    return result


def applied(kind, original, modified, current):
    arguments = copy.deepcopy((original, modified, current))
    result = three_way(kind, original, modified, current)
    assert (original, modified, current) == arguments, "an argument was changed"
    assert three_way(kind, modified, modified, result) == result, "applying again changes it"
    return result


def test_lists_with_a_key_merge_by_it():
    current = pod({"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y"})
    patch = pod({"name": "a", "image": "z", "env": [{"name": "L", "value": "2"}]}, {"name": "c"})
    assert merged(POD, current, patch) == pod(
        {"name": "a", "image": "z", "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}]},
        {"name": "b", "image": "y"},
        {"name": "c"},
    )


def test_null_deletes_and_other_lists_are_replaced():
    current = pod({"name": "a", "args": ["1", "2"]}, hostname="h", tolerations=[{"key": "a"}])
    patch = pod({"name": "a", "args": ["3"]}, hostname=None, tolerations=[{"key": "b"}])
    assert merged(POD, current, patch) == pod({"name": "a", "args": ["3"]}, tolerations=[{"key": "b"}])
    assert merged(POD, {}, {"spec": {"nodeSelector": {"a": "b", "c": None}}}) == {"spec": {"nodeSelector": {"a": "b"}}}


def test_directives_delete_and_replace():
    current = pod({"name": "a"}, {"name": "b"}, nodeSelector={"x": "y"}, securityContext={"runAsUser": 1})
    patch = pod(
        {"name": "a", "$patch": "delete"},
        {"name": "missing", "$patch": "delete"},
        nodeSelector={"$patch": "replace", "z": "1"},
        securityContext={"$patch": "delete"},
    )
    assert merged(POD, current, patch) == pod({"name": "b"}, nodeSelector={"z": "1"}, securityContext={})
    assert merged(POD, current, pod({"$patch": "replace"}, {"name": "c"}))["spec"]["containers"] == [{"name": "c"}]
    assert merged(POD, current, {"spec": {"$patch": "merge", "hostname": "h"}})["spec"]["hostname"] == "h"


def test_directives_about_lists_of_scalars():
    current = {"metadata": {"finalizers": ["a/a", "b/b"]}}
    assert merged(POD, current, {"metadata": {"finalizers": ["c/c", "a/a"]}}) == {
        "metadata": {"finalizers": ["a/a", "b/b", "c/c"]}
    }
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"], "$setElementOrder/finalizers": ["b/b"]}}
    assert merged(POD, current, patch) == {"metadata": {"finalizers": ["b/b"]}}
    assert merged(POD, {}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}}) == {"metadata": {}}


def test_retain_keys_clears_the_other_members_of_a_union():
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert merged(DEPLOYMENT, current, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ({"$patch": "explode"}, "explode"),
        ({"metadata": {"$unknown": 1}}, r"\$unknown"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}, "needs a list"),
        ({"metadata": {"$retainKeys": 3}}, "needs a list"),
    ],
)
def test_unknown_directives_are_refused(patch, problem):
    with pytest.raises(Invalid, match=problem):
        strategic_merge(POD, {}, patch)


def test_apply_keeps_what_others_wrote():
    original = {"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1}}
    modified = {"metadata": {"labels": {"a": "2"}}, "spec": {"replicas": 1, "paused": True}}
    current = {
        "metadata": {"labels": {"a": "1", "theirs": "x"}, "uid": "u"},
        "spec": {"replicas": 1, "revisionHistoryLimit": 10},
        "status": {"replicas": 1},
    }
    assert applied(DEPLOYMENT, original, modified, current) == {
        "metadata": {"labels": {"a": "2", "theirs": "x"}, "uid": "u"},
        "spec": {"replicas": 1, "revisionHistoryLimit": 10, "paused": True},
        "status": {"replicas": 1},
    }


def test_apply_removes_what_is_not_applied_any_more():
    original = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 3, "paused": True}}
    modified = {"metadata": {"labels": {"a": "1"}}, "spec": {"paused": True}}
    current = {"metadata": {"labels": {"a": "1", "b": "9"}}, "spec": {"replicas": 5, "paused": True}}
    assert applied(DEPLOYMENT, original, modified, current) == {
        "metadata": {"labels": {"a": "1"}},
        "spec": {"paused": True},
    }


def test_apply_merges_containers_and_their_parts():
    original = pod({"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}, {"name": "gone"})
    modified = pod({"name": "new"}, {"name": "a", "image": "y"})
    current = pod(
        {"name": "injected", "image": "sidecar"},
        {"name": "a", "image": "x", "imagePullPolicy": "Always", "env": [{"name": "K", "value": "1"}]},
        {"name": "gone"},
        {"name": "after", "image": "sidecar"},
    )
    assert applied(POD, original, modified, current) == pod(
        {"name": "injected", "image": "sidecar"},
        {"name": "new"},
        {"name": "a", "image": "y", "imagePullPolicy": "Always"},
        {"name": "after", "image": "sidecar"},
    )


def test_apply_tells_ports_apart_that_differ_in_protocol_only():
    both = {"spec": {"ports": [{"port": 53, "name": "tcp"}, {"port": 53, "protocol": "UDP", "name": "udp"}]}}
    current = {
        "spec": {
            "ports": [
                {"port": 53, "protocol": "UDP", "name": "udp", "targetPort": 53},
                {"port": 53, "protocol": "TCP", "name": "tcp", "targetPort": 53},
            ]
        }
    }
    assert applied(SERVICE, both, both, current)["spec"]["ports"] == [
        {"port": 53, "protocol": "TCP", "name": "tcp", "targetPort": 53},
        {"port": 53, "protocol": "UDP", "name": "udp", "targetPort": 53},
    ]


def test_lists_whose_elements_cannot_be_told_apart_are_replaced():
    twice = pod({"name": "a", "env": [{"name": "K", "value": "1"}, {"name": "K", "value": "2"}]})
    current = pod({"name": "a", "env": [{"name": "OTHER"}]})
    assert applied(POD, {}, twice, current) == twice
    assert applied(POD, {}, {"spec": {"containers": [1]}}, current)["spec"]["containers"] == [1]
    assert applied(POD, {}, {"spec": {"containers": [{}]}}, current)["spec"]["containers"] == [{}]


def test_ports_that_are_given_twice_are_replaced():
    twice = {"spec": {"ports": [{"port": 53, "name": "a"}, {"port": 53, "name": "b"}]}}
    assert applied(SERVICE, {}, twice, {"spec": {"ports": [{"port": 53, "nodePort": 1}]}}) == twice


def test_apply_treats_finalizers_as_a_set():
    original = {"metadata": {"finalizers": ["a/a", "b/b"]}}
    modified = {"metadata": {"finalizers": ["b/b", "c/c"]}}
    current = {"metadata": {"finalizers": ["x/x", "a/a", "b/b"]}}
    assert applied(POD, original, modified, current) == {"metadata": {"finalizers": ["x/x", "b/b", "c/c"]}}


def test_apply_switches_the_members_of_unions():
    rolling = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}}
    recreate = {"spec": {"strategy": {"type": "Recreate"}}}
    assert applied(DEPLOYMENT, {}, recreate, rolling) == recreate
    scratch = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    config = {"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}}
    assert applied(POD, {}, config, scratch) == config


def test_apply_leaves_defaulted_members_of_unions_alone():
    wanted = {"spec": {"strategy": {"type": "RollingUpdate"}}}
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}}
    assert applied(DEPLOYMENT, wanted, wanted, current) == current


def test_apply_replaces_what_changed_its_form():
    assert applied(POD, {"spec": 1}, {"spec": {"hostname": "a"}}, {"spec": []}) == {"spec": {"hostname": "a"}}
    assert applied(POD, {"spec": 1}, {"spec": {"a": [1]}}, {"spec": {"a": {}}}) == {"spec": {"a": [1]}}
    assert applied(POD, {"spec": {"containers": 1}}, pod({"name": "a"}), pod({"name": "b"})) == pod(
        {"name": "b"}, {"name": "a"}
    )


def test_a_json_merge_patch_follows_its_rfc():
    current = {"a": "b", "c": {"d": "e", "f": "g"}, "h": [1]}
    patch = {"a": "z", "c": {"f": None}, "h": [2], "i": {"j": None, "k": 1}, "missing": None}
    assert merge_patch(current, patch) == {"a": "z", "c": {"d": "e"}, "h": [2], "i": {"k": 1}}
    assert merge_patch({"a": [1]}, {"a": {"b": "c"}}) == {"a": {"b": "c"}}
    assert current == {"a": "b", "c": {"d": "e", "f": "g"}, "h": [1]}


def test_fields_of_a_newer_version_merge_as_objects():
    current = {"future": {"a": 1, "theirs": 2}}
    assert applied(POD, {}, {"future": {"a": 3}}, current) == {"future": {"a": 3, "theirs": 2}}
    assert merged(POD, current, {"future": {"a": None}}) == {"future": {"theirs": 2}}


def test_long_lists_are_taken_from_each_other_without_searching():
    names = [f"a/{index}" for index in range(100_000)]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": names[::-1]}}
    assert merged(POD, {"metadata": {"finalizers": [*names, "b/b"]}}, patch) == {"metadata": {"finalizers": ["b/b"]}}
    before, after = {"metadata": {"finalizers": names}}, {"metadata": {"finalizers": names[50_000:]}}
    assert three_way(scheme.lookup("pod"), before, after, before) == after
    assert merged(POD, {"metadata": {"finalizers": names}}, before) == before
    kept = merged(
        POD,
        {"metadata": {"labels": {"a": "b", "c": "d"}}},
        {"metadata": {"labels": {"$retainKeys": [*names, "c", {}]}}},
    )
    assert kept == {"metadata": {"labels": {"c": "d"}}}


def test_elements_that_are_no_text_are_told_apart_by_what_they_say():
    listed = [1, True, {"a": 1, "b": 2}, ["x"], None]
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": [{"b": 2, "a": 1}, True]}}
    assert merged(POD, {"metadata": {"finalizers": listed}}, gone) == {"metadata": {"finalizers": [1, ["x"], None]}}
