"""Requests over HTTPS that no schema would lead to: odd methods, paths, queries, media types, and bodies that are none."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator

from api.scheme import KINDS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get")
MEDIA = (
    "application/json",
    "application/json; charset=latin-1",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
    "multipart/form-data",
    "",
    "a/b/c;;;=",
)
ACCEPTS = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v9;g=nobody,application/json;q=0",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "*/*;q=x",
    "text/html",
    ";;,,",
    "",
)
SUBRESOURCES = (
    "",
    "status",
    "scale",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "proxy/a/b",
    "eviction",
    "binding",
    "token",
    "finalize",
    "no",
)
QUERIES = (
    "watch=1&timeoutSeconds=1",
    "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    "watch=1&timeoutSeconds=1&resourceVersion=99999999999999999999",
    "watch=1&timeoutSeconds=1&resourceVersion=1",
    "watch=maybe",
    "limit=1",
    "limit=-1",
    "limit=99999999999999999999999",
    "limit=1&continue=x",
    "continue=%00",
    "resourceVersion=0",
    "resourceVersion=-1",
    "resourceVersion=1&resourceVersionMatch=Exact",
    "resourceVersionMatch=Exact",
    "labelSelector=a%3Db,c%20in%20(d,e),!f",
    "labelSelector=((((",
    "labelSelector=" + "a," * 2000,
    "fieldSelector=metadata.name%3Dweb",
    "fieldSelector=spec.nodeName!%3D,status.phase%3DRunning",
    "fieldSelector=%3D%3D%3D",
    "dryRun=All",
    "dryRun=Some",
    "dryRun=All&dryRun=All",
    "fieldValidation=Maybe",
    "fieldValidation=Warn",
    "fieldManager=" + "x" * 300,
    "fieldManager=%01",
    "fieldManager=f&force=true",
    "pretty=true",
    "gracePeriodSeconds=-5",
    "gracePeriodSeconds=x",
    "propagationPolicy=Sideways",
    "propagationPolicy=Foreground&orphanDependents=true",
    "command=ls&stdout=true",
    "ports=80",
    "tailLines=-1&follow=false",
    "%ff%fe=%80",
    "=&&&=;",
)
PATHS = (
    "/",
    "/api",
    "/apis",
    "/apis/",
    "/apis/apps",
    "/apis/apps/",
    "/apis/apps/v9",
    "/api/v1/",
    "/api//v1",
    "/api/v1/namespaces/default/",
    "/api/v1/namespaces//pods",
    "/api/v1/namespaces/default/pods/a/b/c/d",
    "/api/v1/namespaces/%2e%2e/pods/%00",
    "/api/v1/namespaces/default/pods/..%2f..%2fsecrets",
    "/api/v1/watch/pods?timeoutSeconds=1",
    "/api/v1/watch/namespaces/default/pods/web?timeoutSeconds=1",
    "/openapi/v2",
    "/openapi/v3/none",
    "/version",
    "/healthz",
    "/livez/ping",
    "/readyz?verbose",
    "/metrics",
    "/join",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/" + "a" * 9000,
    "/%",
    "/é",
)

BOMB = b"".join(
    b"%c: &%c [%s]\n" % (97 + level, 97 + level, b",".join([b"x" if level == 0 else b"*%c" % (96 + level)] * 9))
    for level in range(8)
)
ODD_BODIES = (
    *(b"null", b"1", b'"x"', b"[]", b"{}", b"{}{}", b"\xef\xbb\xbf{}", b"NaN", b'{"a":1e400}', b'{"a":"\\ud800"}'),
    b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice","name":"again"},"data":{"a":"1","a":"2"}}',
    BOMB,
)


def raw_requests(rng: random.Random, number: int) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """So many of (method, path, headers, body)."""
    for _ in range(number):
        headers = {
            "Content-Type": rng.choice(MEDIA[:8] if rng.random() < 0.8 else MEDIA),
            "Accept": rng.choice(ACCEPTS),
        }
        if rng.random() < 0.1:
            headers |= rng.choice(
                (
                    {"Accept-Encoding": "gzip"},
                    {"Impersonate-User": "jane"},
                    {"Impersonate-Uid": "1"},
                    {"Authorization": "Bearer x.y.z"},
                    {"Authorization": "Basic !"},
                    {"X-HTTP-Method-Override": "DELETE"},
                    {"Range": "bytes=0-1"},
                    {"If-None-Match": "*"},
                    {"Content-Encoding": "gzip"},
                    {"Expect": "200-ok"},
                )
            )
        body = _body(rng)
        if headers.get("Content-Encoding") == "gzip" and rng.random() < 0.5:
            body = gzip.compress(body)
        yield rng.choice(METHODS), _path(rng), headers, body


def _path(rng: random.Random) -> str:
    if rng.random() < 0.2:
        path = rng.choice(PATHS)
    else:
        kind = rng.choice(KINDS)
        prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
        inner = (
            rng.choice(("", "/namespaces/default", "/namespaces/default", "/namespaces/no")) if kind.namespaced else ""
        )
        name = rng.choice(("", "/web", "/default", "/settings", "/none", "/%20"))
        sub = rng.choice(SUBRESOURCES) if name else ""
        path = f"{prefix}{inner}/{kind.plural}{name}{f'/{sub}' if sub else ''}"
    query = "&".join(rng.sample(QUERIES, rng.choice((0, 1, 1, 2, 3))))
    return path + (("&" if "?" in path else "?") + query if query else "")


def _body(rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        return b""
    return rng.choice((_deep, _bytes, _big, _odd, _json_patch, _delete_options, _patch))(rng)


def _deep(rng: random.Random) -> bytes:
    return rng.choice((b"[", b'{"a":', b"- ", b"a: {")) * rng.choice((90, 2000, 100_000))


def _bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 40, 5000)))


def _big(rng: random.Random) -> bytes:
    text = "x" * rng.choice((10**5, 1_500_000, 4_000_000))
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": text}}
    ).encode()


def _odd(rng: random.Random) -> bytes:
    return rng.choice(ODD_BODIES)


def _json_patch(rng: random.Random) -> bytes:
    paths = ("", "/", "/metadata/name", "/spec/containers/-", "/a/b", "x", "/data/~2")
    return json.dumps(
        [
            {
                "op": rng.choice(("add", "remove", "replace", "move", "copy", "test", "no")),
                "path": rng.choice(paths),
                "from": "/metadata",
                "value": rng.choice((None, 1, "x", {}, [1])),
            }
            for _ in range(rng.choice((1, 3, 11_000)))
        ]
    ).encode()


def _delete_options(rng: random.Random) -> bytes:
    return json.dumps(
        {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": rng.choice((0, -1, 10**20, "x")),
            "propagationPolicy": rng.choice(("Orphan", "x", 1)),
            "preconditions": {"uid": rng.choice(("x", 1)), "resourceVersion": "1"},
        }
    ).encode()


def _patch(rng: random.Random) -> bytes:
    return json.dumps(
        rng.choice(
            (
                {"spec": {"replicas": rng.choice((0, 3, -1, "x", 10**12))}, "metadata": {"resourceVersion": "1"}},
                {
                    "metadata": {
                        "labels": {"a": None},
                        "finalizers": rng.choice((None, [], ["x/y"])),
                        "$patch": "delete",
                    }
                },
                {"$setElementOrder/x": [], "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
                {"spec": {"$retainKeys": ["a"], "containers": [{"$patch": "replace"}]}},
            )
        )
    ).encode()
