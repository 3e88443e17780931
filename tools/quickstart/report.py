"""What the database holds: rows per table, and one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.quickstart.postgres import Postgres

_TABLES = """
select table_name from information_schema.tables
where table_schema = '{schema}' order by table_name
"""

# Amounts are in the currency's smallest unit: https://docs.stripe.com/currencies#zero-decimal
_NET_REVENUE = """
with revenue as (
    select to_char(created, 'YYYY-MM') as month, upper(currency) as currency, fee, net,
           case when type in ('charge', 'payment') then amount else 0 end as charged,
           case when type in ('charge', 'payment') then 0 else amount end as returned,
           case when currency in ('bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg',
                                  'rwf', 'ugx', 'vnd', 'vuv', 'xaf', 'xof', 'xpf') then 1.0
                when currency in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then 1000.0
                else 100.0 end as unit
    from "{schema}".balance_transactions
    where type not in ('payout', 'payout_cancel', 'payout_failure', 'transfer')
)
select month, currency, to_char(sum(charged / unit), '{format}'),
       to_char(sum(returned / unit), '{format}'), to_char(sum(fee / unit), '{format}'),
       to_char(sum(net / unit), '{format}')
from revenue group by month, currency order by month desc, currency limit 12
"""
_MONEY = "FM999,999,999,990.00"


def count_rows(database: Postgres, schema: str) -> dict[str, int]:
    """Count the rows of each table of `schema`."""
    tables = [row[0] for row in database.query(_TABLES.format(schema=schema))]
    if not tables:
        return {}
    counts = [f'select \'{table}\', count(*) from "{schema}"."{table}"' for table in tables]  # noqa: S608 (the names are ours)
    return {table: int(rows) for table, rows in database.query(" union all ".join(counts))}


def show_tables(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Print the rows of each table and how many of them are new."""
    rows = [
        (table, f"{count:,}", f"+{count - before.get(table, 0):,}")
        for table, count in sorted(after.items())
        if count
    ]
    new = sum(after.values()) - sum(before.values())
    total = ("total", f"{sum(after.values()):,}", f"+{new:,}")
    _show(("table", "rows", "new"), [*rows, total])


def show_net_revenue(database: Postgres, schema: str) -> None:
    """Print the last twelve months' net revenue by currency, in major units."""
    print("\nNet revenue by month, from balance_transactions:\n")
    months = database.query(_NET_REVENUE.format(schema=schema, format=_MONEY))
    _show(("month", "", "charged", "returned", "fees", "net"), months)


def _show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        name, *numbers = line
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        print("  " + "  ".join([name.ljust(widths[0]), *cells]))
