"""Composition: the shipped files, the names of folders, errors in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from her_exp.config.compose import compose, composer
from her_exp.config.hydra_api import FOLDER_LENGTH, job_name, path_safe
from her_exp.types import UserError


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("buffer.k=8,seed=1", "buffer.k=8,seed=1"),
        ("her_exp/PointReach-v0", "her_exp_PointReach-v0"),
        ("../../etc", "etc"),
        ("a b\n*?'c'", "a_b_c_"),
        ("-rf", "rf"),
        ("käse", "k_se"),
        ("", "_"),
    ],
)
def test_path_safe(text: object, safe: str) -> None:
    assert path_safe(text) == safe


def test_job_name_is_short_and_tells_configs_apart() -> None:
    cfg = compose()
    long = job_name("k=" + "x" * 500, _root_=cfg)
    assert len(long) == FOLDER_LENGTH
    assert re.fullmatch(r"k=x+_[0-9a-f]{6}", long)
    assert long == job_name("k=" + "x" * 500, _root_=cfg)
    assert long[-6:] != job_name("k=", _root_=compose(["seed=1"]))[-6:]
    assert job_name("", _root_=cfg).startswith("default_")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_size=8", "did you mean trainer.batch_size?"),
        ("trainer.gamma=1", "did you mean agent.gamma?"),
        ("~buffer.kk", "did you mean buffer.k?"),
        ("envv=nav2d", "did you mean env?"),
        ("+buffer.k=1", "+buffer.k=1: buffer.k exists; write it without the plus: buffer.k=1"),
        ("+env=nav2d", "write it without the plus: env=nav2d"),
        ("env@x=nav2d", "unknown key env@x: did you mean env?"),
        ("qwertz=1", "--cfg job"),
        ("buffer=null", "buffer=null: give one of hindsight"),
        ("~env", "env is not set; give env=..., one of ant_maze, bit_flip, fetch"),
        ("=3", "no key"),
        ("=", "=: no key; write key=value"),
        ("agent='a", "the value cannot be read"),
        ("env.name=${nope}", "env.name: Interpolation key 'nope' not found"),
        ("hydra.sweeep.dir=x", "did you mean hydra.sweep.dir?"),
        ("hydra.job.num=x", "hydra.job.num=x: Value 'x'"),
    ],
)
def test_composition_errors_are_one_line(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        compose([override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "mine.yaml").write_text("a: [1")
    with composer(extra_dir=str(tmp_path)) as hydra, pytest.raises(UserError, match=r"mine\.yaml"):
        hydra.raw(["agent=mine"])
