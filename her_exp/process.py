"""What a training process asks of torch and of its allocator, for the whole process."""

from __future__ import annotations

import ctypes
import sys

import torch

from her_exp.system.machine import Library, LibraryOrAuto, choose_library

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def prepare_process(threads: int, products: LibraryOrAuto = "auto") -> Library:
    """Set torch's threads, flush numbers that mean nothing, and keep freed memory.

    Args:
        threads: of torch.
        products: who multiplies float32 matrices on the CPU.

    Returns:
        What `products` stands for here.
    """
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
