"""Wrong command lines, as a user types them: one clear line, no folder, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports

CUDA = "device=cuda"
SHORT = [
    "trainer.total_steps=64", "trainer.learning_starts=16", "trainer.batch_size=8",
    "trainer.eval_episodes=2", "trainer.picture=false", "env.num_envs=2", "env.num_eval_envs=2",
    "agent.hidden_sizes=[8]",
]  # fmt: skip


@dataclass
class Outcome:
    status: int
    out: str
    err: str
    left: list[str]
    heavy: set[str]


def run(arguments: list[str], folder: Path, path: Path | None = None) -> Outcome:
    """Run the real command in an empty folder."""
    cwd = folder / "cwd"
    cwd.mkdir()
    places = [*([str(path)] if path else []), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in places if p)}
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        words = [sys.executable, *TELL_IMPORTS, "-m", "her_exp.train", *arguments]
        done = subprocess.run(words, cwd=cwd, env=env, stdout=out, stderr=err, check=False)
    heavy, said = heavy_imports((folder / "err").read_text())
    left = [str(p.relative_to(cwd)) for p in cwd.rglob("*")]
    return Outcome(done.returncode, (folder / "out").read_text(), said, left, heavy)


#: Name: (arguments, what the line must contain). `{blocked}` is a file where a folder should go.
CASES = {
    "unknown key": ("buffer.zzz=1", "unknown key buffer.zzz"),
    "near miss": ("buffer.kk=1", "unknown key buffer.kk: did you mean buffer.k?"),
    "env key near miss": ("env.max_stepz=3", "did you mean env.max_steps?"),
    "env key added": ("+env.max_stepz=3", "unknown key env.max_stepz: did you mean env.max_steps?"),
    "key added that nothing reads": ("+buffer.foo=1", "unknown key buffer.foo: buffer takes cap"),
    "wrong type": ("agent.gamma=high", "agent.gamma=high: must be a number"),
    "float for int": ("trainer.total_steps=1e5", "trainer.total_steps=100000.0", "write 100000"),
    "negative k": ("buffer.k=-1", "buffer.k=-1: must be >= 0"),
    "seed": ("seed=-1", "seed=-1: must be in [0, 4294967296)"),
    "threads": ("threads=0", "threads=0: must be in [1, 4096]"),
    "no cuda": (CUDA, "device=cuda: torch sees no CUDA device here; take device=cpu or auto"),
    "strategy": ("buffer.strategy=futur", "buffer.strategy=futur: must be one of", "future?"),
    "batch": ("buffer.capacity=99 trainer.batch_size=100", "at most buffer.capacity=99"),
    "never learns": ("trainer.learning_starts=6000", "less than trainer.total_steps=6000"),
    "dqn on a box": ("agent=dqn env=point_reach", "agent: DQN needs Discrete", "take agent=ddpg"),
    "ddpg on bits": ("agent=ddpg env=bit_flip", "agent: DDPG needs Box", "take agent=dqn"),
    "td3 on bits": ("agent=td3 env=bit_flip", "agent: TD3 needs Box", "take agent=dqn"),
    "qrdqn on a box": ("agent=qrdqn", "agent: QRDQN needs Discrete", "take agent=ddpg"),
    "another agent than the experiment's": (
        "experiment=bit_flip agent=sac",
        "agent=sac: does not take agent.lr and agent.epsilon_steps, which experiment=bit_flip sets",
        "leave out agent=sac or experiment=bit_flip",
    ),
    "the same in a sweep": (
        "-m experiment=bit_flip agent=sac,dqn",
        "job 0 (agent=sac): agent=sac: does not take agent.lr and agent.epsilon_steps",
    ),
    "more than all critics": (
        "agent=sac agent.target_critics=3",
        "agent.target_critics=3: must be at most agent.n_critics=2",
    ),
    "all quantiles dropped": (
        "agent=tqc agent.drop_quantiles=25",
        "agent.drop_quantiles=25: must be less than agent.n_quantiles=25",
    ),
    "a word for the temperature": (
        "agent=sac agent.entropy=atuo",
        "agent.entropy=atuo: must be a number or one of auto; did you mean auto?",
    ),
    "no such agent": (
        "agent=nope",
        "agent=nope: no such agent; there are ddpg, dqn, qrdqn, sac, td3, tqc",
    ),
    "no such env": ("env=pointreach", "no such env", "did you mean point_reach?"),
    "no such experiment": ("experiment=nope", "experiment=nope: no such experiment"),
    "no such launcher": (
        "-m seed=1,2 hydra/launcher=locl",
        "hydra/launcher=locl: no such launcher",
        "mean local?",
    ),
    "launcher without -m": ("hydra/launcher=local", "hydra/launcher=local: only a sweep", "add -m"),
    "sweep's name without -m": ("sweep=x", "sweep=x: names the folder of a sweep; add -m"),
    "job listed twice": ("-m seed=1,1", "seed=1: listed twice"),
    "key given twice": ("-m seed=1,2 buffer.k=1 buffer.k=2", "buffer.k is given 2 times; give it"),
    "no slurm here": (
        "-m seed=1,2 hydra/launcher=slurm",
        "hydra/launcher=slurm: sbatch and srun are",
    ),
    "too many threads": (
        "-m seed=1,2 hydra/launcher=local hydra.launcher.n_jobs=2 threads=999",
        "threads=999: 2 jobs",
    ),
    "more threads than cores of a job": (
        "-m seed=1,2 hydra/launcher=submitit hydra.launcher.cpus_per_task=2 threads=3",
        "threads=3: a job has hydra.launcher.cpus_per_task=2 cores",
    ),
    "no workers": (
        "-m seed=1,2 hydra/launcher=local hydra.launcher.n_jobs=0",
        "hydra.launcher.n_jobs=0: must be",
    ),
    "no trials": (
        "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trials=0",
        "hydra.sweeper.n_trials=0: must",
    ),
    "no such direction": (
        "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.direction=up",
        "direction=up: must be max",
    ),
    "an interval's other end": (
        "-m buffer.k=4 agent.gamma=interval(0.9,1.5) hydra/sweeper=optuna",
        "job 1 (agent.gamma=1.5): agent.gamma=1.5: must be in [0, 1)",
    ),
    "nothing to search": ("-m seed=1 hydra/sweeper=optuna", "nothing to search"),
    "no such setting of a launcher": (
        "-m seed=1,2 hydra/launcher=local hydra.launcher.n_job=2",
        "did you mean hydra.launcher.n_jobs?",
    ),
    "no id": ("env=gym", "env.id is not set; give env.id=..."),
    "no such id": ("env=gym env.id=CartPol-v1", "env.id=CartPol-v1: no such env", "CartPole-v1"),
    "no goal env": ("env=gym env.id=CartPole-v1", "no goal env", "python -m her_exp.check"),
    "no such import": ("env.imports=[no_such_module]", "env.imports", "no_such_module"),
    "no such package": ("agent._target_=no.such.Class", "agent._target_=no.such.Class: no module"),
    "a function": ("agent._target_=os.system", "must be a class, this is a function"),
    "grammar": ("buffer.k=[1", "buffer.k=[1: the value cannot be read"),
    "no value": ("buffer.k", "buffer.k: not an override; write key=value"),
    "sweep without -m": ("buffer.k=1,2", "buffer.k=1,2: several values; add -m"),
    "one job of a sweep": ("-m buffer.k=4,0,-1,8", "job 2 (buffer.k=-1): buffer.k=-1: must be"),
    "sweep over sweep": ("-m sweep=a,b", "sweep names the folder of all jobs"),
    "interval": ("-m agent.tau=interval(0,1)", "cannot be enumerated; list the values"),
    "flag": ("--bogus", "unrecognized arguments: --bogus"),
    "cfg": ("--cfg job buffer.kk=1", "did you mean buffer.k?"),
    "sweep file in the way": ("-m seed=1,2 hydra.sweep.dir={blocked}/x", "hydra.sweep.dir: cannot"),
    "file for a run": (
        "resume=auto run_dir={blocked}",
        "run_dir=/",
        "blocked: a file, no run folder",
    ),
    "unwritable": ("hydra.run.dir=/proc/her_exp", "hydra.run.dir: cannot write to /proc/her_exp"),
}
#: What is refused for its words alone, before the classes are looked at that would take the values.
BY_WORDS = {
    "near miss", "env key near miss", "no such agent", "no such env", "no such experiment",
    "no such launcher", "launcher without -m", "sweep's name without -m", "job listed twice",
    "key given twice", "no slurm here", "no workers", "no trials", "no such direction",
    "nothing to search", "no such setting of a launcher", "no id", "grammar", "no value",
    "sweep without -m", "sweep over sweep", "interval", "flag", "cfg", "file for a run",
}  # fmt: skip
#: What our classes import, which are asked for their arguments: all that a refusal may wait for.
OF_CLASSES = {"torch", "tensorboard", "PIL"}


class Ahead:
    """Runs the asked case and the one after it at a time: two cores, whatever is selected."""

    def __init__(self, root: Path):
        self.pool = ThreadPoolExecutor(2)
        self.root = root
        self.blocked = root / "blocked"
        self.blocked.write_text("a file")
        self.names = list(CASES)
        self.futures: dict[str, Future[Outcome]] = {}

    def start(self, index: int) -> Future[Outcome]:
        name = self.names[index % len(self.names)]
        if name not in self.futures:
            folder = self.root / str(index % len(self.names))
            folder.mkdir()
            words = CASES[name][0].format(blocked=self.blocked).split()
            self.futures[name] = self.pool.submit(run, words, folder)
        return self.futures[name]

    def outcome(self, name: str) -> Outcome:
        index = self.names.index(name)
        asked = self.start(index)
        self.start(index + 1)
        return asked.result()


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory):
    runner = Ahead(tmp_path_factory.mktemp("bad_input"))
    yield runner
    runner.pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_left_behind(name: str, ahead: Ahead) -> None:
    if CASES[name][0] == CUDA and os.path.exists("/dev/nvidia0"):
        pytest.skip("this machine has a GPU")
    outcome = ahead.outcome(name)
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("her_exp: error: ")
    for words in CASES[name][1:]:
        assert words in lines[0]
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.left == []
    optuna = {"optuna"} if "optuna" in CASES[name][0] else set()
    assert outcome.heavy <= optuna | (set() if name in BY_WORDS else OF_CLASSES)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    outcome = run(["buffer.k=-1", "agent.gamma=2", "trainer.learn_every=0"], tmp_path)
    assert [line.split()[2] for line in outcome.err.splitlines()] == [
        "buffer.k=-1:", "agent.gamma=2:", "trainer.learn_every=0:",
    ]  # fmt: skip


BROKEN = '''
from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError


class Broken(DDPG):
    """Refuses the second update, or crashes."""

    def __init__(self, crash: bool, **kwargs):
        super().__init__(**kwargs)
        self.crash = crash

    def update(self, batch):
        if self.crash:
            raise RuntimeError("the flux\\ndried up")
        raise UserError("no flux; fill it")
'''


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "package"
    path.mkdir()
    (path / "mine.py").write_text(BROKEN)
    return path


def test_a_user_error_within_a_run_is_one_line(tmp_path: Path, broken: Path) -> None:
    words = [*SHORT, "agent._target_=mine.Broken", "+agent.crash=false"]
    outcome = run(words, tmp_path, broken)
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1] == "her_exp: error: no flux; fill it"
    assert "Traceback" not in outcome.err


def test_a_failed_job_does_not_stop_the_sweep(tmp_path: Path, broken: Path) -> None:
    classes = "agent._target_=her_exp.agents.ddpg.DDPG,mine.Broken"
    missing = run(["-m", *SHORT, classes], tmp_path, broken)
    assert missing.status == 2
    assert "job 1 (agent._target_=mine.Broken): agent.crash is not set" in missing.err
    assert missing.left == []

    folder = tmp_path / "sweep"
    folder.mkdir()
    words = ["-m", "sweep=s", *SHORT, "agent._target_=mine.Broken", "+agent.crash=true,false"]
    outcome = run(words, folder, broken)
    assert outcome.status == 1
    *failed, summary = outcome.err.splitlines()[-3:]
    assert "2 of the sweep's jobs failed" in summary
    assert sum("RuntimeError: the flux dried up" in line for line in failed) == 1
    assert sum("no flux; fill it" in line for line in failed) == 1
    assert all(line.startswith("her_exp: error: ") for line in failed)


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    target = f"hydra.run.dir={tmp_path / 'mine'}"
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert run([*SHORT, target], first).status == 0
    outcome = run([*SHORT, target], second)
    assert outcome.status == 2
    assert "a run is in" in outcome.err
