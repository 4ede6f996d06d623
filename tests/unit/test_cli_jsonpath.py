"""JSONPath templates, checked against the examples and rules of kubectl's documentation.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.jsonpath import BadPath, Template, path

# The input of the documentation's table of functions.
LIST = {
    "kind": "List",
    "items": [
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
            "status": {
                "capacity": {"cpu": "4"},
                "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}],
            },
        },
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.2"},
            "status": {
                "capacity": {"cpu": "8"},
                "addresses": [
                    {"type": "LegacyHostIP", "address": "127.0.0.2"},
                    {"type": "another", "address": "127.0.0.3"},
                ],
            },
        },
    ],
    "users": [
        {"name": "myself", "user": {}},
        {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
    ],
}


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("kind is {.kind}", "kind is List"),
        ("{['kind']}", "List"),
        ("{.users[0].name}", "myself"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.items[*]['metadata.name', 'status.capacity']}", '127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}'),
        ("{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "127.0.0.1"),
        ('{.items[0].metadata.labels["kubernetes.io/hostname"]}', "127.0.0.1"),
        ("{.users[0]['name', 'user']}", "myself {}"),
        ("{.items[*].status.capacity}", '{"cpu":"4"} {"cpu":"8"}'),
        ('{.users[?(@.name=="e2e")].user.password}', "secret"),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
            '[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] ',
        ),
        ("{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t"),
        ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
        ('{range .items[*]}{.metadata.name}{"\\n"}{end}', "127.0.0.1\n127.0.0.2\n"),
        ("{$.kind}{@.kind}{ .kind }", "ListListList"),
        ("{.items[-1:].metadata.name}|{.items[0:1].metadata.name}", "127.0.0.2|127.0.0.1"),
        ("{.items[-1].metadata.name}", "127.0.0.2"),
        ("{.users[0:4:2].name}", "myself"),
        ("{.items[0,1].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.items[?(@.status.addresses)].kind}", "None None"),
        ('{.items[*].status.addresses[?(@.type=="another")].address}', "127.0.0.3"),
        ("{range .items[*]}{range .status.addresses[*]}{.address},{end};{end}", "127.0.0.1,;127.0.0.2,127.0.0.3,;"),
        ("{.nothing.at.all}{.kind.x}", ""),
        ("no braces: .kind", "no braces: .kind"),
        ("{.users[?(@.user.username!='x')].name}", "e2e"),
        ("{.items[*].status.capacity.*}", "4 8"),
        ("", ""),
    ],
)
def test_templates_print_what_kubectl_prints(template, printed):
    assert Template(template).render(LIST) == printed


@pytest.mark.parametrize(
    ("filter_", "chosen"),
    [
        ("@.n > 1", "2 3"),
        ("@.n>=2", "2 3"),
        ("@.n < 2", "1"),
        ("@.n<=1", "1"),
        ("@.n == 2", "2"),
        ("@.n == 2.0", "2"),
        ("@.on == true", "1"),
        ("@.on", "1 2"),
        ("@.n == $.wanted", "3"),
        ('@.n < "x"', ""),
    ],
)
def test_filters_compare_values_of_one_type(filter_, chosen):
    tree = {"wanted": 3, "list": [{"n": 1, "on": True}, {"n": 2, "on": False}, {"n": 3}]}
    assert Template(f"{{.list[?({filter_})].n}}").render(tree) == chosen


def test_values_that_are_no_text_are_printed_as_json():
    tree = {"a": True, "b": None, "c": 1.5, "d": [1, "ü"]}
    assert Template("{.a} {.b} {.c} {.d}").render(tree) == 'true  1.5 [1,"ü"]'


@pytest.mark.parametrize(
    "text",
    [
        *("{.a", "{end}", "{range .a}", "{.a]}", "{.a[}", "{.a[0}", "{.a[?(@.b==]}", "{.a[?(@.b==1]}", "{a b}"),
        *("{}", "{.a..}", "{.a[0:1:0]}", "{.a[?(@.b=~'x')]}", "{'a}", "{range}{end}", "{.a[]}"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text):
    with pytest.raises(BadPath, match=r"^column \d+ of "):
        Template(text)


@given(st.text(alphabet="{}[].*?@$()'\"=<>,:ab01\\ rangeend-", max_size=30))
def test_every_text_is_read_or_refused(text):
    try:
        template = Template(text)
    except BadPath:
        return
    assert isinstance(template.render(LIST), str)


@pytest.mark.parametrize(
    "text", [".metadata.name", "metadata.name", "{.metadata.name}", "$.metadata.name", " .metadata.name "]
)
def test_a_single_path_may_stand_without_braces_and_dot(text):
    item = LIST["items"][0]
    assert path(text).values(item, item) == ["127.0.0.1"]


def test_a_single_path_ends_where_it_ends():
    with pytest.raises(BadPath, match="expected the end"):
        path(".a b")
