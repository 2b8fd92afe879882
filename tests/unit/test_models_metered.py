"""A DSN with a quality meter for a policy: both forms, the meter's own rating, what training leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import test_training_loop as loop_tests
import torch

from quant.errors import ConfigError
from tests.unit.restless import changing_level, restless
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.dsn import GATES, Dsn
from tinydsn.models.metered import Meter, MeteredConfig, MeteredDsn, MeterPolicy
from tinydsn.models.predictor import MIDDLE_RATING, OVRL, RANGE_RATING, Predictor, PredictorConfig
from tinydsn.models.sequence import BINS, SequenceConfig, SequenceNet
from tinydsn.nn import Gating
from tinydsn.training.guidance import Guidance, opening_thresholds, wanted_usage
from tinydsn.training.loop import train
from tinydsn.training.metering import decide_by, read_meter
from tinydsn.training.recipe import Recipe
from tinydsn.training.run import new_run

SMALL = MeteredConfig(
    first=4, middle=2, gated_middle=4, channels=8, heads=1, gated_heads=1, width=2, split=4, hidden=4,
    gated_hidden=4, ffn=4, gated_ffn=4, up=2, gated_up=2, policy_hidden=6, meter_channels=8, meter_pooled=8,
    meter_seconds=0.1,
)  # fmt: skip
RATED = Guidance(kind="rating", low=0.0, high=1.0, best=2.4, worst=0.95, hint=0.0)
RECIPE = replace(
    loop_tests.RECIPE,
    model=SMALL,
    guidance=RATED,
    train=replace(loop_tests.RECIPE.train, pool=True, hours=loop_tests.hours(3, 2)),
)


def meter(config: MeteredConfig = SMALL) -> Predictor:
    """A meter whose norms have seen something."""
    torch.manual_seed(1)
    network = Predictor(config.meter).train()
    with torch.no_grad():
        for _ in range(8):
            network(1.2 * torch.rand(2, 50, BINS))
    return network.eval()


def network() -> MeteredDsn:
    """A network whose gates change often."""
    torch.manual_seed(2)
    model = MeteredDsn(SMALL).eval()
    assert isinstance(model.policy, MeterPolicy)
    model.policy.take(meter())
    return restless(model)


@torch.no_grad()
def test_a_meter_hears_what_its_predictor_hears() -> None:
    # float64, in which no rounding turns a bit
    trained, features = meter().double(), torch.rand(2, 40, BINS, dtype=torch.float64)
    answers = trained.second(Meter(trained)(features))
    assert answers.std() > 1e-3
    torch.testing.assert_close(answers, trained(features), rtol=0, atol=1e-12)


@torch.no_grad()
def test_streaming_equals_whole_clip() -> None:
    model, frames = network().double(), changing_level(BINS).double()
    whole, step = model(frames), model.streaming().double()
    usage = whole.gates.mean((0, 1))
    assert ((usage > 0) & (usage < 1)).all() and torch.equal(whole.gates, (whole.logits > 0).double())
    for _ in range(2):
        step.reset()
        with torch.compiler.set_stance("force_eager"):
            found = torch.stack([step(frame) for frame in frames[0]])
        torch.testing.assert_close(found, whole.mask[0], rtol=0, atol=1e-7)


@torch.no_grad()
def test_only_what_decides_is_another_than_a_dsn_has() -> None:
    model, frames = network(), changing_level(BINS)
    plain = Dsn(loop_tests.SMALL).eval()
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("policy.")}
    plain.load_state_dict(plain.state_dict() | own)
    forced = Gating(forced=model(frames).gates)
    assert torch.equal(plain(frames, forced).mask, model(frames).mask)
    costs, others = model.costs(), plain.costs()
    assert costs[1:] == others[1:] and costs[0].part == others[0].part == "policy"
    assert model.policy is not None and costs[0].macs == model.policy.macs()


def test_cost_is_that_of_a_predictor_without_its_last_layer() -> None:
    trained = Predictor(PredictorConfig(channels=16))
    assert Meter(trained).macs() == trained.macs() - trained.second.weight.numel()
    policy = MeteredDsn().policy
    assert policy is not None and policy.macs() == Meter(trained).macs() + 16 * len(GATES)


def test_gates_open_in_order_as_the_told_rating_falls() -> None:
    model, trained = MeteredDsn(SMALL), meter()
    decide_by(model, trained, RATED)
    assert isinstance(model.policy, MeterPolicy)
    weight, bias = trained.second.weight[OVRL].detach(), trained.second.bias[OVRL].detach()
    order = list(opening_thresholds(model))
    assert [GATES[index] for index in order] == list(model.opening_order())
    shares = torch.tensor(model.macs()[1]) / sum(model.macs()[1])
    seen = set()
    with torch.no_grad():
        for rating in torch.linspace(0.96, 2.39, 60):
            answer = (rating - MIDDLE_RATING) / RANGE_RATING
            units = weight / weight.square().sum() * (answer - bias)
            opened = model.policy.head(units) > 0
            wanted = float(wanted_usage(rating, RATED))
            assert opened[order].tolist() == sorted(opened.tolist(), reverse=True)
            assert abs(float(shares[opened].sum()) - wanted) <= float(shares.max()) / 2 + 1e-4
            seen.add(int(opened.sum()))
    assert seen == set(range(len(GATES) + 1))


def test_training_moves_the_head_and_never_the_meter(tmp_path: Path) -> None:
    trained, data = meter(), loop_tests.data(RECIPE)
    before = new_run(RECIPE, meter=trained).model.state_dict()
    made = train(data, RECIPE, tmp_path, loop_tests.quiet, meter=trained)
    assert isinstance(made.policy, MeterPolicy)
    assert made.policy.meter.state_dict().keys() == Meter(trained).state_dict().keys()
    for name, value in Meter(trained).state_dict().items():
        assert torch.equal(made.policy.meter.state_dict()[name], value), name
    for name, value in made.state_dict().items():
        if not name.startswith("policy.meter.") and not name.endswith("key.bias"):
            assert not torch.equal(value, before[name]), name
    # the state alone is enough to go on
    again = train(data, RECIPE, tmp_path, loop_tests.quiet)
    assert all(torch.equal(value, made.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_checkpoint_comes_back_and_starts_a_run(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "one.safetensors"
    save_checkpoint(model, path)
    loaded = load_checkpoint(path)
    assert isinstance(loaded, MeteredDsn) and loaded.config == SMALL
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    started = new_run(RECIPE, start=path).model
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in started.state_dict().items())
    assert read_meter(None, RECIPE, path) is None
    loaded.shift_logits(1.5)
    with torch.no_grad():
        frames = changing_level(BINS)
        torch.testing.assert_close(loaded(frames).logits, model(frames).logits + 1.5)


def test_a_gru_policy_is_no_start_for_a_meters_head(tmp_path: Path) -> None:
    plain, config = Dsn(replace(loop_tests.SMALL, policy_hidden=6)), replace(RECIPE, model=SMALL)
    save_checkpoint(plain, tmp_path / "plain.safetensors")
    started = new_run(config, start=tmp_path / "plain.safetensors").model.state_dict()
    for name, value in plain.state_dict().items():
        assert name != "policy.head.weight" or not torch.equal(started[name], value)
        assert name.startswith("policy.") or torch.equal(started[name], value)


def test_what_can_be_no_meter_is_refused(tmp_path: Path) -> None:
    def refused(path: Path | None, recipe: Recipe = RECIPE, start: Path | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            read_meter(path, recipe, start)
        return str(caught.value)

    paths = {name: tmp_path / f"{name}.safetensors" for name in ("plain", "voice", "wide", "float", "fits")}
    save_checkpoint(Dsn(loop_tests.SMALL), paths["plain"])
    save_checkpoint(SequenceNet(SequenceConfig()), paths["voice"])
    save_checkpoint(Predictor(replace(SMALL.meter, channels=9)), paths["wide"])
    save_checkpoint(Predictor(replace(SMALL.meter, binary=False)), paths["float"])
    save_checkpoint(meter(), paths["fits"])
    needed = 'a network of kind "metered" needs its meter (give --meter, a checkpoint of speech-quality)'
    assert refused(None) == refused(None, start=paths["plain"]) == needed
    for name in ("plain", "voice"):
        assert refused(paths[name]) == f"{paths[name]}: is no meter (must be a checkpoint of speech-quality)"
    for name, wrong in (("wide", "channels is 9 (must be 8"), ("float", "binary is False (must be True")):
        assert refused(paths[name]) == f"{paths[name]}: the meter's {wrong} for this network)"
    plain = loop_tests.RECIPE
    assert read_meter(None, plain, None) is None and isinstance(
        read_meter(paths["fits"], RECIPE, None), Predictor
    )
    assert refused(paths["fits"], plain) == (
        'only a network of kind "metered" has a meter (leave out --meter)'
    )
    with pytest.raises(ConfigError) as caught:
        decide_by(Dsn(loop_tests.SMALL), meter(), RATED)
    assert str(caught.value) == "this network has no meter (must be of kind metered)"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, bins=128)
    assert str(caught.value) == "MeteredConfig.bins is 128 (must be 256, which the meter hears)"
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, meter_seconds=0.0)
    assert str(caught.value) == "PredictorConfig.seconds is 0.0 (must be from 0.016 to 60)"
    with pytest.raises(ConfigError) as caught:
        replace(RECIPE, guidance=replace(RATED, hint=1.0))
    assert str(caught.value) == ("a meter needs no hint, it was trained before (set hint = 0 in [guidance])")
    assert replace(RECIPE, train=replace(RECIPE.train, policy_rate=0.0)).metered
