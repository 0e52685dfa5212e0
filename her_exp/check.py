"""Says in words what is wrong with an environment as a goal env, and what to change.

python -m her_exp.check                                                    # the default env
python -m her_exp.check env=nav2d env.max_steps=100
python -m her_exp.check env=fetch_push
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
    from her_exp.envs.doctor.findings import Finding
    from her_exp.envs.make import GoalTask

log = logging.getLogger(__name__)

USAGE = f"""usage: her-check [env=...] [env.<argument>=...]   (or python -m her_exp.check)

{__doc__}
Takes the overrides of her-train; only those of env count. Exit status: 0 no error was found,
1 an error was found, 2 the env could not be made."""

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
    try:
        task: GoalTask = instantiate(cfg.env)
    except InstantiationException as error:
        # Hydra wraps what a constructor raises; the words for the user are the cause's.
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())
        raise UserError(reason if isinstance(cause, UserError) else f"env: {reason}") from error
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
        refuse_slips(arguments, NAMES, compose, flags=flags())
        findings = check(arguments)
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
