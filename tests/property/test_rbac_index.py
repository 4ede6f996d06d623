"""Decisions over any roles and bindings are those of an evaluation that looks at every rule anew."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from controlplane.rbac.attributes import Attributes
from controlplane.rbac.index import Index
from controlplane.rbac.rules import allows, compiled, covers, missing

NAMES = st.sampled_from(["a", "b"])
NAMESPACES = st.sampled_from(["", "x", "y"])
VERBS, GROUPS = ["get", "list", "*"], ["", "apps", "*"]
RESOURCES, URLS = ["pods", "pods/log", "nodes", "*/log", "*"], ["/a", "/a/b", "/a/*", "*"]


def some(values, least=1):
    return st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True).map(tuple)


ON_RESOURCES = st.builds(
    PolicyRule,
    api_groups=some(GROUPS),
    resources=some(RESOURCES),
    verbs=some(VERBS),
    resource_names=some(["a", "b"], 0),
)
RULES = st.one_of(ON_RESOURCES, st.builds(PolicyRule, non_resource_urls=some(URLS), verbs=some(VERBS)))
ASKED = st.one_of(
    st.builds(
        Attributes,
        verb=st.sampled_from(VERBS),
        group=st.sampled_from(GROUPS),
        resource=st.sampled_from(["pods", "nodes"]),
        subresource=st.sampled_from(["", "log"]),
        namespace=NAMESPACES,
        name=st.sampled_from(["", "a", "c"]),
    ),
    st.builds(Attributes, verb=st.sampled_from(VERBS), path=st.sampled_from(["/a", "/a/b", "/a/b/c", "/b"])),
)
SUBJECTS = st.one_of(
    st.builds(Subject, kind=st.sampled_from(["User", "Group"]), name=NAMES),
    st.builds(Subject, kind=st.just("ServiceAccount"), name=NAMES, namespace=st.sampled_from([None, "x"])),
)
WHO = st.tuples(st.sampled_from(["a", "system:serviceaccount:x:a"]), some(["a", "b"], 0))
ROLES = st.dictionaries(st.tuples(NAMESPACES, NAMES), st.lists(RULES, max_size=3).map(tuple), max_size=4)
BINDINGS = st.dictionaries(
    st.tuples(NAMESPACES, NAMES),
    st.tuples(
        st.builds(RoleRef, kind=st.sampled_from(["Role", "ClusterRole"]), name=NAMES), st.lists(SUBJECTS, max_size=3)
    ),
    max_size=5,
)


def fill(index, roles, bindings):
    for place, rules in roles.items():
        index.put_role(place, Role(rules=rules) if place[0] else ClusterRole(rules=rules))
    for place, (reference, subjects) in bindings.items():
        make = RoleBinding if place[0] else ClusterRoleBinding
        index.put_binding(place, make(role_ref=reference, subjects=tuple(subjects)))
    return index


def is_subject(subject, namespace, user, groups):
    match subject.kind:
        case "User":
            return subject.name == user
        case "Group":
            return subject.name in groups
    return user == f"system:serviceaccount:{subject.namespace or namespace}:{subject.name}"


def brute_force(roles, bindings, who, asked):
    for (namespace, _), (reference, subjects) in bindings.items():
        if namespace not in {"", asked.namespace} or not any(is_subject(each, namespace, *who) for each in subjects):
            continue
        for rule in roles.get((namespace if reference.kind == "Role" else "", reference.name), ()):
            if allows(compiled(rule), asked):
                return True
    return False


@given(roles=ROLES, bindings=BINDINGS, who=WHO, questions=st.lists(ASKED, min_size=1, max_size=6))
def test_a_decision_is_that_of_looking_at_everything(roles, bindings, who, questions):
    index = fill(Index(), roles, bindings)
    for asked in [*questions, *questions]:  # the second time it is remembered
        expected = brute_force(roles, bindings, who, asked)
        assert index.grants(*who, asked.namespace).allow(asked) is expected
        found = index.grants(*who, asked.namespace).find(asked)
        assert (found is not None) is expected
        assert found is None or allows(found.rule, asked)


@given(before=ROLES, after=ROLES, bound=BINDINGS, rebound=BINDINGS, who=WHO, asked=ASKED)
def test_an_index_that_changed_is_as_one_made_anew(before, after, bound, rebound, who, asked):
    index = fill(Index(), before, bound)
    index.grants(*who, asked.namespace).allow(asked)
    for place in before.keys() - after.keys():
        index.remove_role(place)
    for place in bound.keys() - rebound.keys():
        index.remove_binding(place)
    fill(index, after, rebound)
    anew = fill(Index(), after, rebound)
    assert index.grants(*who, asked.namespace).allow(asked) is anew.grants(*who, asked.namespace).allow(asked)
    assert sorted(index._bound) == sorted(anew._bound), "nothing is left behind"


@given(rules=st.lists(RULES, max_size=4), more=RULES, asked=ASKED)
def test_one_more_rule_never_takes_a_permission_away(rules, more, asked):
    roles, reference = {("", "a"): tuple(rules)}, RoleRef(kind="ClusterRole", name="a")
    bindings = {("", "b"): (reference, [Subject(kind="User", name="a")])}
    before = fill(Index(), roles, bindings).grants("a", (), asked.namespace).allow(asked)
    roles["", "a"] = (*rules, more)
    assert fill(Index(), roles, bindings).grants("a", (), asked.namespace).allow(asked) or not before


@given(held=st.lists(RULES, max_size=4), given_rules=st.lists(RULES, max_size=3), asked=ASKED)
def test_who_lacks_nothing_of_a_role_may_do_all_of_it(held, given_rules, asked):
    own = [compiled(rule) for rule in held]
    if not missing(own, given_rules) and any(allows(compiled(rule), asked) for rule in given_rules):
        assert any(allows(rule, asked) for rule in own)


@given(held=st.lists(RULES, max_size=4), rule=RULES)
def test_what_is_missing_is_part_of_what_was_given_and_not_held(held, rule):
    own = [compiled(each) for each in held]
    for part in missing(own, [rule]):
        assert covers(compiled(rule), compiled(part))
        assert not any(covers(each, compiled(part)) for each in own)
    assert not missing([*own, compiled(rule)], [rule])


@given(rule=RULES)
def test_taken_apart_a_rule_is_held_together(rule):
    parts = [rule]
    for name in ("verbs", "api_groups", "resources", "resource_names", "non_resource_urls"):
        parts = [
            msgspec.structs.replace(part, **{name: (value,)}) if value is not None else part
            for part in parts
            for value in (getattr(part, name) or (None,))
        ]
    assert not missing([compiled(part) for part in parts], [rule])
