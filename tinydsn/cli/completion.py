"""Names that the shell completes (``tinydsn --install-completion``), each from where it is defined.

The functions run at every press of the tab key: what they need is imported inside, and never PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def boards(incomplete: str) -> list[str]:
    """Shipped boards, and board files."""
    from tinydsn.codegen.board import board_names

    return _matching(incomplete, board_names(), (".toml",))


def board_lists(incomplete: str) -> list[str]:
    """Boards separated by commas; "all" is one of them."""
    return _last_of_list(incomplete, ["all", *boards(incomplete.rpartition(",")[2])])


def models(incomplete: str) -> list[str]:
    """Shipped models, integer graphs, and checkpoints."""
    from tinydsn.workflow.models import pretrained

    return _matching(incomplete, pretrained(), (".tdsn", ".safetensors"))


def networks(incomplete: str) -> list[str]:
    """Shipped models and checkpoints: what has float weights."""
    from tinydsn.workflow.models import pretrained

    return _matching(incomplete, pretrained(), (".safetensors",))


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, and recipe files."""
    from tinydsn.workflow.training import recipe_names

    return _matching(incomplete, recipe_names(), (".toml",))


def devices(incomplete: str) -> list[str]:
    """Where a training runs."""
    from tinydsn.workflow.training import DEVICES

    return _matching(incomplete, DEVICES)


def kernels(incomplete: str) -> list[str]:
    """Kernel sets."""
    from tinydsn.codegen.kernels import KERNEL_CHOICES

    return _matching(incomplete, KERNEL_CHOICES)


def kernel_lists(incomplete: str) -> list[str]:
    """Kernels of the bench, separated by commas."""
    from tinydsn.bench.catalog import cases

    return _last_of_list(incomplete, dict.fromkeys(case.kernel for case in cases()))


def precisions(incomplete: str) -> list[str]:
    """Precisions by name, and files of names and bits."""
    from quant.precision import PRESETS

    return _matching(incomplete, PRESETS, (".toml", ".json"))


def gates(incomplete: str) -> list[str]:
    """Gate patterns; trace files have no ending of their own."""
    from quant.gates import PATTERNS

    return _matching(incomplete, PATTERNS)


def gate_lists(incomplete: str) -> list[str]:
    """Gate patterns separated by commas."""
    return _last_of_list(incomplete, gates(incomplete.rpartition(",")[2]))


def executors(incomplete: str) -> list[str]:
    """Who evaluates the genomes of a search."""
    from tinydsn.search.executors import EXECUTORS

    return _matching(incomplete, EXECUTORS)


def _matching(incomplete: str, names: Iterable[str], endings: tuple[str, ...] = ()) -> list[str]:
    """The names that begin so, then the files that do and have one of the endings."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    files = sorted(folder.iterdir()) if endings and folder.is_dir() else []
    shown = [str(path) for path in files if path.suffix in endings]
    return [text for text in (*names, *shown) if text.startswith(incomplete)]


def _last_of_list(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, _ = incomplete.rpartition(",")
    taken = before.split(",")
    texts = (before + comma + name for name in names if name not in taken)
    return [text for text in texts if text.startswith(incomplete)]
