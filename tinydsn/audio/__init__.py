"""Audio files, the corpus, mixtures, the float front end and metrics."""

from __future__ import annotations
