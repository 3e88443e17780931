from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.catalogue.resources import load_catalogue
from tools.catalogue.documents import documents
from tools.catalogue.sdk import Sdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sdk() -> Sdk:
    return Sdk()


@pytest.fixture(scope="session")
def generated() -> Mapping[Path, str]:
    return documents()


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def schemas() -> Mapping[str, Any]:
    files = sorted((ROOT / "tap_stripe_conn/catalogue/schemas").glob("*.json"))
    return {file.stem: json.loads(file.read_bytes()) for file in files}
