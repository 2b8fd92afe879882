"""The front as text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tinydsn.search.score import Score

MARKS = "·○●"
"""Of the front's points, by instructions: the cheapest third, the middle, the dearest."""
WORST = 0.9
"""The chart's loss axis ends at this quantile of the front, so that ruins do not flatten it."""


def chart(front: Sequence[Score], width: int = 60, height: int = 14) -> str:
    """Quality loss (upwards) over flash (to the right) of a front with at least one point."""
    losses = sorted(score.quality for score in front)
    top = losses[min(len(losses) - 1, int(WORST * len(losses)))]
    left, right = (limit(score.flash for score in front) for limit in (min, max))
    costs = sorted(score.instructions for score in front)
    cells = [[" "] * width for _ in range(height)]
    for score in front:
        x = round((width - 1) * (score.flash - left) / max(right - left, 1))
        share = (score.quality - losses[0]) / (top - losses[0]) if top > losses[0] else 0.0
        y = round((height - 1) * min(max(share, 0.0), 1.0))
        third = 3 * costs.index(score.instructions) // len(costs)
        cells[height - 1 - y][x] = MARKS[third]
    lines = []
    for row, line in enumerate(cells):
        label = {0: f"{top:9.3f}", height - 1: f"{losses[0]:9.3f}"}.get(row, " " * 9)
        lines.append(f"{label} │{''.join(line)}")
    lines.append(f"{'loss':>9} └{'─' * width}")
    ends = f"{left:,} bytes"
    lines.append(f"{'':11}{ends}{f'{right:,} bytes':>{max(width - len(ends), 1)}}")
    return "\n".join(lines)
