"""Says in words what is wrong with an environment as a goal env, and what to change.

python -m her_exp.check                                                    # the default env
python -m her_exp.check env=nav2d env.max_steps=100
python -m her_exp.check env=fetch_push
python -m her_exp.check data=mine/reach-v0 env=point_reach                # a Minari set, by that env
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from her_exp.config.compose import compose
from her_exp.config.slips import flags, refuse_slips
from her_exp.config.validate import NAMES
from her_exp.text import tell_error
from her_exp.types import UserError

if TYPE_CHECKING:  # what stands behind it imports torch, which --help need not
    from omegaconf import DictConfig

    from her_exp.envs.doctor.findings import Finding
    from her_exp.envs.make import GoalTask

log = logging.getLogger(__name__)

USAGE = f"""usage: her-check [data=...] [env=...] [env.<argument>=...]   (or python -m her_exp.check)

{__doc__}
Takes the overrides of her-train; only those of env and buffer.info_keys count. Exit status: 0 no error was
found, 1 an error was found, 2 the env could not be made, or the set is none of it."""

_MARKS = {"ok": "ok", "warning": "warning", "error": "ERROR"}


def check(overrides: Sequence[str]) -> list[Finding]:
    """Check the env of a configuration.

    Args:
        overrides: as on the command line, e.g. `["env=nav2d"]`.

    Raises:
        UserError: the overrides do not compose, or there is no such env.
    """
    from her_exp.envs.doctor.checker import Finding, check_goal_env

    cfg = compose(list(overrides))
    task = _task(cfg).collecting
    try:
        task.make_single().close()
    except UserError:  # a wrong argument, and no fault of the env
        raise
    except Exception:
        log.debug("the env cannot be made, which the check will say", exc_info=True)
    found = check_goal_env(
        task.make_single, **task.declared, info_keys=cfg.buffer.get("info_keys") or ()
    )
    if any(finding.level == "error" for finding in found):
        return found
    try:
        task.make(1).close()
    except UserError as error:
        return [*found, Finding("error", "instances", str(error))]
    return found


def _task(cfg: DictConfig) -> GoalTask:
    """Make the task of a configuration; UserError in a line."""
    try:
        task: GoalTask = instantiate(cfg.env)
    except InstantiationException as error:
        # Hydra wraps what a constructor raises; the words for the user are the cause's.
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())
        raise UserError(reason if isinstance(cause, UserError) else f"env: {reason}") from error
    return task


def check_data(name: str, overrides: Sequence[str]) -> list[Finding]:
    """Say what is in a Minari set, and whether the env of a configuration agrees with it.

    Args:
        name: a folder or a Minari id.
        overrides: as on the command line; where none is given, the set is compared with no env.

    Raises:
        UserError: there is no such set here, or it is of another env.
    """
    from her_exp.data.look import look, size, too_long
    from her_exp.data.minari_set import MinariSet
    from her_exp.envs.doctor.findings import Finding

    found = MinariSet(name, "data")
    named = found.env_id or "no env"
    says = [Finding("ok", "set", size(found)), Finding("ok", "metadata", f"names {named}")]
    if not overrides:
        return [*says, Finding("ok", "env", "compared with none: give env=...")]
    cfg = compose(list(overrides))
    task, info_keys = _task(cfg), cfg.buffer.get("info_keys") or ()
    found.fits(task.spaces, task.id, info_keys)
    if line := too_long(found, task.episode_steps):
        says.append(Finding("warning", "length", line))
    functions = task.goal_functions(info_keys)
    try:
        return says + [Finding(*seen) for seen in look(found, task.spaces, functions, info_keys)]
    finally:
        functions.close()


def table(findings: Sequence[Finding], width: int) -> str:
    """Set findings in aligned columns of at most `width` characters."""
    first = max(len(_MARKS[finding.level]) for finding in findings)
    second = max(len(finding.what) for finding in findings)
    indent = first + second + 4
    lines: list[str] = []
    for level, what, says in findings:
        head = f"{_MARKS[level]:<{first}}  {what:<{second}}  "
        lines += textwrap.wrap(
            says,
            max(width, indent + 30),
            initial_indent=head,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the env that the command line names, print the findings, exit with 0, 1 or 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    try:
        words = [word for word in arguments if not word.startswith("data=")]
        sets = [word.removeprefix("data=") for word in arguments if word.startswith("data=")]
        refuse_slips(words, NAMES, compose, flags=flags())
        if len(sets) > 1 or "" in sets:
            raise UserError("data= names one set; give data=FOLDER, or its Minari id")
        findings = check_data(sets[0], words) if sets else check(words)
    except UserError as error:
        for line in str(error).splitlines():
            tell_error(line)
        sys.exit(2)
    print(table(findings, shutil.get_terminal_size((100, 24)).columns))
    count = {level: sum(finding.level == level for finding in findings) for level in _MARKS}
    print(f"\n{count['ok']} ok, {count['warning']} to know, {count['error']} wrong")
    sys.exit(1 if count["error"] else 0)


if __name__ == "__main__":
    main()
