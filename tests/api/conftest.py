"""What tests of requests have in common."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited between tries; in these tests they pass at once."""
    waited: list[float] = []
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
