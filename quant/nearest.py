"""What to say of a name that is not known: the nearest legal one, then which ones there are."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType

LISTED = 16
"""More names than these are only listed where none of them is near."""


def nearest(text: str, legal: Iterable[str], cutoff: float = 0.65) -> str | None:
    """The legal name that ``text`` most resembles (`difflib`, in any case of letters), or None."""
    names = {name.lower(): name for name in legal}
    near = get_close_matches(text.lower(), names, 1, cutoff)
    return names[near[0]] if near else None


def did_you_mean(text: str, legal: Iterable[str], cutoff: float = 0.65) -> str:
    """``, did you mean 'x'?``; nothing where no name is near."""
    near = nearest(text, legal, cutoff)
    return f", did you mean {near!r}?" if near else ""


def functions_of(module: ModuleType) -> list[str]:
    """The names of a module that stand for a function."""
    return [name for name, value in vars(module).items() if inspect.isfunction(value)]


def unknown(what: str, text: str, legal: Iterable[str], further: str = "") -> str:
    """The sentence for a wrong name: ``unknown board 'm5', did you mean 'm4'? (must be m4, m7, or a file)``.

    ``what``: the kind of thing. ``further``: what else than a name is legal, such as "or a file".
    """
    names = list(dict.fromkeys(legal))
    hint = did_you_mean(text, names)
    if hint and len(names) > LISTED:
        return f"unknown {what} {text!r}{hint}"
    return f"unknown {what} {text!r}{hint} (must be {one_of(names, further)})"


def one_of(names: Iterable[str], further: str = "") -> str:
    """``a, b or c``; with ``further`` at the end: ``a, b, c, or a file``."""
    listed = list(names)
    if further:
        return ", ".join([*listed, further])
    return " or ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
