"""What a command itself names is trusted when it goes on with a run; what a folder alone names is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.run import request, train
from her_exp.types import UserError
from tests.runs.runs_kit import checkpoints, result_of
from tests.store.trust_kit import TINY, change_config, go_on

pytestmark = pytest.mark.usefixtures("own_logging")

BY_ID = ["env=gym", "env.reward_range=[-1,0]", "+env.max_steps=5"]
#: The words of a run that name a package of its owner's.
NAMING = {
    "imports": [*BY_ID, "env.id=mine/Reach-v0", "env.imports=[ourmod]"],
    "an agent": ["agent._target_=ourmod.MyDDPG"],
    "a strategy": ["buffer.strategy={_target_: ourmod.Newest, offset: 1}"],
}


def run_of(folder: Path, naming: str) -> list[str]:
    """Leave a run with these words, stopped half-way; returns its words."""
    tiny = [word for word in TINY if not (word.startswith("env.") and "env=gym" in NAMING[naming])]
    words = [*tiny, *NAMING[naming]]
    train(compose(words), folder, words)
    checkpoints(folder)[-1].unlink()
    stopped = result_of(folder) | {"status": "stopped"}
    (folder / "result.json").write_text(json.dumps(stopped))
    return words


@pytest.mark.parametrize("naming", NAMING)
def test_the_same_words_go_on_and_are_needed(
    naming: str, stranger_run: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder with nothing beside it is a stranger's, also where it says what was typed for it."""
    folder = stranger_run[0].with_name("mine")
    words, auto = run_of(folder, naming), ["resume=auto", f"run_dir={folder}"]
    for argv in ([f"resume={folder}"], auto, [*auto, *TINY]):
        with pytest.raises(SystemExit):
            go_on(*argv)
        assert "trust=[ourmod]" in capfd.readouterr().err.splitlines()[-1]
    assert result_of(folder)["status"] == "stopped"
    with pytest.raises(UserError, match=r"trust=\[ourmod\]"):
        go_on(f"rerun={folder}", "seed=7")
    assert go_on(*auto, *words)
    assert result_of(folder)["status"] == "done"
    assert go_on(f"resume={folder}", *words, "trainer.total_steps=130")
    assert result_of(folder)["env_steps"] >= 130
    if "env=gym" not in NAMING[naming]:  # also where the run did not name the package itself
        assert go_on(f"rerun={stranger_run[0]}", "run_dir=again", NAMING[naming][-1], "seed=7")
        assert result_of(Path("again"))["status"] == "done"


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_without_a_checkpoint_starts_over(
    status: str, stranger_run: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """From the command's own words: what lies in the folder is not read, and that is said."""
    folder, canary = stranger_run[0].with_name("mine"), stranger_run[1]
    words = run_of(folder, "imports")
    for path in checkpoints(folder):
        path.unlink()
    (folder / "result.json").write_text(json.dumps({"status": status}))
    change_config(folder, {"env.imports": ["evilmod"]})
    assert not go_on("resume=auto", f"run_dir={folder}", *words)
    assert not canary.exists()
    assert f"{folder}: has no checkpoint; the run starts anew" in caplog.text
    assert not (folder / "metrics.csv").exists()


def test_the_packages_that_words_name() -> None:
    def trusted(*words: str) -> list[str]:
        asked = request(["resume=auto", "run_dir=run", *words])
        assert asked is not None
        return asked.trust

    # Also those that a file of conf/ names which the command chooses.
    assert trusted("experiment=zoo/parking_tqc") == ["highway_env"]
    assert trusted("experiment=nav2d", "agent=dqn", "buffer.k=3") == []
    assert trusted("trust=[one]", "env.imports=[two.envs, three]") == ["one", "three", "two"]
    assert trusted("env.id=mine.envs:Reach-v0") == ["mine"]
    assert trusted("agent._target_=her_exp.agents.ddpg.DDPG", "env.name='evil:x'") == []
    # What is written wrong, or makes no run, is said where it is applied.
    assert trusted("agent._target_=a.A,b.B", "agent._target_", "~agent._target_", "=[") == []
