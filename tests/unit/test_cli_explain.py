"""`tim explain`: what kinds are made of, and what of it is not supported yet."""

from __future__ import annotations

import pytest

from api import field_texts, field_texts_pod
from api.field_docs import TABLES, texts, type_text
from api.field_texts import SAME
from api.meta import resource_types
from api.scheme import EVENTS_V1, KINDS, REVIEWS
from api.shape import fields
from api.volume_sources import NFSVolumeSource
from tests.cli_rig import error_line, tim


def said(*words):
    result = tim(None, "explain", *words)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def line(lines, name):
    return next(each for each in lines if each.split()[:1] == [name])


def test_a_kind_is_told_with_its_fields_and_their_types():
    lines = said("deploy")
    assert lines[:2] == ["KIND:     Deployment", "VERSION:  apps/v1"]
    assert "<DeploymentSpec>" in line(lines, "spec")
    assert "<string>" in line(lines, "apiVersion")


def test_a_field_is_told_with_its_own_type_and_what_is_in_it():
    lines = said("pods.spec.containers")
    assert lines[2] == "FIELD:    spec.containers <[]Container>"
    assert "<[]string>" in line(lines, "command")
    assert said("configmap.data")[2] == "FIELD:    data <map[string]string>"
    assert len(said("pod.spec.os.name")) == 3


def test_fields_are_told_with_their_meaning():
    lines = said("pod.spec")
    after = lines[lines.index(line(lines, "restartPolicy")) + 1]
    assert after.strip() == "What happens to containers that end: Always, OnFailure or Never."
    assert said("pod.spec.restartPolicy")[3:] == ["", "DESCRIPTION:", f"  {after.strip()}"]
    assert "-required-" in line(said("pod.spec.containers.ports"), "containerPort")
    assert "-required-" in line(lines, "containers")
    assert "-required-" not in line(said("pod"), "apiVersion")


def test_a_field_without_a_line_of_its_own_is_told_by_its_type():
    lines = said("pod.spec.volumes")
    assert lines[lines.index(line(lines, "nfs")) + 1].strip() == type_text(NFSVolumeSource).splitlines()[0]


def test_every_meaning_belongs_to_a_field():
    for kind in (*KINDS, EVENTS_V1, *REVIEWS):
        assert kind.type.__name__ == kind.kind  # its module is loaded now, and so all types are
    structs = {}  # of two types of one name, as the two forms of Event, the fields of both
    for each in resource_types():
        structs.setdefault(each.__name__, set()).update(fields(each))
    assert {(name, field) for name in TABLES for field in texts(name) if field not in structs[name]} == set()
    assert {line for text in TABLES.values() for line in text.splitlines() if line and len(line.split()) < 2} == set()
    assert not field_texts.TEXTS.keys() & field_texts_pod.TEXTS.keys()
    assert all(name in structs and other in TABLES for name, other in SAME.items())


def test_descriptions_name_fields_as_manifests_do():
    text = "\n".join(said("pod.spec.tolerations"))
    assert "`tolerationSeconds` bounds" in text
    assert "toleration_seconds" not in text
    assert "_ip`" not in "\n".join(said("pod.status"))


def test_what_the_api_server_would_refuse_is_marked():
    assert line(said("pod.spec"), "affinity").endswith("not supported yet")
    assert line(said("svc.spec"), "type").endswith('only "ClusterIP"')
    assert "not supported" not in line(said("pod.spec"), "containers")
    assert said("pod.spec.affinity")[2].endswith("not supported yet")
    assert said("pod.spec.ephemeralContainers.ports")[2].endswith("cannot be set for an Ephemeral Container")
    assert said("pod.spec.initContainers.restartPolicy")[2].endswith('only "Always", in init containers')


def test_fields_of_fields_are_told_when_asked_for():
    assert not [each for each in said("pod") if "containerPort" in each]
    assert line(said("pod", "--recursive"), "containerPort").startswith("        ")


@pytest.mark.parametrize("kind", [kind.singular for kind in KINDS])
def test_every_kind_can_be_told_whole(kind):
    lines = said(kind, "--recursive")
    assert line(lines, "metadata")
    assert lines.index("FIELDS:") > lines.index("DESCRIPTION:") + 1


@pytest.mark.parametrize(
    ("word", "hint", "code"),
    [
        ("pod.spec.container", "there is no field 'container': did you mean 'containers'?", 2),
        ("pod.spec.nodeName.x", "there is no field 'x'", 2),
        ("podd", "did you mean 'pod", 1),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest(word, hint, code):
    result = tim(None, "explain", word)
    assert hint in error_line(result)
    assert result.exit_code == code
