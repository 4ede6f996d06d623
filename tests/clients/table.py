"""docs/clients.md, made of the expectations."""

from __future__ import annotations

from tests.clients.documentation import examples
from tests.clients.session import CHECKOUT, TRIED, transcripts
from tests.clients.transcript import Entry, Transcript

PAGE = CHECKOUT / "docs" / "clients.md"
HEAD = """# What clients of Kubernetes do here

Made by `make clients-table` from the expectations below `tests/clients`, which the tests compare with what the clients really
print and exit with: do not edit it by hand. *Works* means: as with Kubernetes, to the letter of what is printed. *Fails as it should* means that Kubernetes
refuses it too, with that exit code. Commands that 1.20 (Debian 12) does not know were tried with 1.32 only.
"""

EXAMPLES = """## The example manifests of Kubernetes' documentation

Pages are files below `content/en/examples` of github.com/kubernetes/website (CC BY 4.0) or, without `.yaml`, pages of kubernetes.io/docs.
`tests/clients/documentation` has the fields of each in our words; *accepted* means: and read back equal, and writing that again changes nothing.
"""

PYTHON = """## Python clients

| Client | Calls | |
|---|---|---|
| `kubernetes` | list, watch from there and on from the last event, create, merge and JSON patch, replace, delete, delete of collections, status and scale | works |
| `kubernetes` | server-side apply and its conflicts by the dynamic client, exec, log with `follow`, leader election with a Lease | works |
| `kubernetes_asyncio` | create, patch, list with a field selector and a limit, watch, delete, errors | works |
| `lightkube` | apply, patch, list with field selectors, wait for conditions, log, watch, delete, errors | works; knows no `tls-server-name` |
| `kubernetes`, `kubernetes_asyncio` | anything of a kind that is not there yet | **refused**: 404 NotFound |

`tests/e2e/test_clients_python.py` and `tests/integration/test_rest_python_client.py` show it.
"""


def page() -> str:
    """All of it."""
    return "\n".join([HEAD, *map(section, transcripts()), PYTHON, documentation()])


def documentation() -> str:
    """The table of the documentation's manifests."""
    rows = "".join(
        f"| {example.tree['kind']} | {example.pages} | {f'**refused**: {example.refused}' if example.refused else 'accepted'} |\n"
        for example in examples()
    )
    return f"{EXAMPLES}\n| Kind | Pages | |\n|---|---|---|\n{rows}"


def section(transcript: Transcript) -> str:
    """One table."""
    variants: dict[str, list[Entry]] = {}
    for entry in transcript.entries:
        if not entry.hidden:
            variants.setdefault(entry.command, []).append(entry)
    about = f"{transcript.about}\n\n" if transcript.about else ""
    rows = "".join(row(command, entries) for command, entries in variants.items())
    return f"## {transcript.title}\n\n{about}| Command | | Tried with |\n|---|---|---|\n{rows}"


def row(command: str, entries: list[Entry]) -> str:
    """One line of a table: a command, what becomes of it in each version, with which it was tried."""
    tried = [version for version in TRIED if any(entry.fits(version) for entry in entries)]
    said = {version: result(entry) for version in tried for entry in entries if entry.fits(version)}
    if len(set(said.values())) == 1:
        told = said[tried[0]]
    else:
        told = "; ".join(f"{dotted(version)}: {text}" for version, text in said.items())
    shown = command.replace("|", "\\|")
    return f"| `{shown}` | {told} | {', '.join(map(dotted, tried))} |\n"


def result(entry: Entry) -> str:
    """What becomes of a command."""
    if entry.refused:
        told = f"**refused**: {entry.refused}"
    else:
        told = f"fails as it should ({entry.code})" if entry.code else "works"
    return f"{told}; {entry.note}" if entry.note else told


def dotted(version: tuple[int, ...]) -> str:
    """As people write it."""
    return ".".join(map(str, version))
