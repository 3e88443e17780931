"""singer-tools, by the people who specified Singer, finds the tap's output valid."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.tap import COMMAND, Tap
from tests.end_to_end.truth import keys_in, keys_of, seed_everything

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_stripe import FakeStripe


@pytest.fixture
def full(stripe: FakeStripe) -> FakeStripe:
    """An account that has rows of every stream."""
    seed_everything(stripe, rows=5)
    return stripe


def test_every_message_of_every_stream_is_valid(
    full: FakeStripe, singer_check_tap: Path, tmp_path: Path
) -> None:
    output = Tap.of(full, tmp_path).run()
    assert output.code == 0, output.errors[-2000:]
    expected = keys_of(full, list(full.catalogue.resources))
    assert keys_in(full, output.rows) == expected
    verdict = subprocess.run(
        [str(singer_check_tap)],
        input=b"".join(output.lines),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    said = verdict.stdout.decode()
    assert verdict.returncode == 0, verdict.stderr[-2000:].decode()
    assert "The output is valid." in said
    assert f"{len(full.catalogue.resources)} schema messages" in said
    assert f"{expected.total()} record messages" in said


def test_the_tap_is_valid_with_and_without_the_state_of_its_first_run(
    full: FakeStripe, singer_check_tap: Path, tmp_path: Path
) -> None:
    tap = Tap.of(full, tmp_path)
    # singer-check-tap does not wait for its reader when the tap has ended: this ends later.
    patient = tmp_path / "patient-tap"
    patient.write_text(f'#!/bin/sh\n"{COMMAND}" "$@"\ncode=$?\nexec 1>&-\nsleep 2\nexit $code\n')
    patient.chmod(0o755)
    verdict = subprocess.run(
        [str(singer_check_tap), "--tap", str(patient), "--config", str(tap.config)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    said = verdict.stdout.decode()
    assert verdict.returncode == 0, verdict.stderr[-2000:].decode()
    assert said.count("The output is valid.") == 2
    first, second = map(int, re.findall(r"(\d+) record messages", said))
    assert 0 < second < first, "the second run reads less"
