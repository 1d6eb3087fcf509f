"""`nextstack cost`: what a stack costs in a month, estimated from the committed files alone."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import AsJson, Stack

if TYPE_CHECKING:
    from rich.table import Table

    from offline.cost import Estimate


LEAST_SLICE = 0.05
"""Of the chart, as a part of the whole."""


def cost(
    stack: Stack = "dev",
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables and a chart for a page.")
    ] = False,
    details: Annotated[bool, typer.Option("--details", help="Show every resource.")] = False,
) -> None:
    """Estimate what a stack costs on AWS in a month; exit code 1 if that is over its budget.

    Prices and assumptions are in offline/prices.toml, with their date and sources.
    """
    from rich.console import Console

    from commands import deploy
    from offline.cost import estimate, savings
    from offline.preview import preview

    graph = preview(stack)
    found, cheaper = estimate(graph), savings(graph)
    budget = int(deploy.setting(stack, "budgetMonthlyUsd"))
    if as_json:
        print(json.dumps(_as_json(found, cheaper, budget), indent=2))
    elif as_markdown:
        print(markdown(stack, found, cheaper, budget), end="")
    else:
        console = Console()
        console.print(_table(found, details))
        for line in notes(found, cheaper, budget):
            console.print(line, markup=False, soft_wrap=True)
    if 0 < budget < found.total:
        raise typer.Exit(1)


def _as_json(found: "Estimate", cheaper: list[tuple[str, float]], budget: int) -> dict[str, Any]:
    return {
        "currency": "USD",
        "period": "month",
        "total": round(found.total, 2),
        "fixed": round(found.fixed, 2),
        "used": round(found.used, 2),
        "budget": budget,
        "components": {name: round(usd, 2) for name, usd in found.by_component().items()},
        "items": [asdict(item) | {"usd": round(item.usd, 2)} for item in found.items],
        "unpriced": found.unpriced,
        "cheaper": [{"what": what, "saves": round(usd, 2)} for what, usd in cheaper],
    }


def _table(found: "Estimate", details: bool) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("component", "what", "quantity"):
        table.add_column(title, overflow="fold")
    for title in ("fixed", "by use"):
        table.add_column(title, justify="right")
    for component in found.by_component():
        items = [item for item in found.items if item.component == component]
        fixed = sum(item.usd for item in items if not item.used)
        used = sum(item.usd for item in items if item.used)
        table.add_row(component, "", "", f"{fixed:.2f}", f"{used:.2f}", style="bold")
        for item in items if details else []:
            cells = ("", f"{item.usd:.2f}") if item.used else (f"{item.usd:.2f}", "")
            quantity = f"{item.quantity:,.0f} {item.unit} x {item.price:g}"
            table.add_row("", f"{item.resource}: {item.what}", quantity, *cells)
    table.add_row("total", "", "", f"{found.fixed:.2f}", f"{found.used:.2f}", style="bold")
    return table


def notes(found: "Estimate", cheaper: list[tuple[str, float]], budget: int) -> list[str]:
    """What the figures are to be read with."""
    from offline.cost import PRICES

    limit = f", budget {budget}" if budget else ", no budget (budgetMonthlyUsd)"
    over = ": over it" if 0 < budget < found.total else ""
    lines = [
        f"{found.total:.2f} USD a month{limit}{over}; on demand in {PRICES['region']}, prices of "
        f"{PRICES['date']}, without taxes",
    ]
    lines += [f"cheaper by {usd:.0f}: {what}" for what, usd in cheaper]
    if found.unpriced:
        lines.append(f"not priced: {', '.join(found.unpriced)}")
    return lines


def markdown(stack: str, found: "Estimate", cheaper: list[tuple[str, float]], budget: int) -> str:
    """A table by component, a chart of the same, and how to read it."""
    sums = found.by_component()
    rows = [f"| {name} | {usd:.2f} |" for name, usd in sums.items()]
    # Slivers' labels would lie on one another.
    slices = {name: usd for name, usd in sums.items() if usd >= found.total * LEAST_SLICE}
    slices["other"] = found.total - sum(slices.values())
    chart = [f'  "{name}" : {usd:.2f}' for name, usd in slices.items() if usd > 0]
    lines = [
        "| component | USD a month |",
        "|---|---:|",
        *rows,
        f"| **total** | **{found.total:.2f}** |",
        "",
        *(["```mermaid", f"pie title {stack}: USD a month", *chart, "```", ""] if chart else []),
        *(f"- {line}" for line in notes(found, cheaper, budget)),
    ]
    return "\n".join(lines) + "\n"
