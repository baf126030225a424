"""The environment of all pages' templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def page_environment() -> jinja2.Environment:
    """Return an environment in which everything is escaped, and each name that a template uses is defined."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("edgedeploy", "report/exports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
