"""The C templates and kernels that ship with the package, and how they are rendered."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from quant.errors import ToolchainError

FOLDERS = ("project", "ops", "runtime", "package", "example", "")
"""Where a template is looked for by its name; last, by its path."""


def template_root() -> Path:
    """The folder ``firmware_templates``, beside the package in a checkout and in a wheel."""
    root = Path(__file__).resolve().parents[2] / "firmware_templates"
    if not root.is_dir():
        raise ToolchainError(f"{root} is missing; install tinydsn again")
    return root


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([template_root() / name for name in FOLDERS]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, values: dict[str, Any]) -> str:
    """A template (``FOLDERS``) with its values; every name must be known."""
    return str(_environment().get_template(template).render(values))
