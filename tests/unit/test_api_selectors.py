import pytest

from api.core import Pod
from api.errors import Invalid
from api.meta import LabelSelector, LabelSelectorRequirement
from api.selectors import (
    NOTHING,
    FieldRequirement,
    check_fields,
    field_value,
    label_selector_of,
    parse_field_selector,
    parse_label_selector,
    requirement_faults,
    supported_fields,
)

LABELS = {"app": "web", "tier": "front", "empty": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "app",
        "!missing",
        "app=web",
        "app==web",
        "app = web",
        "app!=db",
        "missing!=web",
        "app in (web,db)",
        "app in ( web , db )",
        "app notin (db)",
        "missing notin (db)",
        "empty=",
        "empty in (,a)",
        "app=web,tier=front",
        "app=web, !missing ,tier in (front)",
    ],
)
def test_labels_match(text):
    assert parse_label_selector(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "!app",
        "app=db",
        "app!=web",
        "app in (db)",
        "app notin (web)",
        "app=web,tier=back",
        "missing=",
        "missing in (a)",
    ],
)
def test_labels_do_not_match(text):
    assert not parse_label_selector(text).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a in b", 'column 6: expected "(", found "b"'),
        ("a=b c", 'column 5: expected a comma, found "c"'),
        ("=b", 'column 1: expected a label key, found "="'),
        ("a,,b", 'column 3: expected a label key, found ","'),
        ("a=b,", "column 5: expected a label key, found the end"),
        ("a>3", 'column 2: expected =, ==, !=, in, notin or a comma, found ">"'),
        ("a in (b", 'column 8: expected "," or ")", found the end'),
        ("a notin", 'column 8: expected "(", found the end'),
        ("_/x=1", "column 1: label key: prefix part"),
        ("a=-", "column 3: label value:"),
        ("a=(", 'column 3: expected a comma, found "("'),
        ("!", "column 2: expected a label key, found the end"),
    ],
)
def test_a_selector_that_cannot_be_read_is_refused_at_the_spot(text, problem):
    with pytest.raises(Invalid) as caught:
        parse_label_selector(text)
    assert f'label selector "{text}": {problem}' in str(caught.value)


def test_an_absent_selector_selects_nothing_and_an_empty_one_everything():
    assert label_selector_of(None) is NOTHING
    assert not NOTHING.matches({})
    assert not NOTHING.empty
    everything = label_selector_of(LabelSelector())
    assert everything.matches(LABELS)
    assert everything.empty
    assert parse_label_selector("").empty


def test_all_parts_of_an_object_selector_count():
    selector = label_selector_of(
        LabelSelector(
            match_labels={"app": "web"},
            match_expressions=(
                LabelSelectorRequirement(key="tier", operator="In", values=("front", "back")),
                LabelSelectorRequirement(key="missing", operator="DoesNotExist"),
            ),
        )
    )
    assert selector.matches(LABELS)
    assert not selector.empty
    assert not selector.matches(LABELS | {"missing": "no"})
    assert not selector.matches(LABELS | {"app": "db"})


@pytest.mark.parametrize(
    ("key", "operator", "values", "fault"),
    [
        ("-", "Exists", (), 'p.key: Invalid value: "-"'),
        ("a", "Equals", ("b",), 'p.operator: Invalid value: "Equals": not a valid selector operator'),
        ("a", "In", (), "p.values: Required value"),
        ("a", "Exists", ("b",), "p.values: Forbidden"),
        ("a", "NotIn", ("b c",), 'p.values[0]: Invalid value: "b c"'),
    ],
)
def test_bad_requirements_are_named(key, operator, values, fault):
    faults = list(requirement_faults(LabelSelectorRequirement(key=key, operator=operator, values=values), "p"))
    assert [fault in str(found) for found in faults] == [True]


def test_field_selectors_compare_text():
    selector = parse_field_selector("spec.nodeName=n1, status.phase!=Failed")
    fields = {"spec.nodeName": "n1", "status.phase": "Running"}
    assert selector.matches(fields.get)
    assert not selector.matches((fields | {"status.phase": "Failed"}).get)
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None
    assert parse_field_selector("").empty
    assert not selector.empty
    assert parse_field_selector("a==b").requirements == parse_field_selector("a=b").requirements


def test_field_values_may_be_escaped():
    assert parse_field_selector(r"a=x\,y\=z\\").requirements == (FieldRequirement("a", "x,y=z\\"),)


@pytest.mark.parametrize("text", ["a", "a=b,c", "=b", "a=b=c", "a>b", ","])
def test_bad_field_selectors_are_refused(text):
    with pytest.raises(Invalid, match=r"field selector .*column"):
        parse_field_selector(text)


def test_fields_are_read_as_selectors_compare_them():
    tree = {"metadata": {"name": "a"}, "spec": {"unschedulable": True}, "source": {"component": "agent"}}
    assert field_value(tree, "metadata.name") == "a"
    assert field_value(tree, "spec.unschedulable") == "true"
    assert field_value({}, "spec.unschedulable") == "false"
    assert field_value({"status": {"replicas": 3}}, "status.replicas") == "3"
    assert field_value(tree, "source") == "agent"
    assert field_value(tree, "metadata.name.deeper") == ""
    assert field_value(tree, "status.phase") == ""


def test_fields_that_cannot_be_selected_by_are_refused_with_those_that_can():
    check_fields("pods", parse_field_selector("spec.nodeName=a,metadata.name=b"))
    with pytest.raises(Invalid, match=r"spec\.image.*not supported for pods; use one of metadata.name"):
        check_fields("pods", parse_field_selector("spec.image=a"))
    assert supported_fields("leases.coordination.k8s.io") == {"metadata.name", "metadata.namespace"}


def test_field_selectors_work_on_trees():
    tree = {"spec": {"nodeName": "n1"}}
    selector = parse_field_selector("spec.nodeName=n1")
    assert selector.matches(lambda path: field_value(tree, path))
    assert Pod().spec.node_name is None
