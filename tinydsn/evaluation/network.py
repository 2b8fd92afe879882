"""The float network of a checkpoint over whole recordings."""

from __future__ import annotations

import numpy as np
import torch

from quant.frontend import FrontEnd
from tinydsn.audio.files import to_int16
from tinydsn.audio.stft import analysis, features, masked, synthesis
from tinydsn.models.network import MaskNetwork
from tinydsn.nn import Gating


def enhance(
    model: MaskNetwork, noisy: np.ndarray, front_end: FrontEnd, forced: tuple[bool, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """int16 ``[samples]`` through the float network: int16 of the same length, delay removed (a separator's
    ``[channels, samples]``), and the device's gates, bool ``[frames, K]``, one row a hop that holds input (K
    = 0 for a static network). ``forced``: K gates that hold in every frame, whatever the policy says."""
    hop, latency = front_end.hop, front_end.latency
    frames = -(-(len(noisy) + latency) // hop)
    gating = None if forced is None else Gating(forced=torch.tensor(forced, dtype=torch.float32))
    wave = torch.zeros(1, frames * hop)
    wave[0, : len(noisy)] = torch.from_numpy(noisy.astype(np.float32) / 32768)
    with torch.no_grad():
        spectrum = analysis(wave, front_end)
        output = model(features(spectrum, front_end), gating)
        enhanced = synthesis(masked(spectrum, output.mask), front_end)[0].numpy()
    gates = output.gates[0].numpy() > 0.5
    return to_int16(enhanced[..., latency : latency + len(noisy)]), gates[: -(-len(noisy) // hop)]
