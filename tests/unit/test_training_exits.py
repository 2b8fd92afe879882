"""Training of exits: the losses, the frozen parts, and that nothing changes without the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quant.errors import ConfigError
from tests.unit import test_training_loop as loop_tests
from tinydsn.models.nsnet2 import NsNet2, NsNet2Config
from tinydsn.nn import Gating
from tinydsn.training.data import Batch
from tinydsn.training.exits import ExitOptions, worsening
from tinydsn.training.guidance import Guidance
from tinydsn.training.loop import clip_losses, train, train_step, validate
from tinydsn.training.recipe import Recipe, TrainOptions, read_recipe
from tinydsn.training.run import new_run
from tinydsn.training.schedule import GateSchedule

SMALL = NsNet2Config(hidden=12, wide=10, policy_hidden=5)
RECIPE = Recipe(
    model=SMALL,
    mix=loop_tests.RECIPE.mix,
    guidance=Guidance(kind="constant", constant=0.5),
    train=TrainOptions(batch=2, hours=loop_tests.hours(4, 2), windows=(512,), average=0.5),
    exits=ExitOptions(weight=1.0),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinydsn.training.data.VALID_MIXTURES", 2)


def test_worsening_blames_the_later_exit_only() -> None:
    losses = torch.tensor([[3.0, 2.0, 2.5, 1.0], [1.0, 1.5, 2.0, 2.0]], requires_grad=True)
    worse = worsening(losses)
    assert worse.tolist() == [0.5, 1.0]
    worse.sum().backward()
    assert losses.grad.tolist() == [[0, 0, 1, 0], [0, 1, 1, 0]]


def test_an_exit_has_the_loss_of_the_output_that_leaves_there() -> None:
    run, batch = new_run(RECIPE), loop_tests.data(RECIPE).valid
    with torch.no_grad():
        exits = clip_losses(run.model, run.hint, batch, RECIPE, Gating())
        for depth in range(4):
            gating = Gating(forced=(torch.arange(3) < depth).float())
            alone = clip_losses(run.model, run.hint, batch, replace(RECIPE, exits=ExitOptions()), gating)
            assert "exits" not in alone
            assert torch.allclose(exits["exit_speech"][:, depth], alone["speech"], rtol=1e-4)


def test_each_weight_adds_its_part_to_the_gradient() -> None:
    def gradient(exits: ExitOptions) -> torch.Tensor:
        recipe = replace(RECIPE, exits=exits, gates=GateSchedule(open=1.0))
        run = new_run(recipe)
        train_step(run, loop_tests.data(recipe).batch(0), recipe, 0.0)
        return run.model.gru1.output.weight.grad.clone()

    found = [gradient(ExitOptions(*weights)) for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 5.0))]
    assert not torch.allclose(found[0], found[1]) and not torch.allclose(found[0], found[2])


def test_a_run_with_exits_learns_and_logs_them(tmp_path: Path) -> None:
    recipe = replace(RECIPE, train=replace(RECIPE.train, hours=loop_tests.hours(24, 2), rate=1e-2))
    before = validate(new_run(recipe), loop_tests.data(recipe), recipe)["exits"]
    train(loop_tests.data(recipe), recipe, tmp_path, loop_tests.quiet)
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert len(before) == 4 and len(entry["exits_worse"]) == 3
    assert all(last < first for first, last in zip(before, entry["exits"], strict=True))


def test_only_heads_learn(tmp_path: Path) -> None:
    recipe = replace(
        RECIPE,
        exits=ExitOptions(weight=1.0, monotone=50.0, only_heads=True),
        guidance=Guidance(kind="none"),
        gates=GateSchedule(open=0.0, noise_fade=-1.0, noise_end=0.0),
    )
    before = {name: value.clone() for name, value in new_run(recipe).model.named_parameters()}
    after = dict(train(loop_tests.data(recipe), recipe, tmp_path, loop_tests.quiet).named_parameters())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith(NsNet2.heads)}


def test_heads_mend_an_exit_that_is_worse_than_the_one_before() -> None:
    recipe = replace(
        RECIPE,
        exits=ExitOptions(monotone=50.0, only_heads=True),
        guidance=Guidance(kind="none"),
        train=replace(RECIPE.train, rate=5e-3, warmup=0.01),
    )
    run, clean = new_run(recipe), loop_tests.data(recipe).batch(0).target
    with torch.no_grad():  # nothing is to be done, and the late layers do something
        run.model.mask.bias.fill_(3.0)
        run.model.late.block.second.weight.normal_(0, 5, generator=torch.Generator().manual_seed(0))
    found = [train_step(run, Batch(clean, clean, torch.zeros(2)), recipe, 0.1)["monotone"] for _ in range(25)]
    assert found[0] > 0.01 and found[-1] < 0.2 * found[0], found


def test_a_killed_run_of_heads_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    recipe = replace(
        RECIPE, exits=ExitOptions(monotone=50.0, only_heads=True), guidance=Guidance(kind="none")
    )
    whole = train(loop_tests.data(recipe), recipe, tmp_path / "whole", loop_tests.quiet)
    resumed = loop_tests.train_in_two(recipe, tmp_path / "cut")
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())


def test_a_recipe_without_exits_says_nothing_of_them() -> None:
    assert "exits" not in loop_tests.RECIPE.as_dict()
    exits = {"weight": 1.0, "monotone": 0.0, "only_heads": False, "windows": (512,)}
    assert RECIPE.as_dict()["exits"] == exits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[exits]\nweight = 1.0\n", 'a network of kind "dsn" has no exits (leave out [exits])'),
        (
            '[model]\nkind = "nsnet2"\n[exits]\nonly_heads = true\n',
            'training of heads alone keeps the gates as they are (set kind = "none" in [guidance])',
        ),
        (
            '[model]\nkind = "nsnet2"\n[guidance]\nkind = "none"\n[exits]\nweight = 1.0\n'
            '[quantization]\nprecision = "w4a16"\n',
            "fine-tuning for integers trains no exits (leave out [exits])",
        ),
    ],
)
def test_bad_recipes(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text if "[guidance]" in text else text + '[guidance]\nkind = "snr"\n')
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert str(caught.value) == f"{path}: {expected}"
