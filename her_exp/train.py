"""Trains an agent: configuration to objects to `Trainer.fit()` to one number.

python -m her_exp.train                          # the default experiment
python -m her_exp.train buffer.k=8 seed=3        # with other settings
python -m her_exp.train -m buffer.k=0,4,8        # a sweep
python -m her_exp.train --help                   # all settings
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from her_exp.config import CONF_DIR, CONFIG_NAME
from her_exp.hints import one_line
from her_exp.preflight import BASIC_SWEEPER, preflight
from her_exp.types import UserError

log = logging.getLogger(__name__)

#: In a sweep's folder: a line for each job that failed, written by the job's own process.
FAILED = "failed.log"


def train(cfg: DictConfig, folder: Path, overrides: Sequence[str] = ()) -> float:
    """Run one experiment and return its final success rate.

    Args:
        cfg: a composed and validated configuration; `auto` values are written back resolved.
        folder: the run's folder, made if it does not exist.
        overrides: what was asked on the command line, for the folder's own record.
    """
    import torch

    from her_exp.build import make_trainer
    from her_exp.run_folder import RunFolder

    torch.set_num_threads(cfg.threads)
    # Numbers below 1e-38 cost a hundred times the others and mean nothing here.
    torch.set_flush_denormal(True)
    with RunFolder(folder) as run:
        run.write_story(cfg, list(overrides))
        try:
            trainer = make_trainer(cfg, run.path)
        except Exception as error:
            run.write_failure(error)
            raise
        run.write_config(cfg)  # now with what every `auto` stands for
        return trainer.fit()


def main() -> None:
    """Check the command line, then run what it asks for through Hydra."""
    try:
        plan = preflight(sys.argv[1:])
    except UserError as error:
        _exit(str(error).splitlines(), 2)
    sys.argv[1:] = plan.argv
    failed = plan.sweep_dir / FAILED if plan.sweep_dir else None
    before = _lines(failed)
    status: str | int | None = 0
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=CONFIG_NAME)(_job)()
    except SystemExit as stop:
        status = stop.code
    except KeyboardInterrupt:
        _exit(["interrupted"], 130)
    news = _lines(failed)[len(before) :]
    if news:
        _exit([*news, f"{len(news)} of the sweep's jobs failed, see its run.log"], 1)
    if plan.sweep_dir is not None and status == 0:
        print(plan.sweep_dir)
    sys.exit(status)


def _exit(lines: Sequence[str], status: int) -> NoReturn:
    for line in lines:
        print(f"her_exp: error: {line}", file=sys.stderr)
    sys.exit(status)


def _lines(path: Path | None) -> list[str]:
    return path.read_text().splitlines() if path and path.exists() else []


def _job(cfg: DictConfig) -> float:
    """Run one job under Hydra, in whatever process its launcher chose."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    sweeping = settings.mode == RunMode.MULTIRUN
    try:
        success = train(cfg, folder, list(settings.overrides.task))
    except UserError as error:
        line = one_line(str(error))
        log.error("her_exp: error: %s", line)
        if not sweeping:
            sys.exit(1)
        return _failed(error, line)
    except Exception as error:
        if not sweeping:
            raise
        log.error("%s", traceback.format_exc().rstrip())
        return _failed(error, f"{type(error).__name__}: {one_line(str(error))}")
    print(folder, flush=True)
    return success


def _failed(error: Exception, line: str) -> float:
    """Note a sweep job's failure where the command finds it at the end, and let the others run."""
    settings = HydraConfig.get()
    sweep_dir = Path(settings.runtime.cwd, settings.sweep.dir)
    with (sweep_dir / FAILED).open("a") as file:
        file.write(f"{settings.runtime.output_dir}: {line}\n")
    if settings.sweeper._target_ != BASIC_SWEEPER:
        raise error  # an optimising sweeper must know that there is no result
    return math.nan


if __name__ == "__main__":
    # Under its own name the job can be pickled for the processes of a launcher.
    from her_exp.train import main as run

    run()
