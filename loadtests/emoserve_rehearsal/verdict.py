"""What must have happened, each as a sentence and whether it did."""

from __future__ import annotations

from emoserve_rehearsal.record import BIN_S
from emoserve_rehearsal.rehearsal import BACK, KILL, OUTAGE, ROLLOUT, Result

_SETTLED_S = 60.0  # by then every answer comes from the new models


def verdict(result: Result) -> list[tuple[str, bool]]:
    """Return every claim and whether it held."""
    record, rows, rules = result.record, result.rows, result.plan.rules
    replicas = record.column("replicas")
    outage = record.between(OUTAGE, BACK)
    held = [sample.replicas for sample in outage if sample.at_s - outage[0].at_s > BIN_S]
    at = {name: at_s for at_s, name in record.events}
    due = rows.due_s - result.began_s
    old = [moment for moment, version in zip(due, rows.versions, strict=True) if version == "1"]
    new = [moment for moment, version in zip(due, rows.versions, strict=True) if version == "2"]
    claims = [
        (f"{len(rows.due_s)} requests, {len(rows.failures)} failed", not rows.failures),
        (f"of {len(result.world.due_s)} that were due", len(result.world.due_s) == len(due)),
        ("Locust saw no failure either", result.locust_status == 0),
        (
            f"scaled from {replicas[0]:.0f} up to {replicas.max():.0f}",
            replicas.max() >= 2 * replicas[0],
        ),
        (f"and down to {replicas[-1]:.0f} again", replicas[-1] == rules.min_replicas),
        (
            f"new models took over within {max(old) - at[ROLLOUT]:.0f} s",
            bool(new) and max(old) - at[ROLLOUT] < _SETTLED_S and min(new) > at[ROLLOUT],
        ),
        (
            f"the killed server was started again ({result.restarts} restart)",
            result.restarts == 1 and at[KILL] > 0,
        ),
        (
            f"without Prometheus the number stayed at {held[0]}",
            len(set(held)) == 1 and all(sample.load is None for sample in outage[-3:]),
        ),
    ]
    return [(claim, bool(held)) for claim, held in claims]
