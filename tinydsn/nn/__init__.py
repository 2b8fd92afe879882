"""Dynamic building blocks: each has a whole-clip form (training) and a one-frame form (streaming)."""

from __future__ import annotations

from tinydsn.nn.attention import GatedAttention
from tinydsn.nn.conv import GatedConvPair, conv_columns
from tinydsn.nn.decoder import GatedDecoder
from tinydsn.nn.gate import Gating, gates_from_logits
from tinydsn.nn.linear import GatedFeedForward
from tinydsn.nn.policy import FramePolicy, Policy
from tinydsn.nn.recurrent import GatedRecurrence, gru_with_hold
from tinydsn.nn.running import RunningPolicy
from tinydsn.nn.temporal import GatedTemporalConv

__all__ = [
    "FramePolicy",
    "GatedAttention",
    "GatedConvPair",
    "GatedDecoder",
    "GatedFeedForward",
    "GatedRecurrence",
    "GatedTemporalConv",
    "Gating",
    "Policy",
    "RunningPolicy",
    "conv_columns",
    "gates_from_logits",
    "gru_with_hold",
]
