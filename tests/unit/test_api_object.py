import pytest

from api import errors
from api.core import Pod
from api.object import Object, canonical


def stored(tree, revision=7):
    return Object("pods", "default", "a", "u", revision, canonical(tree))


def test_canonical_json_has_sorted_keys_and_no_space():
    assert canonical({"b": [1, {"d": 1, "c": 2}], "a": "é"}) == '{"a":"é","b":[1,{"c":2,"d":1}]}'.encode()


def test_a_tree_carries_its_revision_and_may_be_changed():
    item = stored({"metadata": {"name": "a"}})
    tree = item.tree()
    assert tree == {"metadata": {"name": "a", "resourceVersion": "7"}}
    tree["metadata"]["name"] = "b"
    assert item.tree()["metadata"]["name"] == "a"
    assert stored({"metadata": {"name": "a"}}, revision=0).tree() == {"metadata": {"name": "a"}}


def test_a_view_ignores_what_it_does_not_know():
    view = stored({"metadata": {"name": "a"}, "future": 1}).view(Pod)
    assert view.metadata.name == "a"
    assert view.metadata.resource_version is None


def test_an_invalid_object_says_all_that_is_wrong_with_it():
    fields = [errors.FieldError("spec.a", "is bad"), errors.FieldError("", "is worse")]
    assert str(errors.Invalid("Pod a", fields)) == "Pod a: spec.a: is bad; is worse"
    assert str(errors.Invalid("Pod a")) == "Pod a"


@pytest.mark.parametrize("name", sorted(errors.ERRORS))
def test_errors_travel_by_their_names(name):
    assert errors.ERRORS[name]("message").reason == name
