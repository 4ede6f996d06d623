"""Rules for references to a pod's own fields, in variables and in files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from api.env import ObjectFieldSelector
from api.errors import FieldError
from api.faults import invalid, required
from api.names import qualified_name_fault

IN_VARIABLES = re.compile(
    r"metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(podIPs?|hostIPs?)"
)
IN_FILES = re.compile(r"metadata\.(name|namespace|uid|labels|annotations)")
_ONE_OF_A_MAP = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


def field_ref_faults(
    selector: ObjectFieldSelector, path: str, fields: re.Pattern[str], user: str
) -> Iterator[FieldError]:
    """Yield what is wrong with a `fieldRef`; `fields` are those that its `user` (words for people) may take whole."""
    where = f"{path}.fieldPath"
    if not selector.field_path:
        yield required(where)
    elif match := _ONE_OF_A_MAP.fullmatch(selector.field_path):
        key = match[2].lower() if match[1] == "annotations" else match[2]
        if why := qualified_name_fault(key):
            yield invalid(where, match[2], why)
    elif not fields.fullmatch(selector.field_path):
        yield invalid(where, selector.field_path, f"no such field can be used in {user}")
