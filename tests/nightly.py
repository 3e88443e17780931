"""How much is tried: what CI has time for, or a night."""

from __future__ import annotations

import os
from typing import Final

NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
