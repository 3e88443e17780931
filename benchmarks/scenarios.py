"""What is measured, as data: what the account holds, what the server allows, what is required."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

YEAR: Final = 365 * 86_400
UNTIL: Final = 1_767_225_600
"""Where creation times end: 2026 begins."""

LIVE_RATE: Final = 100.0
TEST_RATE: Final = 25.0
ENDPOINT_RATE: Final = 25.0
"""Requests/s that Stripe allows: in live mode, in test mode, to one endpoint
(https://docs.stripe.com/rate-limits)."""

UNPACED: Final = {"requests_per_second": 100_000, "endpoint_requests_per_second": 100_000}

AS_MOST: Final[Mapping[str, Mapping[str, None]]] = {
    "charges": {"level3": None, "source": None, "transfer_data": None}
}
"""Stream -> what its objects have in most accounts: charges by card, without what only platforms
and old accounts have, are 3.9 kB long."""

BUSY: Final = (
    "charges",
    "credit_note_line_items",
    "credit_notes",
    "customer_payment_methods",
    "customers",
    "disputes",
    "invoice_items",
    "invoice_line_items",
    "invoices",
    "payment_methods",
    "payouts",
    "prices",
    "products",
    "refunds",
    "subscription_items",
    "subscriptions",
    "transfer_reversals",
    "transfers",
)
"""Streams in which something happens every hour, and children that it may happen to. Not among
them are tax ids of customers, of which nobody is told when they go with their customer."""

Clock = Literal["process", "requests"]
"""What wall means: the whole process, or from its first list request to the last answer."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """The rows of one list."""

    rows: int
    years: int = 2
    """Over how many years they are spread by chance."""

    days: int | None = None
    """Over how many days instead."""

    in_one_day: float = 0.0
    """The part of them that is of one day, in the middle of those years."""

    def times(self, until: int = UNTIL) -> list[int]:
        """Their creation times, in Unix seconds; the same each time."""
        chance = Random(self.rows)  # noqa: S311 - not for secrets
        since = until - (self.years * YEAR if self.days is None else self.days * 86_400)
        noon = (since + until) // 2
        dense = round(self.rows * self.in_one_day)
        spread = [chance.randrange(since, until) for _ in range(self.rows - dense)]
        return spread + [chance.randrange(noon, noon + 86_400) for _ in range(dense)]


@dataclass(frozen=True, kw_only=True)
class Hour:
    """What happens in an account in the hour between two runs."""

    edits: Mapping[str, int] = field(default_factory=dict)
    """How many of a stream's objects are edited, with an event each."""

    steps: int = 0
    """How often something else happens by chance: an object is made, changed or deleted."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way to run the tap."""

    title: str
    livemode: bool = True
    lists: Mapping[str, Load] = field(default_factory=dict)
    """The selected streams; none for all of the catalogue."""

    rows_of_each: int = 0
    """How many rows each list has that isn't among `lists`, children's included."""

    hour: Hour | None = None
    """What happens after a first run: then it is the second one that is measured."""

    latency: float = 0.2
    """Seconds that the server takes for an answer."""

    account_rate: float | None = None
    endpoint_rate: float | None = ENDPOINT_RATE
    """Requests/s that the server allows."""

    settings: Mapping[str, float] = field(default_factory=dict)
    """The tap's, beyond the connection."""

    bound_rate: float | None = None
    """Requests/s at which the bound is reckoned; None where there is no bound."""

    bound_by: Literal["pages", "requests"] = "pages"
    """What has to be asked for: the fewest requests that hold the rows, or those that were made."""

    clock: Clock = "process"
    target_rate: float | None = None
    """Rows/s that the target takes; None for a file, infinite for as fast as it can."""

    others_rate: float = 0.0
    """Requests/s that somebody else makes for the same account."""

    most: Mapping[str, float] = field(default_factory=dict)
    """Figure -> what it may be at most."""

    least: Mapping[str, float] = field(default_factory=dict)
    """Figure -> what it must be at least."""


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "A": Scenario(
        title="3 streams of 20,000 rows, no latency, no limit",
        lists={name: Load(rows=20_000) for name in ("balance_transactions", "charges", "refunds")},
        latency=0.0,
        endpoint_rate=None,
        settings=UNPACED,
        least={"rows/s": 25_000},
    ),
    "B": Scenario(
        title="1 stream of 10,000 rows, 25 requests/s per endpoint",
        lists={"charges": Load(rows=10_000)},
        account_rate=LIVE_RATE,
        bound_rate=ENDPOINT_RATE,
        clock="requests",
        most={"wall/bound": 1.35, "requests/pages": 1.12},
    ),
    "C": Scenario(
        title="4 streams of 5,000 rows, 25 requests/s in all",
        livemode=False,
        lists={
            name: Load(rows=5_000)
            for name in ("balance_transactions", "charges", "payouts", "refunds")
        },
        account_rate=TEST_RATE,
        settings={"requests_per_second": TEST_RATE},
        bound_rate=TEST_RATE,
        most={"wall/bound": 1.15, "requests/pages": 1.15, "429s after 1 s": 0},
    ),
    "D": Scenario(
        title="8 streams of 50,000 rows, live limits",
        lists={
            name: Load(rows=50_000)
            for name in (
                "balance_transactions",
                "charges",
                "disputes",
                "invoice_items",
                "invoice_payments",
                "payouts",
                "refunds",
                "setup_intents",
            )
        },
        account_rate=LIVE_RATE,
        settings={"requests_per_second": LIVE_RATE},
        bound_rate=LIVE_RATE,
        most={"wall/bound": 1.15, "requests/pages": 1.03, "CPU": 0.70},
        least={"rows/s": 8_700},
    ),
    "E": Scenario(
        title="all streams, 2 rows in each list, test limits",
        livemode=False,
        rows_of_each=2,
        account_rate=TEST_RATE,
        bound_rate=20.0,
        bound_by="requests",
        most={"wall/bound": 1.3},
    ),
    "F": Scenario(
        title="100,000 rows, 90 % of them in one day of 5 years",
        lists={"charges": Load(rows=100_000, years=5, in_one_day=0.9)},
        account_rate=LIVE_RATE,
        bound_rate=ENDPOINT_RATE,
        most={"wall/bound": 1.25},
    ),
    "G": Scenario(
        title="60,000 rows, a target that takes 1,000 rows/s",
        lists={"charges": Load(rows=60_000)},
        account_rate=LIVE_RATE,
        target_rate=1_000.0,
        most={"peak RSS": 200, "time-outs": 0},
    ),
    "H": Scenario(
        title="somebody else makes 20 of 100 requests/s, live mode",
        lists={
            name: Load(rows=70_000)
            for name in ("balance_transactions", "charges", "payouts", "refunds")
        },
        account_rate=LIVE_RATE,
        others_rate=20.0,
        most={"others' 429s": 0.01},
    ),
    "H-test": Scenario(
        title="somebody else makes 5 of 25 requests/s, test mode",
        livemode=False,
        lists={
            name: Load(rows=17_500)
            for name in ("balance_transactions", "charges", "payouts", "refunds")
        },
        account_rate=TEST_RATE,
        others_rate=5.0,
        most={"others' 429s": 0.01},
    ),
    "M": Scenario(
        title="2 million rows, no latency, no limit",
        lists={
            "balance_transactions": Load(rows=500_000),
            "charges": Load(rows=1_000_000),
            "refunds": Load(rows=500_000),
        },
        latency=0.0,
        endpoint_rate=None,
        settings=UNPACED,
        target_rate=float("inf"),
        most={"peak RSS": 200},
    ),
    "N": Scenario(
        title="all streams, an hour after a run in which nothing happened",
        rows_of_each=2,
        hour=Hour(),
        account_rate=LIVE_RATE,
        # One for each stream without events, for the events, and for the check of the connection.
        most={"requests": 62 + 1 + 1},
    ),
    "P": Scenario(
        title="10,000 of the last week's 50,000 charges are edited",
        lists={"charges": Load(rows=50_000, days=7)},
        hour=Hour(edits={"charges": 10_000}),
        account_rate=LIVE_RATE,
        most={"requests": 650},
    ),
    "Q": Scenario(
        title="an hour of a busy account: some hundred objects are made, changed and deleted",
        lists={name: Load(rows=1_000, days=90) for name in BUSY},
        hour=Hour(steps=500),
        account_rate=LIVE_RATE,
        most={"requests/changed": 1.0},
    ),
}
