"""Run the benchmarks and print their table."""

from __future__ import annotations

from benchmarks.rows import rows_per_cpu_second
from benchmarks.runs import run

ENDPOINT_RATE = 25.0


def main() -> None:
    """Print a line for each figure."""
    ours, stock = rows_per_cpu_second()
    _print("charges from page bytes to message bytes: rows per CPU second", f"{ours:,.0f}")
    _print("  ratio to the SDK's stock path", f"{ours / stock:.1f}")
    free = run(
        {"charges": 5_000, "refunds": 5_000, "balance_transactions": 5_000},
        requests_per_second=100_000,
        endpoint_requests_per_second=100_000,
    )
    _print("3 streams of 5,000 rows: requests / pages", f"{free.requests / free.pages:.2f}")
    _print("  rows/s, the server on the same machine", f"{free.rows / free.seconds:,.0f}")
    _print("  rows missing, rows twice", f"{free.missing}, {free.twice}")
    paced = run(
        {"charges": 5_000}, requests_per_second=100, endpoint_requests_per_second=ENDPOINT_RATE
    )
    bound = (paced.pages - 1) / ENDPOINT_RATE
    _print("1 stream of 5,000 rows at 25 requests/s: wall / bound", f"{paced.seconds / bound:.2f}")


def _print(what: str, figure: str) -> None:
    print(f"{what:<64}{figure:>10}")


if __name__ == "__main__":
    main()
