"""Fine-tuning for integers: rounded weights are the converter's, the loss is that of the integer output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_training_loop as loop_tests
import torch

from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import ConfigError, QuantizationError
from quant.graph import Graph, IntegerGraph
from quant.learned import LearnedScale, weight_of, with_learned_scales
from quant.precision import PRESETS, Precision, Rule
from quant.reference import Pipeline
from tinydsn.audio.files import to_int16
from tinydsn.estimate.runner import HostRunner
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import load_checkpoint, load_scales, save_checkpoint
from tinydsn.models.dsn import Dsn
from tinydsn.training.data import Batch, TrainingData
from tinydsn.training.guidance import Guidance
from tinydsn.training.loop import train, train_step, validate
from tinydsn.training.quantized import (
    QuantizationOptions,
    StraightThrough,
    Target,
    WeightScales,
    fake_quantize,
    rounded_parameters,
)
from tinydsn.training.quantized_loss import quantized_losses, quantized_total
from tinydsn.training.run import new_run
from tinydsn.workflow.integer_training import HostNetwork, constant

BITS = range(2, 9)
MIXED = Precision(
    "mixed", 4, 16, 16, (Rule("policy*", weights=8), Rule("encoder*", weights=3), Rule("last", weights=6))
)
RECIPE = replace(
    loop_tests.RECIPE,
    guidance=Guidance(kind="none"),
    quantization=QuantizationOptions(precision="w4a16"),
    train=replace(loop_tests.RECIPE.train, hours=loop_tests.hours(6, 2)),
)


@pytest.fixture(scope="module")
def network() -> Dsn:
    torch.manual_seed(5)
    made = Dsn(loop_tests.SMALL).eval()
    with torch.no_grad():
        for name, value in made.named_parameters():
            if ".norm." in name:  # as after training: equal constants of two layers would become one
                value.add_(0.1 * torch.randn_like(value))
            elif name.endswith(("first.bias", "skip.bias", "up.linear.bias")):
                value.add_(0.5)  # no ReLU is shut all the time
    return made


@pytest.fixture(scope="module")
def lowered(network: Dsn) -> tuple[Graph, Mapping]:
    graph = lower(network.streaming(), torch.zeros(network.config.bins))
    clips = [to_int16(wave) for wave in loop_tests.data(RECIPE).batch(0).noisy.numpy()]
    return graph, calibrate(graph, clips)


def few() -> TrainingData:
    """The loop tests' data with two clips to validate with, so that a save is quick."""
    made = loop_tests.data(RECIPE)
    valid = Batch(made.valid.noisy[:2], made.valid.target[:2], made.valid.condition[:2])
    return replace(made, valid=valid)


def host(network: Dsn, lowered: tuple[Graph, Mapping], precision: Precision) -> HostNetwork:
    return HostNetwork(network, *lowered, precision)


def drawn_scales(network: Dsn, widths: Mapping[str, int]) -> WeightScales:
    """Scales that have moved from the converter's, up and down."""
    scales = WeightScales(network, widths)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in scales.moved:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    return scales


def real_weights(graph: IntegerGraph) -> dict[str, np.ndarray]:
    """What the integers of each weight stand for, float32."""
    found = {}
    for operator in graph.operators():
        name = f"{operator.name}.weight"
        if name in graph.constants:
            quantization = graph.tensors[name].quantization
            assert quantization is not None and quantization.axis == 0
            shape = (-1, *(1,) * (graph.constants[name].ndim - 1))
            scale = np.array(quantization.scale).reshape(shape)
            found[operator.name] = (graph.constants[name] * scale).astype(np.float32)
    return found


@pytest.mark.parametrize("precision", [*(PRESETS[f"w{bits}a16"] for bits in BITS), PRESETS["w4a8"], MIXED])
def test_rounded_weights_are_the_converters(
    network: Dsn, lowered: tuple[Graph, Mapping], precision: Precision
) -> None:
    made = host(network, lowered, precision)
    scales = drawn_scales(network, made.widths)
    integer = made.integer(dict(network.named_parameters()), scales.learned())
    real, rounded = real_weights(integer), rounded_parameters(network, scales)
    checked = 0
    for operator in lowered[0].operators():
        weight = weight_of(operator)
        if weight in made.widths:
            assert np.array_equal(real[operator.name], constant(rounded[weight])), weight
            checked += 1
    assert checked == len(made.widths) == 32


@pytest.mark.parametrize("bits", BITS)
def test_scales_that_have_not_moved_change_nothing(
    network: Dsn, lowered: tuple[Graph, Mapping], bits: int
) -> None:
    made = host(network, lowered, PRESETS[f"w{bits}a16"])
    values = dict(network.named_parameters())
    plain = made.integer(values, {})
    same = made.integer(values, WeightScales(network, made.widths).learned())
    assert plain.constants.keys() == same.constants.keys()
    assert all(np.array_equal(plain.constants[name], same.constants[name]) for name in plain.constants)
    assert plain.tensors == same.tensors and list(plain.operators()) == list(same.operators())


def test_a_scale_is_used_at_its_own_width_only(network: Dsn, lowered: tuple[Graph, Mapping]) -> None:
    graph, ranges = lowered
    learned = {"last.weight": LearnedScale(4, (0.25, 0.5, 0.125, 1.0))}
    with_it = with_learned_scales(graph, learned)
    four, five = (convert(with_it, ranges, PRESETS[f"w{bits}a16"]) for bits in (4, 5))
    quantization = four.tensors["last.weight"].quantization
    (operator,) = [item for item in four.operators() if item.name == "last"]
    factor = 2.0 ** int(operator.attributes.get("weight_shift", 0))  # type: ignore[arg-type]
    assert quantization is not None
    assert tuple(scale * factor for scale in quantization.scale) == learned["last.weight"].scale
    assert not any("learned" in key for key in operator.attributes)
    plain = convert(graph, ranges, PRESETS["w5a16"])
    assert five.tensors == plain.tensors


def test_scales_of_another_model_are_refused(lowered: tuple[Graph, Mapping]) -> None:
    graph, ranges = lowered
    with pytest.raises(ConfigError) as caught:
        with_learned_scales(graph, {"tail.weight": LearnedScale(4, (1.0,))})
    assert str(caught.value) == (
        "a scale was learned for 'tail.weight', which is no weight of model 'DsnStep': does it belong to "
        "another model?"
    )
    short = with_learned_scales(graph, {"last.weight": LearnedScale(4, (1.0,))})
    with pytest.raises(QuantizationError) as wrong:
        convert(short, ranges, PRESETS["w4a16"])
    assert str(wrong.value) == ("operator 'last' (conv2d): 1 scales were learned for 4 channels of weights")


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e-6, 100.0, 1e6, 1e37])
def test_odd_scales_give_a_sound_graph_or_one_clear_line(
    network: Dsn, lowered: tuple[Graph, Mapping], scale: float
) -> None:
    """Such as a file may hold that was changed by hand: no value may leave its range on the way."""
    graph, ranges = lowered
    odd = with_learned_scales(graph, {"last.weight": LearnedScale(4, (scale, 0.1, 0.1, scale))})
    try:
        made = convert(odd, ranges, PRESETS["w4a16"])
    except QuantizationError as error:
        assert scale > 1
        assert str(error).startswith("operator 'last' (conv2d): a scale ratio of ")
        return
    noisy = to_int16(loop_tests.data(RECIPE).batch(0).noisy[0, :2048].numpy())
    expected = Pipeline(made).run(noisy)
    (outcome,) = HostRunner([noisy]).run(made)
    assert np.array_equal(outcome.pcm, expected.pcm)


def test_the_gradient_of_rounding() -> None:
    """Inside the range the weight's is passed on and the scale's is round(w / s) - w / s; outside it is cut,
    and the scale's is the range's end."""
    weight = torch.tensor([[0.26, -0.9, 5.0]], requires_grad=True)
    scale = torch.tensor([0.5], requires_grad=True)
    made = fake_quantize(weight, scale, 3)
    assert made.tolist() == [[0.5, -1.0, 1.5]]
    made.backward(torch.tensor([[1.0, 10.0, 100.0]]))
    assert weight.grad is not None and weight.grad.tolist() == [[1.0, 10.0, 0.0]]
    expected = (1 - 0.52) + 10 * (-2 + 1.8) + 100 * 3
    assert scale.grad is not None and scale.grad.item() == pytest.approx(expected, rel=1e-5)


def test_straight_through_gives_the_exact_and_its_gradient_to_the_carrier() -> None:
    carrier = torch.tensor([1e8, 3.0], requires_grad=True)
    made = StraightThrough.apply(carrier, torch.tensor([0.1, -7.0]))
    assert torch.equal(made, torch.tensor([0.1, -7.0]))
    made.backward(torch.tensor([2.0, 5.0]))
    assert carrier.grad is not None and carrier.grad.tolist() == [2.0, 5.0]


def test_the_loss_is_of_the_integer_reference_output(network: Dsn, lowered: tuple[Graph, Mapping]) -> None:
    """Output and gates that the losses see are those of the NumPy reference, bit for bit."""
    made = host(network, lowered, MIXED)
    scales = drawn_scales(network, made.widths)
    noisy = loop_tests.data(RECIPE).batch(0).noisy[:1]
    values = dict(network.named_parameters())
    output = made.run(values, scales.learned(), noisy)
    runner = Pipeline(made.integer(values, scales.learned()))
    expected = runner.run(to_int16(noisy[0].numpy()))
    assert np.array_equal(to_int16(output.waves[0].numpy()), expected.pcm)
    assert np.array_equal(output.gates[0].numpy().astype(bool), expected.gates)


@pytest.mark.parametrize("precision", [PRESETS["w4a16"], MIXED], ids=["w4a16", "mixed"])
def test_the_gradient_reaches_every_weight_and_scale(
    network: Dsn, lowered: tuple[Graph, Mapping], precision: Precision
) -> None:
    made = host(network, lowered, precision)
    scales = WeightScales(network, made.widths)
    network.zero_grad()
    batch = loop_tests.data(RECIPE).batch(1)
    losses = quantized_losses(network, scales, batch, RECIPE, Target(made, network))
    quantized_total(losses, RECIPE).mean().backward()
    parameters = dict(network.named_parameters())
    for name, moved in zip(scales.widths, scales.moved, strict=True):
        assert parameters[name].grad.abs().sum() > 0, name
        assert moved.grad is not None and moved.grad.abs().sum() > 0, name


def test_a_killed_run_goes_on_to_equal_weights_and_scales(
    network: Dsn, lowered: tuple[Graph, Mapping], tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(network, start)
    target = Target(host(network, lowered, PRESETS["w4a16"]), load_checkpoint(start))

    def run(folder: Path, last: int) -> None:
        def watch(done: int, total: int, losses: dict[str, float]) -> None:
            if done == last:
                raise KeyboardInterrupt

        folder.mkdir(exist_ok=True)
        train(few(), RECIPE, folder, loop_tests.quiet, 0.0, "cpu", start, watch, target)

    run(tmp_path / "whole", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", 4)
    assert loop_tests.steps_saved(tmp_path / "killed") == 3
    run(tmp_path / "killed", 0)
    whole, killed = (tmp_path / folder / "model.safetensors" for folder in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    scales = load_scales(whole)
    assert scales.keys() == target.network.widths.keys()
    before = WeightScales(network, target.network.widths).learned()
    assert all(scales[name] != before[name] for name in scales)


def test_fine_tuning_brings_the_integer_output_nearer(network: Dsn, lowered: tuple[Graph, Mapping]) -> None:
    """At 3 bits, towards the float network's own output; measured through the integer graph."""
    recipe = replace(
        RECIPE,
        quantization=QuantizationOptions(precision="w3a16", imitation=1.0),
        train=replace(RECIPE.train, rate=2e-3, average=0.8, sdr_weight=0.1),
    )
    made = host(network, lowered, PRESETS["w3a16"])
    data, run = few(), new_run(recipe, widths=made.widths)
    run.model.load_state_dict(network.state_dict())
    run.average.load_state_dict(network.state_dict())
    target = Target(made, network)
    before = validate(run, data, recipe, target)["si_sdr"]
    for step in range(25):
        train_step(run, data.batch(step), recipe, 0.3, target)
    assert validate(run, data, recipe, target)["si_sdr"] > before + 1.0
