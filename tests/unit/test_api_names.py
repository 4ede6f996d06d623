import re

import pytest

from api import names

BAD_FOR = {
    names.dns_label_fault: ("", "A", "-a", "a-", "a.b", "a_b", "a" * 64, "ä"),
    names.dns_1035_label_fault: ("", "1a", "a.b", "a-", "a" * 64),
    names.dns_subdomain_fault: ("", "A", "a..b", ".a", "a.", "a/b", "a" * 254),
    names.qualified_name_fault: ("", "/a", "A/", "B_/a", "a/b/c", "-a", "a" * 64, "x/" + "a" * 64, "ä"),
    names.label_value_fault: ("-", "a ", "a/b", "a" * 64),
    names.config_key_fault: ("", ".", "..a", "a b", "a/b", "a" * 254),
    names.env_name_fault: ("a=b", "ä", "a\n", "a" * 4097),
    names.port_name_fault: ("", "80", "a--b", "-a", "HTTP", "a" * 16),
}
GOOD_FOR = {
    names.dns_label_fault: ("a", "0", "my-name", "123-abc", "a" * 63),
    names.dns_1035_label_fault: ("a", "abc-123"),
    names.dns_subdomain_fault: ("a", "a.b-c.0", "a" * 253),
    names.qualified_name_fault: ("app", "MyName", "example.com/a_b.c", "0"),
    names.label_value_fault: ("", "a", "A.b_c-0", "a" * 63),
    names.config_key_fault: ("a", ".hidden", "a.b_c-D"),
    names.env_name_fault: ("A", "my.name-1", "with space"),
    names.port_name_fault: ("http", "a", "8080-tcp", "a" * 15),
}


@pytest.mark.parametrize(("fault", "text"), [(fault, text) for fault, texts in BAD_FOR.items() for text in texts])
def test_bad_text_has_a_reason(fault, text):
    assert fault(text)


@pytest.mark.parametrize(("fault", "text"), [(fault, text) for fault, texts in GOOD_FOR.items() for text in texts])
def test_good_text_has_none(fault, text):
    assert fault(text) is None


def test_a_trailing_line_feed_is_not_overlooked():
    assert names.dns_label_fault("a\n")
    assert names.label_value_fault("a\n")


def test_derived_names_repeat_and_differ():
    assert names.derived_name("web", "uid", 1) == names.derived_name("web", "uid", 1)
    different = {names.derived_name("web", "uid", number) for number in range(500)}
    assert len(different) == 500
    assert names.derived_name("web", "a", "b") != names.derived_name("web", "ab")


def test_derived_names_fit_a_label_and_never_spell_words():
    name = names.derived_name("x" * 57 + "-." + "y" * 100, 1)
    assert len(name) <= 63
    assert re.fullmatch(r"x{57}-[bcdfghjklmnpqrstvwxz2456789]{5}", name)
    assert name != names.derived_name("x" * 57 + "-." + "y" * 101, 1)


def test_a_derived_name_can_have_a_longer_hash():
    assert re.fullmatch(r"web-[bcdfghjklmnpqrstvwxz2456789]{10}", names.derived_name("web", length=10))


def test_a_template_hash_does_not_depend_on_order_or_on_its_own_label():
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    turned = {"spec": {"containers": [{"image": "b", "name": "a"}]}, "metadata": {"labels": {"app": "web"}}}
    labelled = {**template, "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}}}
    assert names.template_hash(template) == names.template_hash(turned) == names.template_hash(labelled)
    assert labelled["metadata"]["labels"]["pod-template-hash"] == "x"
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{10}", names.template_hash(template))


def test_a_template_hash_changes_with_the_template_and_with_the_collision_count():
    hashes = {
        names.template_hash({"spec": {"containers": []}}),
        names.template_hash({"spec": {"containers": []}}, 1),
        names.template_hash({"spec": {"containers": [{}]}}),
    }
    assert len(hashes) == 3
