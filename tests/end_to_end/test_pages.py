"""What the pages tell a reader to type works, word for word, in the order of the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from tests.end_to_end.environments import environment
from tests.end_to_end.tap import COMMAND
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.shop import stock
from tools.environments import CHECKOUT, uv_environ

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER = "target-jsonl==0.1.4"
DAYS = 90

READABLE = ("customer", "event", "invoice", "plan", "product", "subscription")
"""`plan` is the permission for prices."""

JQ = f"""#!{sys.executable}
import sys, jq
*options, program, file = sys.argv[1:]
found = jq.compile(program).input(text=open(file).read()).all()
for each in found:
    print(each if "-r" in options else jq.compile(".").input(each).text())
sys.exit("-e" in options and not found[-1])
"""
"""jq by its library, with the options that the pages use."""


@dataclass(slots=True)
class Reader:
    """Somebody in an empty directory who types what stands in the pages."""

    folder: Path
    environ: dict[str, str]
    said: str = field(default="", init=False)
    """What the last commands said on stdout."""

    complained: str = field(default="", init=False)
    """What they said on stderr."""

    def types(self, commands: str, *, where: Path | None = None, ends: int = 0) -> None:
        """Give commands to bash, which stops at the first that fails.

        Args:
            commands: Lines of a page.
            where: Another directory than the reader's own.
            ends: The exit code that they must have.
        """
        done = subprocess.run(
            ["bash", "-eu", "-c", commands],  # noqa: S607 - whichever the machine has
            cwd=where or self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said, self.complained = done.stdout, done.stderr
        assert done.returncode == ends, done.stderr[-3000:]

    def rows(self, stream: str) -> dict[str, dict[str, object]]:
        """What the loader wrote of a stream, the latest by its key."""
        files = sorted(self.folder.glob(f"{stream}-*.jsonl"))
        lines = [line for file in files for line in file.read_text().splitlines()]
        return {row["id"]: row for row in map(json.loads, lines)}

    def state(self) -> dict[str, dict[str, dict[str, object]]]:
        """What `state.json` holds."""
        found: dict[str, dict[str, dict[str, object]]] = json.loads(
            (self.folder / "state.json").read_text()
        )
        return found


@pytest.fixture(scope="module")
def shop() -> Iterator[FakeStripe]:
    """Three months of the small shop."""
    with FakeStripe() as stripe:
        stock(stripe, since=time.time() - DAYS * 86_400)
        yield stripe


@pytest.fixture
def reader(shop: FakeStripe, tmp_path: Path) -> Reader:
    """One who has the tap, a loader, jq and Python, and whose connection leads to the shop."""
    commands = tmp_path / "commands"
    commands.mkdir()
    loader = environment(LOADER) / "target-jsonl"
    links = {
        "tap-stripe-conn": COMMAND,
        "tap-stripe-conn-setup": COMMAND.with_name("tap-stripe-conn-setup"),
        "target-jsonl": loader,
        "your-target": loader,
        "python3": Path(sys.executable),
    }
    for name, command in links.items():
        # Not a link: a Python that is called by another name finds no environment.
        (commands / name).write_text(f'#!/bin/sh\nexec "{command}" "$@"\n')
    (commands / "jq").write_text(JQ)
    for command in commands.iterdir():
        command.chmod(0o755)
    folder = tmp_path / "stripe"
    folder.mkdir()
    return Reader(folder, environ(shop, f"{commands}:{os.environ['PATH']}"))


def environ(shop: FakeStripe, path: str) -> dict[str, str]:
    """A user's environment, in which the connection's settings stand.

    The key may read what the page for beginners says, so that the other streams cost no time.
    """
    key = shop.restricted_key({f"rak_{name}_read" for name in READABLE})
    settings = {
        "LIVE_API_KEY": key,
        "API_BASE": shop.url,
        "REQUESTS_PER_SECOND": "100000",
        "ENDPOINT_REQUESTS_PER_SECOND": "100000",
        "REPORT_FILE": "report.json",
        "LEDGER_FILE": "ledger.sqlite",
    }
    return {
        **os.environ,
        **{f"TAP_STRIPE_CONN_{name}": value for name, value in settings.items()},
        "KEY": key,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PATH": path,
    }


def blocks(page: str, language: str = "sh") -> list[str]:
    """The commands of a page, block by block."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_who_starts_in_ten_minutes_has_the_rows_of_five_streams(
    reader: Reader, shop: FakeStripe, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    uv = Path(find_uv_bin())
    # As for a stranger: what is installed from the clone, and no other tap.
    (tmp_path / "commands" / "tap-stripe-conn").unlink()
    (tmp_path / "commands" / "tap-stripe-conn-setup").unlink()
    (tmp_path / "commands" / "target-jsonl").unlink()
    (tmp_path / "commands" / "uv").symlink_to(uv)
    reader.environ |= {
        **{name: value for name, value in uv_environ(tools).items() if name.startswith("UV_")},
        "UV_TOOL_DIR": str(tools),
        "UV_TOOL_BIN_DIR": str(tmp_path / "commands"),
        "UV_CACHE_DIR": cache_of(uv),
    }
    install, setup, choose, test, read, look, again, stop, upgrade = blocks("docs/start.md")

    reader.types(install, where=CHECKOUT)
    reader.types(setup)
    (shown,) = [each for each in blocks("docs/start.md", "console") if "136 streams: " in each]
    (refused,) = re.findall(r"\d+ missing permission", shown)
    assert refused in reader.complained
    reader.types(choose)
    reader.types(test)
    assert reader.said.endswith("5 streams: 5 ok\n\nconnection available\n")
    reader.types(read)
    first = reader.state()
    reader.types(look)
    assert reader.said.splitlines()[-1].startswith("Counter({'active':")
    for stream in first["bookmarks"]:
        assert reader.rows(stream).keys() == set(shop.ids(stream))
        for file in reader.folder.glob(f"{stream}-*.jsonl"):
            file.unlink()
    assert len(first["bookmarks"]) == 5

    reader.types(again)
    assert reader.state().keys() == first.keys()
    assert reader.rows("invoices").keys() < set(shop.ids("invoices"))

    reader.types(stop)
    assert reader.rows("invoices").keys() == set(shop.ids("invoices"))
    reader.types(upgrade, where=CHECKOUT)


def cache_of(uv: Path) -> str:
    """Where uv keeps what it downloaded, which need not be downloaded again."""
    told = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def test_what_the_pages_show_of_runs_their_report_and_their_proof_works(
    reader: Reader, shop: FakeStripe
) -> None:
    (unattended,) = [each for each in blocks("docs/connections.md") if "--no-input" in each]
    reader.types(unattended)
    _quickstart, _install, run, again, _check = blocks("README.md")
    reader.types(run)
    assert reader.rows("customers").keys() == set(shop.ids("customers"))

    complete, streams = blocks("docs/run-report.md")
    reader.types(complete)
    reader.types(streams)
    assert re.search(r"^customers\t\d+\t\d+$", reader.said, re.MULTILINE)

    (verify,) = typed("docs/verify.md")
    reader.types(verify)
    assert reader.said.splitlines()[-1] == "complete"
    reader.types(again)

    # Those of Meltano are for the tests with Meltano.
    check, *_ = blocks("docs/connection-test.md")
    reader.environ["TAP_STRIPE_CONN_LIVE_API_KEY"] = shop.secret_key
    reader.types(check)
    assert reader.said == "true\n"


def typed(page: str) -> list[str]:
    """What a page shows being typed at a prompt."""
    return [
        line.removeprefix("$ ")
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def job_of_the_deployments(reader: Reader, *streams: str) -> Path:
    """The page's script, beside a catalog of these streams."""
    (script,) = blocks("docs/deployment.md", "bash")
    job = reader.folder.parent / "run.sh"
    job.write_text(script)
    reader.environ |= {"STATE_DIR": str(reader.folder), "LOADER": "your-target"}
    catalog = subprocess.run([COMMAND, "--discover"], capture_output=True, check=True).stdout
    selected = [each for each in json.loads(catalog)["streams"] if each["stream"] in streams]
    (reader.folder / "catalog.json").write_text(json.dumps({"streams": selected}))
    return job


def test_the_job_of_the_deployments_keeps_what_the_loader_confirmed(
    reader: Reader, shop: FakeStripe
) -> None:
    job = job_of_the_deployments(reader, "customers")
    reader.types(f"bash {job}")
    assert reader.rows("customers").keys() == set(shop.ids("customers"))
    first = reader.state()
    time.sleep(1)  # state counts seconds
    reader.types(f"bash {job}")
    second = reader.state()
    assert second != first

    # A loader that fails has confirmed nothing.
    reader.environ["LOADER"] = "false"
    reader.types(f"bash {job}", ends=1)
    assert reader.state() == second

    # The machine went down while the loader was printing; before, it had printed a whole line.
    reader.environ["LOADER"] = "your-target"
    (reader.folder / "confirmed.jsonl").write_text(json.dumps(first))
    reader.types(f"bash {job}")
    (reader.folder / "state.json").write_text(json.dumps(first))
    (reader.folder / "confirmed.jsonl").write_text(json.dumps(second)[:-20])
    reader.environ["LOADER"] = "false"
    reader.types(f"bash {job}", ends=1)
    assert reader.state() == first


def test_the_job_ends_with_the_exit_code_of_a_stream_that_could_not_be_read(
    reader: Reader, shop: FakeStripe
) -> None:
    job = job_of_the_deployments(reader, "customers", "charges")
    reader.types(f"bash {job}", ends=3)
    assert reader.rows("customers").keys() == set(shop.ids("customers"))
    assert "customers" in reader.state()["bookmarks"]
