"""A profile in the terminal: operators, then the largest nodes."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from edgedeploy.report.content.wording import UNITS_IN_WORDS
from edgedeploy.values.profile import Profile


def profile_tables(profile: Profile, *, top: int = 10) -> tuple[Text, Table, Table]:
    """What it is of; by operator, all of them; by node, the `top` largest."""
    unit = UNITS_IN_WORDS[profile.unit]
    title = f"{profile.name} {profile.release} on {profile.device}: {profile.per_inference:,.0f} {unit} per inference"
    operators = Table(box=None, pad_edge=False)
    for name in ("operator", "nodes", "per inference", "share"):
        operators.add_column(name, justify="left" if name == "operator" else "right")
    for operator in profile.by_operator:
        operators.add_row(
            Text(operator.operator), str(operator.nodes), f"{operator.per_inference:,.0f}", f"{operator.share:.1%}"
        )
    title += f"\nall operators, and the {min(top, len(profile.nodes))} largest nodes:"
    nodes = Table(box=None, pad_edge=False)
    for name in ("node", "operator", "output", "per inference", "share"):
        nodes.add_column(name, justify="right" if name in ("per inference", "share") else "left")
    for node in profile.nodes[:top]:
        words = (node.name, node.operator, node.output)
        nodes.add_row(*map(Text, words), f"{node.per_inference:,.0f}", f"{node.share:.1%}")
    return Text(title), operators, nodes
