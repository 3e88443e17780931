"""Read a Stripe into a PostgreSQL, in one command: `python3 tools/quickstart`.

Without a Stripe account it reads the project's own Stripe server, which has two years of a small
shop. With TAP_STRIPE_CONN_LIVE_API_KEY set it reads that account, and takes the tap's other
settings from the environment too. A second run adds only what is new.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import json
import shutil
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


from tools.environments import CHECKOUT, HOME, CommandError, where
from tools.quickstart import parts, pipeline, postgres, report, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tools.quickstart.parts import Parts
    from tools.quickstart.postgres import Postgres
    from tools.quickstart.source import Source

LOGS = HOME / "logs"
ROOT_HOME = Path("/var/lib/tap-stripe-conn-quickstart")
"""Where PostgreSQL lives when root runs this in a checkout that no other user may enter."""

SHOP_YEARS = 2

INTERRUPTED = 130
TERMINATED = 143


def main() -> int:
    """Run the quickstart and give the exit code."""
    arguments = argparse.ArgumentParser(prog="python3 tools/quickstart", description=__doc__)
    arguments.add_argument("--clean", action="store_true", help="remove all that it made, and stop")
    clean = arguments.parse_args().clean
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # its encoding may lack the bars of the chart
    # Said out loud, because a shell starts its background commands deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        with _alone():
            return _clean() if clean else _quickstart()
    except (CommandError, OSError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nquickstart: stopped; run it again to go on", file=sys.stderr)
        return INTERRUPTED


def _quickstart() -> int:
    home = _postgres_home()
    with _step("Installing the tap, the loader and PostgreSQL"):
        installed = parts.install(HOME, home, LOGS)
    with ExitStack() as running:
        with _step("Starting PostgreSQL"):
            data, log = home / "postgres", LOGS / "postgres.log"
            database = running.enter_context(postgres.running(installed.postgres, data, log))
        origin = source.account()
        if not origin:
            read_before = _state_file("shop").exists()
            with _step(f"Opening the shop as it {'is today' if read_before else 'was a week ago'}"):
                origin = running.enter_context(_shop(installed, read_before=read_before))
        return _load(origin, installed, database)


def _shop(installed: Parts, *, read_before: bool) -> AbstractContextManager[Source]:
    """Give the shop as of a week ago, or as of today, with more in it, when it was read before."""
    today = datetime.now(timezone.utc).date()
    opening_day = HOME / "shop.since"
    if not opening_day.exists():
        opening_day.write_text(str(date(today.year - SHOP_YEARS, 1, 1)))
    return source.shop(
        installed.tap / "bin" / "python",
        LOGS / "stripe.log",
        since=date.fromisoformat(opening_day.read_text()),
        until=today if read_before else today - timedelta(weeks=1),
    )


def _load(origin: Source, installed: Parts, database: Postgres) -> int:
    before = report.count_rows(database, origin.name)
    state = _state_file(origin.name)
    if not before:
        state.unlink(missing_ok=True)  # it speaks of rows that are not there
    tap = [str(installed.tap / "bin" / "tap-stripe-conn"), "--config=ENV"]
    with _step("Asking the tap what it can read"):
        catalog = pipeline.discover(tap, origin.environ, LOGS / "discover.log")
        streams = pipeline.select(catalog, origin.streams)
    catalog_file, loader_config = HOME / "catalog.json", HOME / "loader.json"
    catalog_file.write_text(json.dumps(catalog))
    loader_config.write_text(json.dumps(_loader_settings(database, origin)))
    loader = [str(installed.loader / "bin" / "target-postgres"), "--config", str(loader_config)]
    print(f"Reading {streams} streams of {origin.title} into PostgreSQL", flush=True)
    run = pipeline.Pipeline(state, LOGS, streams)
    remark = run.run([*tap, "--catalog", str(catalog_file)], loader, origin.environ)
    after = report.count_rows(database, origin.name)
    print(f"\nTables of the schema {origin.name}:\n")
    report.show_tables(before, after)
    if after.get("balance_transactions"):
        report.show_revenue(database, origin.name)
    if all(after.get(table) for table in report.MRR_TABLES):
        report.show_recurring_revenue(database, origin.name)
    if remark:
        print(f"\nNot everything could be read: {remark}")
    print(f"\nAll it made is in {where(HOME)}/. Run it again: it adds what is new.")
    return pipeline.NOT_WHOLE if remark else 0


def _state_file(source_name: str) -> Path:
    return HOME / f"{source_name}.state.json"


def _loader_settings(database: Postgres, origin: Source) -> dict[str, object]:
    return {
        "sqlalchemy_url": database.url,
        "default_target_schema": origin.name,
        "load_method": "upsert",
        "use_copy": True,
    }


def _clean() -> int:
    for path in {HOME, _postgres_home()}:
        shutil.rmtree(path)
    with suppress(OSError):  # another checkout has data there, or none ever had
        ROOT_HOME.rmdir()
    print("quickstart: removed all that it made")
    return 0


def _postgres_home() -> Path:
    checkout = hashlib.sha256(bytes(CHECKOUT)).hexdigest()[:8]
    return postgres.reachable_home(HOME, fallback=ROOT_HOME / checkout)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep a second quickstart out of this checkout."""
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = "another quickstart is at work in this checkout"
            raise CommandError(msg) from None
        yield


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"{what} …", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    print(f" {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
