"""Which runs of a report are one group, which groups its figures show, and what explains a setting."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.reporting.report_kit import Rows, make_run, sweep, table

for name in ("plotly", "matplotlib"):
    pytest.importorskip(name)

from her_exp import CONF_DIR  # noqa: E402
from her_exp.config.compose import compose  # noqa: E402
from her_exp.report import report  # noqa: E402
from her_exp.reporting import runs as reading  # noqa: E402
from her_exp.reporting.draw import PALETTE  # noqa: E402
from her_exp.reporting.explanations import comments_of, explain  # noqa: E402


def groups_in(root: Path) -> dict[str, int]:
    report(str(root))
    return {row["group"]: int(row["seeds"]) for row in table(root / "report" / "final.csv")}


@pytest.mark.usefixtures("no_png")
def test_a_group_is_equal_settings_however_they_were_spelled(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 1, overrides=["sweep=other", "trainer.progress=false", "agent=ddpg"])
    make_run(tmp_path / "s/c", 2, overrides=["agent.gamma=0.9800", "trainer.picture=false"])
    assert groups_in(tmp_path / "s") == {"point_reach, ddpg": 3}


@pytest.mark.usefixtures("no_png")
def test_another_env_or_agent_is_another_group(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 0, overrides=["agent=td3"])
    make_run(tmp_path / "s/c", 0, overrides=["env=nav2d"])
    make_run(tmp_path / "s/d", 0, overrides=["env=nav2d", "agent.gamma=0.9"])
    assert groups_in(tmp_path / "s") == {
        "nav2d, ddpg, agent.gamma=0.9": 1, "nav2d, ddpg, agent.gamma=0.98": 1,
        "point_reach, ddpg": 1, "point_reach, td3": 1,
    }  # fmt: skip
    compared = table(tmp_path / "s/report/improvement.csv")
    assert len(compared) == 2  # of the same task only
    assert {row["low"] for row in compared} == {""}  # one seed each


@pytest.mark.usefixtures("no_png")
def test_a_seed_that_ran_twice_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    make_run(tmp_path / "s/b", 0)
    make_run(tmp_path / "s/c", 1)
    assert groups_in(tmp_path / "s") == {"point_reach, ddpg": 2}
    rows = {Path(row["folder"]).name: row for row in table(tmp_path / "s/report/runs.csv")}
    assert [rows[name]["counted"] for name in "abc"] == ["True", "False", "True"]
    assert "same settings and seed as a" in rows["b"]["warnings"]


@pytest.mark.usefixtures("no_png")
def test_a_run_that_was_lengthened_is_another_group(tmp_path: Path) -> None:
    make_run(tmp_path / "s/a", 0)
    config = make_run(tmp_path / "s/b", 0) / "config.yaml"  # the one in force
    config.write_text(config.read_text().replace("total_steps: 6000", "total_steps: 9000"))
    labels = {"trainer.total_steps=6000": 1, "trainer.total_steps=9000": 1}
    assert groups_in(tmp_path / "s") == labels


@pytest.mark.usefixtures("no_png")
def test_values_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=(10, 9, 1), seeds=1)
    assert list(groups_in(tmp_path / "s")) == ["buffer.k=1", "buffer.k=9", "buffer.k=10"]


@pytest.mark.usefixtures("no_png")
def test_figures_show_the_best_of_each_task(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=range(9), seeds=1)
    low: Rows = [(100, "eval/success_final", 0.0)]
    for k in (0, 1):
        make_run(tmp_path / f"s/other{k}", 0, k, overrides=["env=nav2d"], rows=low)
    assert len(groups_in(tmp_path / "s")) == 11
    shown = {row["group"] for row in table(tmp_path / "s/report/success_steps.csv")}
    assert len(shown) == 8
    assert {one for one in shown if one.startswith("nav2d")} == {
        "nav2d, buffer.k=0",
        "nav2d, buffer.k=1",
    }


@pytest.mark.usefixtures("no_png")
def test_figures_show_the_eight_best_of_many_groups(tmp_path: Path) -> None:
    sweep(tmp_path / "s", ks=range(10), seeds=1)
    assert len(groups_in(tmp_path / "s")) == 10
    shown = {row["group"] for row in table(tmp_path / "s/report/success_steps.csv")}
    scores = {row["group"]: float(row["iqm"]) for row in table(tmp_path / "s/report/final.csv")}
    assert len(shown) == 8
    assert min(scores[one] for one in shown) >= max(scores[one] for one in scores.keys() - shown)
    assert "Figures show the 8 best of 10 groups" in (tmp_path / "s/report/index.html").read_text()


@pytest.mark.parametrize("name", ["final", "success_steps", "profile"])
def test_a_png_has_the_colours_of_the_page(name: str, tmp_path: Path) -> None:
    report(str(sweep(tmp_path / "s", ks=(0, 4, 8), seeds=2)))
    with Image.open(tmp_path / "s/report" / f"{name}.png") as image:
        there = {color for _, color in image.convert("RGB").getcolors(1 << 24)}
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in PALETTE[:6]]  # the seventh is grey
    assert [colour in there for colour in colours] == [True] * 3 + [False] * 3


def test_settings_are_explained_by_the_files_of_conf() -> None:
    for asked in ([], ["experiment=bit_flip"], ["env=nav2d", "agent=sac"]):
        settings = reading.flatten(OmegaConf.to_container(compose(asked), resolve=True))  # type: ignore[arg-type]
        texts = explain(settings)
        silent = {key for key in settings if key not in texts and not key.endswith("_target_")}
        assert {key for key in silent if not key.startswith("score")} == set()
        for key, text in texts.items():
            group, _, name = key.rpartition(".")
            files = [CONF_DIR / "config.yaml", *(CONF_DIR / group).rglob("*.yaml")]
            assert any(comments_of(path).get(name) == text for path in files), key
    sac = comments_of(CONF_DIR / "agent" / "sac.yaml")
    assert sac["target_critics"].endswith("2 of 10); null: as said above")  # over two lines
    assert sac["actor_lr"] == "Adam"


def test_explanations_know_what_a_hash_in_a_value_is(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        'a: "#1 # no"  # yes\nb: 2\nc:\n  d: [1, "# no"]   # deep\n  e:   # none\n    f: 1\n# g\n'
    )
    assert comments_of(path) == {"a": "yes", "c.d": "deep"}
