"""What a search is after, and how long it may take."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.values.search import Objective


class SearchSettings(Struct, frozen=True, kw_only=True):
    """Settings of a recipe that is a search."""

    objective: Objective = "balanced"
    time_budget_s: float = 600.0
    """After which no new trial begins but the recipe's first. What has been found until then is used."""

    def __post_init__(self) -> None:
        if not self.time_budget_s > 0:
            raise ValueError(f"a time budget of {self.time_budget_s} s leaves no time")
