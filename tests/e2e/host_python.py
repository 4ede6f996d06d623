"""Programs in Python in pods: images here have none, the machine has."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def library_of(*modules: ModuleType) -> str:
    """The folders that modules were installed in, as PYTHONPATH has them."""
    return ":".join(dict.fromkeys(str(Path(str(module.__file__)).resolve().parents[1]) for module in modules))


def host_python(library: str = "") -> tuple[list[dict], list[dict]]:
    """Volumes and mounts that bring the machine's Python into a pod whose image has none; `library`: and these folders."""
    wanted = dict.fromkeys(("/usr", "/lib", "/lib64", sys.base_prefix, *filter(None, library.split(":"))))
    places = [Path(each) for each in wanted if Path(each).is_dir() and not each.startswith("/usr/")]
    volumes = [{"name": f"p{at}", "hostPath": {"path": str(each.resolve())}} for at, each in enumerate(places)]
    mounts = [{"name": f"p{at}", "mountPath": str(each), "readOnly": True} for at, each in enumerate(places)]
    return volumes, mounts
