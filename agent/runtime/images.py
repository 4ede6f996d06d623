"""Images: names as users write them, and pulls through Podman.

A name without a registry means Docker Hub, as in Kubernetes, but an image of that name under `localhost/` wins.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote

from agent.runtime.http import PodmanError, PodmanHttp, Response, error_message
from agent.runtime.protocol import Image, RegistryAuth, RuntimeFailure

PULL_TIMEOUT_SECONDS = 1800.0

_IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
# The grammar of distribution/reference: [domain/]path[:tag][@digest].
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?P<domain>(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:))(?::[0-9]+)?/)?"
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?"
)
_MAX_REFERENCE_CHARACTERS = 255


def candidates(reference: str) -> list[str]:
    """The full names a reference may mean, the preferred one first. Raises RuntimeFailure InvalidImageName."""
    image_id = _IMAGE_ID.fullmatch(reference)
    if image_id:
        return [image_id[1]]
    match = _REFERENCE.fullmatch(reference)
    if match is None or len(match["path"]) > _MAX_REFERENCE_CHARACTERS:
        raise RuntimeFailure(
            f"image {reference!r} is not a valid reference; write [registry/]name[:tag] in lower case",
            reason="InvalidImageName",
            temporary=False,
        )
    suffix = (match["tag"] or ("" if match["digest"] else ":latest")) + (match["digest"] or "")
    path = match["path"]
    if match["domain"]:
        if match["domain"] == "docker.io/" and "/" not in path:
            path = f"library/{path}"
        return [match["domain"] + path + suffix]
    hub = f"docker.io/{path}" if "/" in path else f"docker.io/library/{path}"
    return [f"localhost/{path}{suffix}", hub + suffix]


class ImageStore:
    """The images of one Podman."""

    def __init__(self, http: PodmanHttp) -> None:
        self._http = http

    async def find(self, reference: str) -> Image | None:
        """The local image, None when there is none. Raises RuntimeFailure."""
        for name in candidates(reference):
            try:
                tree = await self._http.call("GET", f"/images/{quote(name, safe='')}/json")
            except PodmanError as error:
                if error.status == 404:
                    continue
                raise
            return Image(tree["Id"], tuple(tree.get("RepoTags") or ()), tree.get("Size", 0), tree.get("User") or "")
        return None

    async def pull(self, reference: str, auth: RegistryAuth | None) -> Image:
        """Fetch from the registry that the reference means. reason ErrImagePull or InvalidImageName."""
        name = candidates(reference)[-1]
        headers = {"X-Registry-Auth": _auth_header(auth)} if auth else {}
        try:
            response = await self._http.request(
                "POST",
                "/images/pull",
                query={"reference": name},
                headers=headers,
                timeout_seconds=PULL_TIMEOUT_SECONDS,
                pooled=False,
            )
        except PodmanError as error:
            raise RuntimeFailure(f"pulling {name}: {error}", reason="ErrImagePull") from error
        failure = _pull_failure(response)
        if failure:
            raise RuntimeFailure(f"pulling {name}: {failure}", reason="ErrImagePull")
        image = await self.find(name)
        if image is None:
            raise RuntimeFailure(
                f"pulling {name}: podman reported success but has no such image", reason="ErrImagePull"
            )
        return image


def _auth_header(auth: RegistryAuth) -> str:
    return base64.urlsafe_b64encode(
        json.dumps({"username": auth.username, "password": auth.password}).encode()
    ).decode()


def _pull_failure(response: Response) -> str:
    """Why a pull failed, "" when it worked: with status 200 the error is in the stream's last line."""
    if response.status >= 400:
        return error_message(response.body)
    lines = response.body.strip().splitlines()
    if not lines:
        return "podman sent no result"
    try:
        last = json.loads(lines[-1])
    except ValueError:
        return "podman's answer was cut off"
    return str(last.get("error") or "")
