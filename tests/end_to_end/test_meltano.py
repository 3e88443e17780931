"""The tap in Meltano's hands: what is installed, run and kept, and what a person sees of it."""

from __future__ import annotations

import ast
import json
import re
import signal
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema.validators import validator_for

from tests.end_to_end.environments import environment
from tests.end_to_end.meltano import CLONE, MELTANO, project_of_somebody, project_of_the_checkout
from tests.sentences import sentences
from tools.environments import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.meltano import Project, Shown
    from tests.fake_stripe import FakeStripe
    from tools.quickstart.postgres import Postgres

WRONG_KEY = "sk_" + "test_" + "wrong" * 5
STATE = "state get dev:tap-stripe-conn-to-target-jsonl"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """The checkout's, installed."""
    with project_of_the_checkout() as project:
        installed = project.run("install")
        assert installed.code == 0, installed.log
        assert "Installed 4/4 plugins" in installed.log
        yield project


def test_meltano_has_nothing_to_say_against_the_project() -> None:
    (schema_file,) = environment(MELTANO).parent.rglob("meltano.schema.json")
    schema = json.loads(schema_file.read_text("utf-8"))
    project = yaml.safe_load((CHECKOUT / "meltano.yml").read_text("utf-8"))
    validator = validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(project)] == []


def test_config_test_takes_a_good_key_and_says_what_is_wrong_with_a_bad_one(
    project: Project, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 1)
    project.connect(stripe)
    good = project.run("config test tap-stripe-conn")
    assert (good.code, good.stdout) == (0, "Plugin configuration is valid\n")
    project.connect(stripe, WRONG_KEY)
    bad = project.run("config test tap-stripe-conn")
    assert bad.code == 1
    _, verdict, discovery, reason, *rest = bad.log_from("Running catalog discovery")[1:]
    assert verdict == "Plugin configuration is invalid"
    assert discovery.startswith("Catalog discovery failed: command [")
    assert reason.startswith(
        " Connection unavailable: Stripe rejected the API key; check live_api_key (HTTP 401"
    )
    assert rest[:2] == [
        "",
        "Run 'meltano config list tap-stripe-conn' to review the plugin settings.",
    ]


def test_a_run_adds_what_is_new_and_a_stream_that_fails_keeps_its_place(
    project: Project, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 5)
    stripe.seed("customers", 5)
    project.connect(stripe)
    first = project.run("run stripe-to-jsonl")
    assert first.code == 0, first.log
    assert [len(project.rows(stream)) for stream in ("charges", "customers")] == [5, 5]

    now = stripe.now()
    charge = stripe.add("charges", {}, created=now)["id"]
    customer = stripe.add("customers", {}, created=now)["id"]
    everything = {stripe.permission_for(each) for each in stripe.catalogue.resources}
    project.connect(stripe, stripe.restricted_key(everything - {"rak_charge_read"}))
    failed = project.run("run stripe-to-jsonl")
    assert failed.code == 1
    said = failed.log_from(
        "1 of 15 selected streams could not be read whole: charges, missing permission "
        "rak_charge_read: "
    )
    assert said[-3:] == ["Extractor failed", "Block run completed", "Run completed"]
    assert [row["id"] for row in project.rows("customers")[5:]] == [customer]
    assert len(project.rows("charges")) == 5
    kept = project.bookmarks(project.run(STATE))
    assert kept["charges"]["replication_key_value"] < kept["customers"]["replication_key_value"]

    project.connect(stripe)
    project.narrow("charges", "customers")
    mended = project.run("run stripe-to-jsonl")
    assert mended.code == 0, mended.log
    assert [row["id"] for row in project.rows("charges")[5:]] == [charge]
    assert {row["id"] for row in project.rows("customers")[5:]} == {customer}, "or once more"


def test_what_an_interrupted_run_did_not_load_the_next_ones_do(
    project: Project, stripe: FakeStripe, database: Postgres
) -> None:
    stripe.seed("charges", 600)
    project.connect(stripe)
    project.settings["TARGET_POSTGRES_SQLALCHEMY_URL"] = database.url
    database.query("drop schema if exists stripe cascade")
    project.narrow("charges")
    stripe.fault("/v1/charges", "stall", seconds=20, after=3)
    stopped = project.interrupted(
        "run stripe-to-postgres", signal.SIGTERM, lambda: len(stripe.list_pages("charges")) >= 3
    )
    assert stopped.code == 143
    assert "Interrupted; the last STATE covers what was written" in stopped.lines
    assert stopped.lines[-1] == "The process was terminated"

    stripe.clear_faults()
    stripe.fault("/v1/charges", status=401, times=inf, after=3)
    broken = project.run("run stripe-to-postgres")
    assert broken.code == 1
    said = broken.log_from("The run failed: Stripe rejected the API key; check live_api_key (HTTP ")
    assert said[-3:] == ["Extractor failed", "Block run completed", "Run completed"]

    stripe.clear_faults()
    resumed = project.run("run tap-stripe-conn target-postgres")
    assert resumed.code == 0, resumed.log
    assert loaded(database) == {(id_,) for id_ in stripe.ids("charges")}
    assert 0 < rows_in(broken) < 600
    assert 600 <= rows_in(broken) + rows_in(resumed) < 610, "what was loaded is not read again"

    again = project.run("run tap-stripe-conn target-postgres --full-refresh")
    assert again.code == 0, again.log
    assert rows_in(again) == 600
    assert loaded(database) == {(id_,) for id_ in stripe.ids("charges")}
    state = project.bookmarks(project.run("state get dev:tap-stripe-conn-to-target-postgres"))
    assert state.keys() == {"charges"}


def loaded(database: Postgres) -> set[tuple[str, ...]]:
    """Keys in the table, of which each is there once."""
    rows = [tuple(row) for row in database.query("select id from stripe.charges")]
    assert len(set(rows)) == len(rows)
    return set(rows)


def rows_in(shown: Shown) -> int:
    """How many rows a run says it has read."""
    (line,) = shown.log_from("Connection stripe: ")[:1]
    return int(re.findall(r"([\d,]+) rows", line)[0].replace(",", ""))


def test_a_project_of_somebody_gets_the_plugin_from_its_definition(
    stripe: FakeStripe, tmp_path: Path
) -> None:
    with project_of_somebody() as project:
        added = project.run(
            "add --no-install --from-ref /path/to/tap-stripe-conn/plugin.yaml tap-stripe-conn"
        )
        assert added.code == 0, added.log
        project.replace("pip_url: tap-stripe-conn", f"pip_url: {CLONE}")
        assert project.run("install").code == 0

        assert project.run("config set tap-stripe-conn auth_scheme oauth2").code == 0
        project.connect(stripe)
        project.settings |= {
            "TAP_STRIPE_CONN_LIVE_API_KEY": "",
            "TAP_STRIPE_CONN_CLIENT_ID": stripe.oauth.client_id,
            "TAP_STRIPE_CONN_CLIENT_SECRET": stripe.secret_key,
            "TAP_STRIPE_CONN_REFRESH_TOKEN": stripe.refresh_token(stripe.account_id),
            "TAP_STRIPE_CONN_CONNECT_BASE": stripe.url,
            "TAP_STRIPE_CONN_TOKEN_FILE": str(tmp_path / "tokens.json"),
        }
        tested = project.run("invoke tap-stripe-conn:test --test=all")
        assert tested.code == 0, tested.log
        assert tested.stdout.splitlines()[1].split() == ["Auth", "scheme", "OAuth2"]
        assert tested.stdout.splitlines()[-1] == "connection available"

        assert project.run("select tap-stripe-conn charges '*'").code == 0
        selected = project.run("select tap-stripe-conn --list")
        assert "Enabled patterns:\n\tcharges.*\n" in selected.stdout
        assert "\t[selected   ] charges.amount\n" in selected.stdout


def test_the_setup_asks_its_questions_through_meltano(
    project: Project, stripe: FakeStripe, tmp_path: Path
) -> None:
    project.connect(stripe)
    project.settings |= {"TAP_STRIPE_CONN_LIVE_API_KEY": "", "TMPDIR": str(tmp_path)}
    with project.at_a_terminal("invoke tap-stripe-conn:setup --meltano") as screen:
        for question, answer in [
            ("Connection name", "our shop"),
            ("Auth scheme", "API Key"),
            ("Live API key", stripe.secret_key),
            ("Account ID", ""),
        ]:
            screen.expect_exact(question)
            screen.expect_exact(": ")
            screen.sendline(answer)
        screen.expect_exact("connection available")
        screen.expect_exact("meltano config set tap-stripe-conn connection_name 'our shop' &&")
        screen.expect_exact("Then: meltano config test tap-stripe-conn")
    (secret,) = tmp_path.glob("*/live_api_key")
    assert secret.read_text("utf-8") == stripe.secret_key


PAGE = (CHECKOUT / "docs" / "meltano.md").read_text("utf-8")


def test_every_command_of_the_page_is_run_here() -> None:
    shown = {
        *lines_in_blocks("sh"),
        *re.findall(r"^\| `(meltano [^`]+)` \|", PAGE, re.MULTILINE),
    }
    commands = {line.removeprefix("meltano ") for line in shown if line.startswith("meltano ")}
    assert len(commands) > 10
    assert commands <= texts()


def test_every_message_of_the_page_is_met_here_or_is_one_of_the_programs() -> None:
    messages = [line.strip().rstrip("…").strip() for line in lines_in_blocks("")]
    assert len(messages) > 8
    known = "\n".join([*texts(), sentences()])
    assert [message for message in messages if message not in known] == []


def lines_in_blocks(language: str) -> list[str]:
    """What the page shows as code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [line for of, block in blocks if of == language for line in block.splitlines()]


def texts() -> set[str]:
    """All texts in this file."""
    tree = ast.parse(Path(__file__).read_text("utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
