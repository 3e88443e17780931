"""How the commands end, for machines."""

from __future__ import annotations

from typing import Final

COMPLETE: Final = 0
FAILED: Final = 1
"""The connection is unavailable, or the run failed."""

BAD_CONFIG: Final = 2
"""Bad settings, catalog, state or usage."""

NOT_WHOLE: Final = 3
"""Ran, but a selected stream could not be read whole."""

INTERRUPTED: Final = 130
"""By Ctrl-C or SIGINT, as shells have it; by SIGTERM it is 143."""
