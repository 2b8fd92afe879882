"""Tasks beside enhancement: what they learn from, and how well they do.

Three are those of the mixed-precision search (PAPERS.md, section 4), each a GRU and a head: voice activity,
six wake phrases, and the next frame's log-mel spectrum. The fourth predicts the quality of speech (section
5).
"""

from __future__ import annotations

from tinydsn.tasks.examples import Example, Sources
from tinydsn.tasks.task import TASKS, Task, task_named

__all__ = ["TASKS", "Example", "Sources", "Task", "task_named"]
