"""Whatever happens to an account and to the runs over it, a target is told the truth.

`HYPOTHESIS_PROFILE=nightly` plays a thousand histories. To play a single one again:
`HISTORY=17 pytest tests/model`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.model.history import history
from tests.model.play import play
from tests.nightly import NIGHTLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.model.history import Step

ONE = os.environ.get("HISTORY")
SEEDS = [int(ONE)] if ONE else range(1_000 if NIGHTLY else 15)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_is_told_the_truth_whatever_happened(seed: int) -> None:
    steps = history(seed)
    if play(steps, seed):
        steps = shorter(steps, seed)
        found = play(steps, seed)
        lines = [f"History {seed}, without what it does not need:"]
        lines += [f"  {number} {step}" for number, step in enumerate(steps)]
        pytest.fail("\n".join([*lines, *(f"{each}" for each in found[:5])]), pytrace=False)


def shorter(steps: Sequence[Step], seed: int) -> list[Step]:
    """A history that leaves something untrue, without the steps that it does so without."""
    left = list(steps)
    for step in reversed(steps):
        rest = [each for each in left if each is not step]
        if play(rest, seed):
            left = rest
    return left
