"""What the database holds: rows per table, and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.environments import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.quickstart.postgres import Postgres

_TABLES = """
select table_name from information_schema.tables
where table_schema = '{schema}' order by table_name
"""

SQL = CHECKOUT / "docs" / "sql"
"""The statements of docs/finance.md."""

MRR_TABLES = ("invoice_line_items", "invoices", "prices", "subscriptions")
"""What the statement on recurring revenue asks."""

REVENUE_MONTHS = 6
MRR_MONTHS = 24
BAR = 24
"""Characters of the longest bar."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


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


def show_recurring_revenue(database: Postgres, schema: str) -> None:
    """Chart monthly recurring revenue of the last months: the currency of most subscriptions."""
    rows = _ask(database, schema, "mrr_by_month")
    if not rows:
        return
    newest = rows[-1][0]
    subscribers = {row[1]: int(row[3]) for row in rows if row[0] == newest}
    currencies = sorted(subscribers, key=lambda each: (-subscribers[each], each))
    mrr = {(month, each): int(amount) for month, each, amount, _ in rows}
    months = sorted({row[0] for row in rows})[-MRR_MONTHS:]
    most = max(mrr.get((month, currencies[0]), 0) for month in months)
    units = _units(database)
    print("\nMonthly recurring revenue, from docs/sql/mrr_by_month.sql:\n")
    header = ["month", "", *(each.upper() for each in currencies)]
    lines = [
        [
            month[:7],
            _bar(mrr.get((month, currencies[0]), 0), most).ljust(BAR),
            *(_money(mrr.get((month, each), 0), units.get(each, 100)) for each in currencies),
        ]
        for month in months
    ]
    _show(header, lines)


def show_revenue(database: Postgres, schema: str) -> None:
    """Print the last months' revenue by currency of the balance, in major units."""
    rows = _ask(database, schema, "revenue_by_month")
    units = _units(database)
    newest = sorted({row[0] for row in rows})[-REVENUE_MONTHS:]
    lines = [
        [
            month[:7],
            currency.upper(),
            *(_money(int(each), units.get(currency, 100)) for each in sums),
        ]
        for month, currency, *sums in rows
        if month in newest
    ]
    print("\nRevenue and fees by month, from docs/sql/revenue_by_month.sql:\n")
    header = ("month", "", "charged", "refunded", "disputed", "others", "fees", "net")
    _show(header, lines)


def _ask(database: Postgres, schema: str, name: str) -> list[list[str]]:
    statement = (SQL / f"{name}.sql").read_text(encoding="utf-8")
    return database.query(f'set search_path to "{schema}"; {statement}')


def _units(database: Postgres) -> dict[str, int]:
    """How many of its smallest unit a currency's unit has, where that isn't 100."""
    statement = (SQL / "currency_units.sql").read_text(encoding="utf-8")
    view = f"begin; {statement} select currency, units from currency_units; rollback"  # noqa: S608 (a file of ours)
    return {currency: int(units) for currency, units in database.query(view)}


def _money(amount: int, units: int) -> str:
    return f"{amount / units:,.{len(str(units)) - 1}f}"


def _bar(amount: int, most: int) -> str:
    """A bar as long as the amount's share of the most, to an eighth of a character."""
    eighths = round(8 * BAR * amount / most) if most else 0
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        name, *numbers = line
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        print("  " + "  ".join([name.ljust(widths[0]), *cells]))
