"""The report as one HTML page that needs nothing else, and as text for a terminal."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from rich.console import Console
from rich.table import Table

from emoserve_loadtests import plots
from emoserve_loadtests.quantiles import PERCENTILES

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2em auto;padding:0 1em}
h1{margin-bottom:.1em}h2{margin-top:1.8em;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:.25em .55em;text-align:right;border-bottom:1px solid #eee;white-space:nowrap}
th:first-child,td:first-child{text-align:left}small{color:#777}img{max-width:100%}
.held{color:#2a7d3f;font-weight:600}.broken{color:#c0392b;font-weight:600}
.plots{display:grid;grid-template-columns:1fr 1fr;gap:1em}.wide{grid-column:1/-1}
@media(max-width:800px){.plots{display:block}}
"""
_HEADS = ("", "requests", "offered/s", "answers/s", "errors", *PERCENTILES, "mean", "sent late p99")


def rows_of(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of figures: in total, by stage, pipeline and modality."""
    groups = [("total", content["total"])]
    if len(content["stages"]) > 1:
        groups += [(f"level {one['level']:g}", one["total"]) for one in content["stages"]]
    groups += list(content["pipelines"].items())
    groups += [
        (f"· {name}", one)
        for name, one in content["modalities"].items()
        if name not in content["pipelines"]
    ]
    return [_row(name, group) for name, group in groups]


def _row(name: str, group: dict[str, Any]) -> tuple[str, ...]:
    latency = group["latency_ms"]
    return (
        name,
        str(group["requests"]),
        f"{group['offered_per_s']:.1f}",
        f"{group['throughput_per_s']:.1f}",
        f"{group['error_ratio']:.2%}",
        *(_interval(latency.get(p)) for p in PERCENTILES),
        _number(group["mean_ms"]),
        _number(group["sent_late_p99_ms"]),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _interval(one: dict[str, float | None] | None) -> str:
    """A percentile with its 95 % interval; `?` where too few requests bound it."""
    if one is None or one["value"] is None:
        return "-"
    low, high = (("?" if one[end] is None else _number(one[end])) for end in ("low", "high"))
    return f"{_number(one['value'])} [{low}, {high}]"


def text(content: dict[str, Any]) -> str:
    """Return the report for a terminal."""
    console = Console(file=io.StringIO(), width=160)
    table = Table(title="latencies in ms with 95 % intervals", title_justify="left")
    for head in _HEADS:
        table.add_column(head, justify="right" if head else "left")
    for row in rows_of(content):
        table.add_row(*row)
    console.print(table)
    for name, count in content["total"]["errors"].items():
        console.print(f"failed: {name}: {count}", markup=False)
    for gate in content["gates"]:
        console.print(_gate(gate), markup=False)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def _gate(gate: dict[str, Any]) -> str:
    sign = ">=" if gate["objective"] == "throughput" else "<="
    word = "held  " if gate["held"] else "BROKEN"
    name = f"{gate['group']} {gate['objective']}"
    return f"{word} {name} {_number(gate['value'])} {sign} {gate['bound']:g}"


def html(content: dict[str, Any]) -> str:
    """Return the whole page."""
    run = content["run"]
    kind = "Poisson arrivals" if run["loop"] == "open" else "callers that wait"
    levels = ", ".join(f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b, _ in run["levels"])
    parts = [
        f"<h1>Load test: {kind}</h1><p>{escape(run['url'])}, {escape(run['began'])}, "
        f"levels {levels}, {run['seconds']:g} s<br><small>{escape(run['machine'])}; emoserve "
        f"{run['emoserve']}; payloads: {escape(run['payloads'])}; seed {run['seed']}; the first "
        f"{run['settle_seconds']:g} s of each stage left out</small></p>",
        _gates_html(content["gates"]),
        "<h2>Requests</h2>",
        _table(_HEADS, rows_of(content)),
        "<p><small>Latencies in ms from when a request was due (open loop) or sent (closed), with "
        "95 % intervals from order statistics; ? where there were too few requests for a bound. A "
        "failed request counts as slower than any.</small></p>",
        _errors_html(content),
        _plots_html(content),
        _accuracy_html(content["accuracy"]),
        _server_html(content["server"]),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>emoserve load test</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _table(heads: Any, rows: Any) -> str:
    head = "".join(f"<th>{escape(str(one))}</th>" for one in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _gates_html(gates: list[dict[str, Any]]) -> str:
    if not gates:
        return ""
    lines = "".join(
        f'<li class="{"held" if gate["held"] else "broken"}">{escape(_gate(gate))}</li>'
        for gate in gates
    )
    return f"<h2>Objectives</h2><ul>{lines}</ul>"


def _errors_html(content: dict[str, Any]) -> str:
    rows = [
        (name, kind, count)
        for name, group in content["pipelines"].items()
        for kind, count in group["errors"].items()
    ]
    return "<h2>Errors</h2>" + _table(("pipeline", "kind", "requests"), rows) if rows else ""


def _plots_html(content: dict[str, Any]) -> str:
    figures = []
    for title, png in plots.all_plots(content).items():
        data = base64.b64encode(png).decode()
        wide = ' class="wide"' if title in ("Timeline", "Sizes of batches") else ""
        image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
        figures.append(f"<div{wide}><h2>{title}</h2>{image}</div>")
    return f'<div class="plots">{"".join(figures)}</div>'


def _accuracy_html(accuracy: dict[str, Any]) -> str:
    rows = [
        (name, one["answers"], one["labelled"], _share(one["label_accuracy"]))
        for name, one in accuracy.items()
    ]
    heads = ("pipeline", "answers", "of labelled items", "equal to the data's label")
    return "<h2>Answers</h2>" + _table(heads, rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _server_html(server: dict[str, Any]) -> str:
    heads = ("model", "requests", "failed", "executions", "items per execution", "queue ms",
             "compute ms", "most pending")  # fmt: skip
    rows = [
        (name, one["answered"], one["failed"], one["executions"],
         _number(one["batch"]), _number(one["queue_ms"]), _number(one["compute_ms"]),
         one["most_pending"])
        for name, one in server["models"].items()
    ]  # fmt: skip
    facts = [f"<li>{escape(one)}</li>" for one in server["facts"]]
    facts += [
        f"<li>not measured: {escape(name)} ({escape(why)})</li>"
        for name, why in server["missing"].items()
    ]
    return f"<h2>Server</h2>{_table(heads, rows)}<ul>{''.join(facts)}</ul>"
