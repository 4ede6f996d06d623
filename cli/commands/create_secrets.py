"""`tim create secret`, and where the entries of Secrets and ConfigMaps come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from api.errors import Invalid
from api.object import Tree
from cli import generators
from cli.creating import generator
from cli.mistakes import Misused
from cli.verb import VerbGroup

Function = TypeVar("Function", bound=Callable[..., Any])


def contents(function: Function) -> Function:
    """Where the entries of a ConfigMap or Secret come from."""
    for name, help_text in (
        ("--from-env-file", "A file of KEY=VALUE lines."),
        ("--from-file", "A file, as [KEY=]PATH, or all files of a folder."),
        ("--from-literal", "An entry: KEY=VALUE."),
    ):
        function = click.option(name, multiple=True, help=help_text + " May be repeated.")(function)
    return function


def entries(
    from_literal: tuple[str, ...], from_file: tuple[str, ...], from_env_file: tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    """The entries that the options of `contents` name. Invalid for what cannot be read."""
    yield from map(generators.literal, from_literal)
    for text in from_file:
        key, equals, path = text.partition("=")
        place = Path(path if equals else text)
        if place.is_dir() and not equals:
            for file in sorted(each for each in place.iterdir() if each.is_file()):
                yield file.name, _content(file)
        else:
            yield (key if equals else place.name), _content(place)
    for path in from_env_file:
        yield from generators.env_lines(_content(Path(path)).decode(errors="replace"), path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', error)}") from error


def _generic(name: str, kind: str, **sources: tuple[str, ...]) -> Tree:
    return generators.secret(name, kind, entries(**sources))


def _tls(name: str, cert: str, key: str) -> Tree:
    import ssl  # noqa: PLC0415 - only this command needs it

    found = (("tls.crt", _content(Path(cert))), ("tls.key", _content(Path(key))))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise Invalid(f"{cert} and {key} are not a certificate and its key in PEM, without a password") from error
    return generators.secret(name, "kubernetes.io/tls", found)


def _registry(name: str, server: str, user: str, password: str, email: str, file: str) -> Tree:
    if bool(file) == bool(user or password):
        raise Misused("either --docker-username and --docker-password, or --from-file of a Docker configuration")
    if file:
        content = _content(Path(file))
    elif user and password:
        content = generators.docker_config(server, user, password, email)
    else:
        raise Misused("--docker-username and --docker-password belong together")
    return generators.secret(name, "kubernetes.io/dockerconfigjson", ((".dockerconfigjson", content),))


@click.group("secret", cls=VerbGroup)
def create_secret() -> None:
    """Create a Secret."""


for _command in (
    generator(
        "generic",
        _generic,
        "Create a Secret from literals and files.",
        contents,
        click.option("--type", "kind", default="", help="The Secret's type [default: Opaque]."),
    ),
    generator(
        "tls",
        _tls,
        "Create a Secret with a certificate and its key.",
        click.option(
            "--cert", required=True, metavar="FILE", help="The certificate, as PEM, with those that vouch for it."
        ),
        click.option("--key", required=True, metavar="FILE", help="Its key, as PEM."),
        examples=("tim create secret tls web --cert web.crt --key web.key",),
    ),
    generator(
        "docker-registry",
        _registry,
        "Create a Secret with which images are pulled from a registry.",
        click.option(
            *("--docker-server", "server"),
            default="https://index.docker.io/v1/",
            show_default=True,
            metavar="ADDRESS",
            help="The registry.",
        ),
        click.option("--docker-username", "user", default="", metavar="NAME", help="As whom."),
        click.option("--docker-password", "password", default="", metavar="WORD", help="The user's password."),
        click.option("--docker-email", "email", default="", metavar="ADDRESS", help="The user's mail address."),
        click.option("--from-file", "file", default="", metavar="FILE", help="Instead: Docker's config.json."),
        examples=(
            "tim create secret docker-registry team --docker-server registry.example.org --docker-username me ...",
        ),
    ),
):
    create_secret.add_command(_command)
