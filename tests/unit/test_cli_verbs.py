"""`tim run`, `expose`, `set`, `replace` and `create service|secret`: what reaches the cluster, and what is said."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
import yaml

from api import errors
from tests.cli_rig import CliApi, deployment, error_line, pod, tim


@pytest.fixture
def api():
    api = CliApi(namespaces=["default", "shop"])
    api.put(deployment("web"))
    return api


def shown(*words):
    end = words.index("--") if "--" in words else len(words)
    result = tim(None, *words[:end], "--dry-run=client", "-o", "yaml", *words[end:])
    assert result.exit_code == 0, result.output
    return yaml.safe_load(result.stdout.removeprefix("---\n"))


def stored(api, resource, name):
    return api.tree(resource, "default", name)


def test_run_makes_a_pod_as_kubectl_does():
    words = ("run", "web", "--image", "nginx", "--port", "80", "--env", "A=1", "--env", "B=x=y", "--", "-c", "true")
    assert shown(*words) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"run": "web"}},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "nginx",
                    "args": ["-c", "true"],
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}],
                    "ports": [{"containerPort": 80}],
                }
            ],
            "restartPolicy": "Always",
        },
    }
    tree = shown("run", "web", "--image", "i", "--restart=Never", "-l", "a=b", "--command", "--", "sleep", "1")
    assert tree["metadata"]["labels"] == {"a": "b"}
    assert tree["spec"]["containers"][0]["command"] == ["sleep", "1"]
    assert tree["spec"]["restartPolicy"] == "Never"


def test_run_tells_what_it_made_and_exposes_it(api):
    result = tim(api, "run", "front", "--image", "nginx", "--port", "80", "--expose")
    assert result.stdout == "pod/front created\nservice/front created\n"
    assert stored(api, "services", "front")["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"run": "front"},
    }


def test_expose_takes_selector_and_ports_from_the_object(api):
    tree = deployment("shop")
    tree["metadata"]["labels"] = {"team": "a"}
    tree["spec"]["template"]["spec"]["containers"][0]["ports"] = [
        {"containerPort": 8080},
        {"containerPort": 53, "protocol": "UDP"},
    ]
    api.put(tree)
    assert tim(api, "expose", "deploy/shop").stdout == "service/shop exposed\n"
    service = stored(api, "services", "shop")
    assert service["metadata"]["labels"] == {"team": "a"}
    assert service["spec"] == {
        "selector": {"app": "shop"},
        "ports": [
            {"name": "port-1", "port": 8080, "protocol": "TCP", "targetPort": 8080},
            {"name": "port-2", "port": 53, "protocol": "UDP", "targetPort": 53},
        ],
    }


def test_expose_takes_what_options_say(api):
    words = ("--name", "front", "--port", "80", "--target-port", "http", "--cluster-ip", "None", "-l", "x=y")
    assert tim(api, "expose", "deployment", "web", *words).stdout == "service/front exposed\n"
    service = stored(api, "services", "front")
    assert service["metadata"]["labels"] == {"x": "y"}
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": "http"}]
    assert service["spec"]["clusterIP"] == "None"


def test_expose_says_what_is_missing(api):
    assert "names no ports: say --port" in error_line(tim(api, "expose", "deploy/web"))
    api.put(pod("bare"))
    assert "say --selector" in error_line(tim(api, "expose", "pod/bare", "--port", "80"))
    assert "have no pods" in error_line(tim(api, "expose", "node/n1", "--port", "80"))


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (
            ["clusterip", "a", "--tcp", "80:http", "--tcp", "443"],
            {
                "type": "ClusterIP",
                "ports": [
                    {"name": "80-http", "port": 80, "targetPort": "http", "protocol": "TCP"},
                    {"name": "443", "port": 443, "targetPort": 443, "protocol": "TCP"},
                ],
            },
        ),
        (["clusterip", "a", "--clusterip=None"], {"type": "ClusterIP", "clusterIP": "None"}),
        (
            ["nodeport", "a", "--tcp=80", "--node-port=30000"],
            {
                "type": "NodePort",
                "ports": [{"name": "80", "port": 80, "targetPort": 80, "protocol": "TCP", "nodePort": 30000}],
            },
        ),
        (
            ["loadbalancer", "a", "--tcp=80"],
            {"type": "LoadBalancer", "ports": [{"name": "80", "port": 80, "targetPort": 80, "protocol": "TCP"}]},
        ),
        (["externalname", "a", "--external-name", "x.org"], {"type": "ExternalName", "externalName": "x.org"}),
    ],
)
def test_services_are_made_as_kubectl_makes_them(words, spec):
    tree = shown("create", "service", *words)
    assert tree["metadata"] == {"name": "a", "labels": {"app": "a"}}
    assert tree["spec"] == {"selector": {"app": "a"}, **spec}


def test_a_tls_secret_holds_a_certificate_and_its_key(tmp_path):
    for name in ("a", "b"):
        key, cert = tmp_path / f"{name}.key", tmp_path / f"{name}.crt"
        command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name}"
        subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    tree = shown("create", "secret", "tls", "s", "--cert", str(tmp_path / "a.crt"), "--key", str(tmp_path / "a.key"))
    assert tree["type"] == "kubernetes.io/tls"
    assert base64.b64decode(tree["data"]["tls.key"]) == (tmp_path / "a.key").read_bytes()
    wrong = tim(None, "create", "secret", "tls", "s", f"--cert={tmp_path}/a.crt", f"--key={tmp_path}/b.key")
    assert "are not a certificate and its key" in error_line(wrong)


def test_a_registry_secret_is_what_docker_keeps():
    words = ("--docker-server=r.example.org", "--docker-username=me", "--docker-password=word")
    tree = shown("create", "secret", "docker-registry", "r", *words)
    assert tree["type"] == "kubernetes.io/dockerconfigjson"
    kept = json.loads(base64.b64decode(tree["data"][".dockerconfigjson"]))
    auth = base64.b64encode(b"me:word").decode()
    assert kept == {"auths": {"r.example.org": {"username": "me", "password": "word", "auth": auth}}}


def test_kinds_that_do_not_exist_are_refused_by_name():
    for kind in ("job", "cronjob", "ingress", "poddisruptionbudget"):
        assert f"no objects of the kind '{kind}'" in error_line(tim(None, "create", kind, "a"))


def container(api, name="web"):
    return stored(api, "deployments.apps", name)["spec"]["template"]["spec"]["containers"][0]


def test_set_image_changes_the_named_container_or_all(api):
    assert tim(api, "set", "image", "deploy/web", "c=nginx:2").stdout == "deployment.apps/web image updated\n"
    assert container(api)["image"] == "nginx:2"
    assert tim(api, "set", "image", "deployment", "web", "*=nginx:3").exit_code == 0
    assert container(api)["image"] == "nginx:3"
    assert tim(api, "set", "image", "deploy", "--all", "c=nginx:3").stdout == "deployment.apps/web image unchanged\n"
    assert "there is no container 'x'; there are c" in error_line(tim(api, "set", "image", "deploy/web", "x=i"))
    assert "services have no containers" in error_line(tim(api, "set", "image", "svc/web", "x=i"))


def test_set_env_sets_removes_and_lists(api):
    assert tim(api, "set", "env", "deploy/web", "A=1", "B=2").stdout == "deployment.apps/web env updated\n"
    assert tim(api, "set", "env", "deploy/web", "A=3", "B-").exit_code == 0
    assert container(api)["env"] == [{"name": "A", "value": "3"}]
    listed = tim(api, "set", "env", "deploy/web", "--list").stdout
    assert listed == "# deployment.apps/web, container c\nA=3\n"
    refused = tim(api, "set", "env", "deploy/web", "A=4", "--no-overwrite")
    assert "c has A: --overwrite changes it" in error_line(refused)
    assert tim(api, "set", "env", "deploy/web", "A-").exit_code == 0
    assert "env" not in container(api)


def test_set_env_takes_keys_of_a_config_map(api):
    data = {"log.level": "debug", "colour": "red"}
    api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s", "namespace": "default"}, "data": data})
    assert tim(api, "set", "env", "deploy/web", "--from", "configmap/s", "--prefix", "X_").exit_code == 0
    assert container(api)["env"] == [
        {"name": "X_COLOUR", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "colour"}}},
        {"name": "X_LOG_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "log.level"}}},
    ]
    assert "has no key 'z'" in error_line(tim(api, "set", "env", "deploy/web", "--from", "cm/s", "--keys", "z"))


def test_set_resources_changes_only_the_named_amounts(api):
    tim(api, "set", "resources", "deploy/web", "--limits", "cpu=1,memory=1Gi", "--requests", "cpu=1")
    tim(api, "set", "resources", "deploy/web", "-c", "c", "--limits", "cpu=2")
    assert container(api)["resources"] == {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}


def test_set_selector_account_and_subjects(api):
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"a": "b"}, "ports": []}}
    api.put({"apiVersion": "v1", "kind": "Service", **service})
    assert tim(api, "set", "selector", "svc", "s", "x=y,z=1").stdout == "service/s selector updated\n"
    assert stored(api, "services", "s")["spec"]["selector"] == {"x": "y", "z": "1"}
    assert tim(api, "set", "serviceaccount", "deploy/web", "robot").exit_code == 0
    assert stored(api, "deployments.apps", "web")["spec"]["template"]["spec"]["serviceAccountName"] == "robot"
    api.put(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        }
    )
    words = ("set", "subject", "rolebinding/b", "--user", "jane", "--serviceaccount", "ci:robot")
    assert tim(api, *words).stdout == "rolebinding.rbac.authorization.k8s.io/b subjects updated\n"
    assert tim(api, *words).stdout == "rolebinding.rbac.authorization.k8s.io/b subjects unchanged\n"
    found = stored(api, "rolebindings.rbac.authorization.k8s.io", "b")["subjects"]
    assert [each["name"] for each in found] == ["jane", "robot"]


def test_set_can_be_tried(api):
    assert tim(api, "set", "image", "deploy/web", "c=x", "--dry-run").stdout.endswith("image updated (dry run)\n")
    assert container(api)["image"] == "i"


MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: %s}\n"


def test_replace_needs_the_object_and_leaves_nothing_of_it(api):
    assert "not found" in error_line(tim(api, "replace", "-f", "-", stdin=MANIFEST % "1"))
    tim(api, "create", "-f", "-", stdin=MANIFEST % "1, other: x")
    assert tim(api, "replace", "-f", "-", stdin=MANIFEST % "2").stdout == "configmap/a replaced\n"
    assert stored(api, "configmaps", "a")["data"] == {"k": 2}


def test_replace_by_force_deletes_and_makes_the_object_anew(api):
    tim(api, "create", "-f", "-", stdin=MANIFEST % "1")
    uid = stored(api, "configmaps", "a")["metadata"]["uid"]
    assert tim(api, "replace", "--force", "-f", "-", stdin=MANIFEST % "2").stdout == "configmap/a replaced\n"
    assert stored(api, "configmaps", "a")["metadata"]["uid"] != uid
    assert "cannot be tried" in error_line(tim(api, "replace", "--force", "--dry-run", "-f", "-", stdin=MANIFEST % "2"))


def test_replace_by_force_makes_what_was_not_there(api):
    assert tim(api, "replace", "--force", "-f", "-", stdin=MANIFEST % "1").stdout == "configmap/a replaced\n"


def test_one_refusal_does_not_keep_replace_from_the_others(api):
    tim(api, "create", "-f", "-", stdin=MANIFEST % "1")
    api.fault = lambda call: errors.Forbidden("no") if call.name == "b" else None
    both = MANIFEST.replace("name: a", "name: b") % "2" + "---\n" + MANIFEST % "3"
    result = tim(api, "replace", "-f", "-", stdin=both)
    assert (result.exit_code, result.stdout) == (1, "configmap/a replaced\n")


def test_api_versions_are_listed_once_each():
    lines = tim(None, "api-versions").stdout.splitlines()
    assert lines == sorted(set(lines))
    assert {"v1", "apps/v1", "authorization.k8s.io/v1"} <= set(lines)
