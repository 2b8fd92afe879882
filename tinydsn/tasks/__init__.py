"""Tasks beside enhancement, each a GRU and a head: what they learn from, and how well they do.

The three are those of the mixed-precision search (PAPERS.md, section 4): voice activity, six wake phrases,
and the next frame's log-mel spectrum.
"""

from __future__ import annotations

from tinydsn.tasks.examples import Example, Sources
from tinydsn.tasks.task import TASKS, Task, task_named

__all__ = ["TASKS", "Example", "Sources", "Task", "task_named"]
