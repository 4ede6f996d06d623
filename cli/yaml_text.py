"""Trees as the YAML that people read. Apart from `cli.output`, so that tables do not load a YAML library."""

from __future__ import annotations

import yaml

from api.object import Tree


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # the C one when it is built
    """Writes texts of several lines as blocks and repeats instead of using aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        """Never an alias: people read this."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(tree: Tree) -> str:
    """YAML as people write it, sorted, without the last line's end."""
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=True, default_flow_style=False, width=120, allow_unicode=True)
    return text.rstrip("\n")
