"""Where torch runs here, and what this CPU multiplies well, for float32 and for bfloat16.

Decided from its capability and vendor, never from a timing: the same seed then gives the same numbers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch

#: Who multiplies float32 matrices on a CPU: oneDNN, which torch itself takes only in convolutions and
#: compiled code, or torch's own way (MKL, where it is built with it).
Library = Literal["onednn", "torch"]
#: The setting `products`: one of these, or auto, what suits the CPU.
LibraryOrAuto = Literal["onednn", "torch", "auto"]

_CPUINFO = Path("/proc/cpuinfo")


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
