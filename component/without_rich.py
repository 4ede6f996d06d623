"""structlog as we use it, imported without `rich`; to be imported before anything imports structlog.

structlog loads `rich` whenever a development tool has installed it, for tracebacks that we never draw: 5 MB in every
process, and a tenth of its start. Whoever wants `rich` can import it afterwards.
"""

from __future__ import annotations

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment] # which makes its import fail
    import structlog  # noqa: F401

    del sys.modules["rich"]
