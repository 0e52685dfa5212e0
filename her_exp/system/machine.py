"""This machine: cores, memory, where torch runs, and what the CPU multiplies well.

Products are decided from its capability and vendor, never from a timing: the same seed then gives the
same numbers. Torch is imported where it is asked, since `--help` needs none.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

#: Who multiplies float32 matrices on a CPU: oneDNN, which torch itself takes only in convolutions and
#: compiled code, or torch's own way (MKL, where it is built with it).
Library = Literal["onednn", "torch"]
#: The setting `products`: one of these, or auto, what suits the CPU.
LibraryOrAuto = Literal["onednn", "torch", "auto"]

_CPUINFO = Path("/proc/cpuinfo")
_GROUPS, _OURS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def cores() -> int:
    """Return how many cores this process may use: its affinity, and the limit of its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limit = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such limit, or "max"
        limit = usable or 1
    return max(1, min(usable or 1, limit))


def machine_bytes(groups: Path = _GROUPS, ours: Path = _OURS) -> int:
    """Return the memory of this machine, or what a container or a cluster's job may use of it.

    Args:
        groups: where control groups are mounted.
        ours: says which of them hold this process.
    """
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in ours.read_text().splitlines() if ours.is_file() else ():
        _, kinds, path = line.split(":", 2)
        # Version 2 has one tree for all, version 1 one for memory. A limit holds for all below it.
        top, name = (
            (groups / "memory", "memory.limit_in_bytes") if kinds else (groups, "memory.max")
        )
        if kinds and "memory" not in kinds.split(","):
            continue
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            limit = group / name
            text = limit.read_text().strip() if limit.is_file() else ""
            found += [int(text)] if text.isdigit() else []
            if group == top:
                break
    return min(found)


class Products(NamedTuple):
    """What suits a CPU."""

    float32: Library
    bfloat16: bool  #: it multiplies bfloat16 itself; where it does not, float32 is ten times faster


@cache
def products() -> Products:
    """Return what suits this CPU.

    MKL leaves AVX-512 unused on CPUs of AMD, where oneDNN is twice as fast; without AVX-512 oneDNN is
    the slower one, and its private products of bfloat16 do not exist. `ATEN_CPU_CAPABILITY=avx2` makes
    any CPU one without.
    """
    import torch

    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    able = torch.cpu.get_capabilities()
    low = wide and any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return Products("onednn" if wide and _vendor() == "AuthenticAMD" else "torch", low)


def _vendor() -> str:
    """Return the vendor as x86 CPUs of Linux tell it, else ''."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else ()
    return next((line.split()[-1] for line in lines if line.startswith("vendor_id")), "")


def resolve_device(name: str) -> str:
    """Return the device that `auto` stands for here."""
    if name == "auto":
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


_chosen: Library | None = None


def choose_library(name: LibraryOrAuto) -> Library:
    """Let this process multiply float32 by `name`, and return what `auto` stands for here.

    Raises:
        ValueError: for any other name.
    """
    global _chosen
    if name not in get_args(LibraryOrAuto):
        raise ValueError(f"products={name!r} must be one of {', '.join(get_args(LibraryOrAuto))}")
    _chosen = products().float32 if name == "auto" else name
    return _chosen


def library() -> Library:
    """Return who multiplies float32 in this process: what was chosen, else what suits the CPU."""
    return _chosen or products().float32


def prepare_process(threads: int, products: LibraryOrAuto = "auto") -> Library:
    """Set torch's threads, flush numbers that mean nothing, and keep freed memory.

    Args:
        threads: of torch.
        products: who multiplies float32 matrices on the CPU.

    Returns:
        What `products` stands for here.
    """
    import torch

    torch.set_num_threads(threads)
    # Numbers below 1e-38 cost a hundred times the others and mean nothing here.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    return choose_library(products)


def keep_freed_memory() -> None:
    """Let malloc keep what is freed (up to 1 GiB), where it is glibc's.

    It gives large tensors back to the system at once, which then clears their pages for the next:
    in updates of large batches that costs half as much again as the arithmetic.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**30)
        mallopt(_M_MMAP_THRESHOLD, 2**25)  # the largest that it takes
