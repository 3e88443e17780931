"""The quickstart's parts, with a tap and a loader of a few lines."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tools.environments import CommandError
from tools.quickstart import source
from tools.quickstart.pipeline import NOT_WHOLE, Pipeline, select

if TYPE_CHECKING:
    from pathlib import Path

LOADER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
"""

TAP = """
import json, sys
print(json.dumps({"type": "RECORD", "stream": "charges", "record": {"id": "ch_1"}}))
print(json.dumps({"type": "STATE", "value": {"seen": 1, "given": sys.argv[1:]}}), flush=True)
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "state.json", tmp_path, selected=2)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def state(tmp_path: Path) -> object:
    return json.loads((tmp_path / "state.json").read_text())


def test_a_run_keeps_the_state_that_the_loader_confirmed(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not pipeline.run(python(TAP), python(LOADER), os.environ)
    assert state(tmp_path) == {"seen": 1, "given": []}
    assert capsys.readouterr().out.endswith("  read 1 rows, 1 of 2 streams have some\n")


def test_the_next_run_goes_on_from_the_kept_state(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    pipeline.run(python(TAP), python(LOADER), os.environ)
    assert state(tmp_path) == {"seen": 1, "given": ["--state", str(tmp_path / "state.json")]}


def test_a_tap_that_fails_is_quoted_and_what_it_read_is_kept(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    failing = python(f"{TAP}\nsys.exit('Connection unavailable: no luck')")
    with pytest.raises(CommandError, match="the tap failed: Connection unavailable: no luck"):
        pipeline.run(failing, python(LOADER), os.environ)
    assert state(tmp_path) == {"seen": 1, "given": []}


def test_a_loader_that_dies_is_named_although_the_tap_dies_of_it(pipeline: Pipeline) -> None:
    endless = python('while True: print(\'{"type": "SCHEMA", "stream": "charges"}\')')
    with pytest.raises(CommandError, match="the loader failed: disk full"):
        pipeline.run(endless, python("raise SystemExit('disk full')"), os.environ)


def test_a_tap_that_could_not_read_everything_is_quoted_without_failing(pipeline: Pipeline) -> None:
    code = f"{TAP}\nprint('Not read: payouts', file=sys.stderr)\nsys.exit({NOT_WHOLE})"
    assert pipeline.run(python(code), python(LOADER), os.environ) == "Not read: payouts"


def test_an_interrupted_run_still_loads_what_was_read(pipeline: Pipeline, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    waiting = python(f"{TAP}\nopen({str(ready)!r}, 'w').close()\nimport time\ntime.sleep(60)")

    def interrupt() -> None:
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(0.2)  # for the message to be on its way
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(waiting, python(LOADER), os.environ)
    assert state(tmp_path) == {"seen": 1, "given": []}


def test_only_the_wanted_streams_are_selected() -> None:
    catalog: dict[str, list[dict[str, object]]] = {
        "streams": [
            {"tap_stream_id": name, "metadata": [{"breadcrumb": [], "metadata": {}}]}
            for name in ("charges", "refunds")
        ]
    }
    assert select(catalog, ["charges"]) == 1
    assert [stream["metadata"] for stream in catalog["streams"]] == [
        [{"breadcrumb": [], "metadata": {"selected": True}}],
        [{"breadcrumb": [], "metadata": {"selected": False}}],
    ]


def test_each_account_has_a_name_of_its_own_that_does_not_show_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [f"sk_{'live'}_{token}" for token in ("one", "two")]
    names = set()
    for key in keys:
        monkeypatch.setenv(source.KEY, key)
        account = source.account()
        assert account
        assert key not in account.name
        names.add(account.name)
    monkeypatch.delenv(source.KEY)
    assert len(names) == len(keys)
    assert source.account() is None
