"""Training: losses, gate schedule, recipes, the loop, and evaluation on the corpus's test split."""

from __future__ import annotations
