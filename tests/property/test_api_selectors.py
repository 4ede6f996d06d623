from hypothesis import given
from hypothesis import strategies as st

from api.errors import Invalid
from api.meta import LabelSelector, LabelSelectorRequirement
from api.names import derived_name, dns_label_fault, template_hash
from api.selectors import label_selector_of, parse_field_selector, parse_label_selector

KEYS = st.sampled_from(["app", "tier", "example.com/x"])
VALUES = st.sampled_from(["", "a", "b", "c"])
LABELS = st.dictionaries(KEYS, VALUES)
SETS = st.lists(VALUES, min_size=1, max_size=3)
REQUIREMENTS = st.one_of(
    st.tuples(KEYS, st.sampled_from(["In", "NotIn"]), SETS),
    st.tuples(KEYS, st.sampled_from(["Exists", "DoesNotExist"]), st.just([])),
)


def written(key, operator, values):
    return {
        "In": f"{key} in ({','.join(values)})",
        "NotIn": f"{key} notin ({','.join(values)})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }[operator]


@given(st.lists(REQUIREMENTS, max_size=3), LABELS)
def test_selectors_mean_the_same_as_text_and_as_objects(requirements, labels):
    text = ",".join(written(*requirement) for requirement in requirements)
    expressions = tuple(LabelSelectorRequirement(key=k, operator=o, values=tuple(v)) for k, o, v in requirements)
    from_object = label_selector_of(LabelSelector(match_expressions=expressions))
    assert parse_label_selector(text).matches(labels) == from_object.matches(labels)


@given(KEYS, SETS, LABELS)
def test_in_and_notin_exclude_each_other(key, values, labels):
    inside = parse_label_selector(written(key, "In", values)).matches(labels)
    assert inside != parse_label_selector(written(key, "NotIn", values)).matches(labels)


@given(st.text(st.sampled_from("ab=!,() \\nit-/.>"), max_size=20))
def test_any_text_is_parsed_or_refused_at_a_column(text):
    for parse in (parse_label_selector, parse_field_selector):
        try:
            refusal = parse(text) and ""
        except Invalid as error:
            refusal = str(error)
        assert refusal == "" or "column" in refusal


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,80}[a-z0-9])?", fullmatch=True), st.integers())
def test_derived_names_are_valid_names(base, part):
    assert dns_label_fault(derived_name(base, part)) is None


@given(st.dictionaries(KEYS, VALUES), st.integers(0, 3))
def test_template_hashes_are_valid_labels(tree, collisions):
    assert dns_label_fault(template_hash({"spec": tree}, collisions)) is None
