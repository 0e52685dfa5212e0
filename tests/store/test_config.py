"""The config in force, and configs that are no configs: one line from every command that reads them."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from her_exp import evaluate
from her_exp.run import rerun, resume
from her_exp.store.folder import check_same, config_begun, config_of, status_of
from her_exp.types import UserError
from tests.store.trust_kit import WAYS, Way, change_config

BOMBS = {
    "aliases": "a: &a [1, 1]\n"
    + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrstuv")),
    "itself": "a: &a\n  b: *a\n",
    "5,000 levels": "".join(" " * n + "a:\n" for n in range(5000)),
    "more than a megabyte": "a: " + "x" * 1_100_000,
    "a python object": "seed: !!python/object/apply:os.system [ls]",
    "a timestamp": "seed: !!timestamp 2001-99-99",
    "5,000 digits": f"seed: {'9' * 5000}",
    "a list": "- 1",
    "two documents": "a: 1\n---\nb: 2",
}


@WAYS
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_one_line(bomb: str, way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    (folder / "config.yaml").write_text(BOMBS[bomb])
    with pytest.raises(UserError, match=r"config\.yaml: cannot be read \(") as refused:
        way(folder)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


GONE = object()
ODD: dict[str, tuple[str, Any]] = {
    "products: 3": ("products", 3),
    "device: list": ("device", ["cpu"]),
    "env: list": ("env", [1]),
    "agent: gone": ("agent", GONE),
    "seed: float": ("seed", 1e300),
    "interpolation": ("device", "${oc.env:SECRET}"),
    "a key in a key": ("x", {"${oc.env:SECRET}": 1}),
}


@WAYS
@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_one_line(
    odd: str, way: Way, stranger_run: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    folder, _ = stranger_run
    key, value = ODD[odd]
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {key: value}
    kept = {key: value for key, value in config.items() if value is not GONE}
    (folder / "config.yaml").write_text(yaml.safe_dump(kept))
    with pytest.raises(UserError) as refused:
        way(folder)
    assert "hunter2" not in str(refused.value)


@WAYS
def test_a_folder_of_the_older_layout(way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    change_config(folder, {"trainer._target_": "her_exp.trainer.Trainer"})
    with pytest.raises(UserError, match=r"of an older layout of her_exp.*run it anew from the"):
        way(folder)


def test_one_config_is_in_force(stranger_run: tuple[Path, Path]) -> None:
    """After a change on the way, all that read it read the same; the first is kept."""
    folder, _ = stranger_run
    first = config_of(folder)
    resume(folder, ["trainer.total_steps=160"])
    resume(folder, ["trainer.total_steps=200", "trainer.eval_episodes=3"])
    now = config_of(folder)
    assert (now["trainer"]["total_steps"], now["trainer"]["eval_episodes"]) == (200, 3)
    assert config_begun(folder) == first
    cfg, _ = rerun(folder, [], [], None)
    assert cfg.trainer.total_steps == 200
    assert evaluate.restore(folder)[0].trainer.total_steps == 200
    pytest.importorskip("plotly")
    from her_exp.reporting.runs import read

    assert read(folder).settings["trainer.total_steps"] == 200
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint yet"):
        resume(folder, ["trainer.total_steps=300"])
    assert config_of(folder) == now  # a refusal changes nothing


def test_the_same_experiment(stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    cfg = OmegaConf.create(config_of(folder))
    check_same(folder, cfg)
    cfg.device, cfg.trainer.progress, cfg.sweep = "auto", False, "other"
    check_same(folder, cfg)
    resume(folder, ["trainer.total_steps=160"])
    check_same(folder, cfg)  # it is what it began as that counts
    cfg.seed = 5
    with pytest.raises(UserError, match="holds another experiment, of seed=0; this job has seed=5"):
        check_same(folder, cfg)
    cfg.seed, cfg.env.more = 0, 1
    with pytest.raises(UserError, match=r"of env\.more=nothing; this job has env\.more=1"):
        check_same(folder, cfg)


@pytest.mark.parametrize(
    "text",
    ["", "7", "{", "[1]", '{"status": ["done"]}', "{" * 100_000, '{"status": "done\\u001b[31m"}',
     '{"status": "done", "a": ' + "1" * 30 + "}", '{"status": "done", "a": ' + "[" * 40 + "]" * 40 + "}"],
)  # fmt: skip
def test_a_status_is_known_or_there_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    assert status_of(tmp_path) == "killed"
