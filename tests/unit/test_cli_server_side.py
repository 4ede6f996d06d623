"""`tim apply --server-side`, and that who owns which fields is shown only on request."""

from __future__ import annotations

import json

import pytest
import yaml

from api import errors
from tests.cli_rig import CliApi, error_line, tim

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: %s}\n"
OWNED = [{"manager": "a", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]


class OwningApi(CliApi):
    """Notes as whose, and whether by force, something was applied."""

    applied: tuple[str, str, bool] = ("", "", False)

    async def patch(self, resource, namespace, name, patch_type, patch, **options):
        self.applied = (patch_type, options["field_manager"], options["force"])
        return await super().patch(resource, namespace, name, patch_type, patch, **options)


@pytest.fixture
def api():
    return OwningApi(namespaces=["default"])


def apply(api, *options, value="v"):
    return tim(api, "apply", "--server-side", "-f", "-", *options, stdin=CONFIG_MAP % ("a", value))


def test_it_applies_on_the_server_as_tim_unless_told_as_whom(api):
    assert apply(api).stdout == "configmap/a serverside-applied\n"
    assert api.applied == ("apply", "tim", False)
    apply(api, "--field-manager", "robot", "--force-conflicts", value="w")
    assert api.applied == ("apply", "robot", True)
    assert tim(api, "get", "cm", "a", "-o", "jsonpath={.data.k}").stdout == "w"


def test_a_dry_run_changes_nothing(api):
    assert apply(api, "--dry-run").stdout == "configmap/a serverside-applied (dry run)\n"
    assert tim(api, "get", "cm", "a").exit_code == 1


def test_a_conflict_says_how_to_take_the_fields_over(api):
    field = errors.FieldError(".data.k", 'conflict with "b"')
    api.fault = lambda call: errors.Conflict("Apply failed with 1 conflict", [field]) if call.verb == "patch" else None
    assert "1 conflict; --force-conflicts takes these fields over" in error_line(apply(api))


@pytest.mark.parametrize(
    "options",
    [("--atomic", "--server-side"), ("--force-conflicts",), ("--field-manager", "x")],
)
def test_options_that_do_not_go_together_are_refused(api, options):
    result = tim(api, "apply", "-f", "-", *options, stdin=CONFIG_MAP % ("a", "v"))
    assert result.exit_code == 2
    assert "--server-side" in result.stderr


def test_who_owns_which_fields_is_shown_on_request(api):
    tree = yaml.safe_load(CONFIG_MAP % ("a", "v"))
    tree["metadata"] |= {"namespace": "default", "managedFields": OWNED}
    tim(api, "apply", "-f", "-", stdin=yaml.safe_dump(tree))
    assert "managedFields" not in tim(api, "get", "cm", "a", "-o", "yaml").stdout
    assert "managedFields" not in tim(api, "get", "cm", "-o", "json").stdout
    shown = json.loads(tim(api, "get", "cm", "a", "-o", "json", "--show-managed-fields").stdout)
    assert shown["metadata"]["managedFields"] == OWNED
    assert tim(api, "get", "cm", "a", "-o", "jsonpath={.metadata.managedFields[0].manager}").stdout == "a"


def test_a_retired_version_is_taken_as_the_one_of_today_with_a_warning(api):
    old = "{apiVersion: rbac.authorization.k8s.io/v1beta1, kind: Role, metadata: {name: r}}"
    result = tim(api, "apply", "--server-side", "-f", "-", stdin=old)
    assert result.stdout == "role.rbac.authorization.k8s.io/r serverside-applied\n"
    assert result.stderr == (
        "Warning: rbac.authorization.k8s.io/v1beta1 Role is retired: "
        "it was taken as rbac.authorization.k8s.io/v1 Role, write that instead\n"
    )
