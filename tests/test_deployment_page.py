"""docs/deployment.md has examples that work as far as can be told without their platforms.

Airflow 3.3 and Dagster 1.13 have run them, with `run.sh` replaced; `test_pages.py` runs `run.sh`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tap_stripe_conn.config import config_schema

PAGE = Path(__file__).parents[1] / "docs" / "deployment.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_its_python_compiles() -> None:
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        compile(block, str(PAGE), "exec")


def test_each_variable_of_the_tap_that_it_sets_is_a_setting() -> None:
    named = re.findall(r"TAP_STRIPE_CONN_(\w+)", TEXT)
    assert {"LIVE_API_KEY", "TOKEN_FILE"} == set(named)
    assert {name.lower() for name in named} <= config_schema()["properties"].keys()


def test_kubernetes_keeps_what_must_last_on_a_volume_and_runs_one_job_at_a_time() -> None:
    job = documents()["CronJob"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert "persistentVolumeClaim" in volume
    values = {each["name"]: each["value"] for each in container["env"]}
    assert values["STATE_DIR"] == mount["mountPath"]
    assert values["TAP_STRIPE_CONN_TOKEN_FILE"].startswith(f"{mount['mountPath']}/")


def test_github_saves_the_files_that_it_restores_even_after_a_failure() -> None:
    steps = documents()["Stripe"]["jobs"]["read"]["steps"]
    restore, save = (
        next(each for each in steps if action in each.get("uses", ""))
        for action in ("cache/restore", "cache/save")
    )
    assert restore["with"]["path"] == save["with"]["path"]
    assert restore["with"]["key"] == save["with"]["key"]
    assert save["if"] == "always()"


def documents() -> dict[str, Any]:
    """The YAML examples by kind or name."""
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    return {each.get("kind") or each["name"]: each for each in found}
