"""Who multiplies on which CPU, what is said where one cannot, and how much memory there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from her_exp.agents.products import resolve_precision
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.evaluate import evaluate_run
from her_exp.run import resume, train
from her_exp.system.machine import choose_library, library, machine_bytes, products
from her_exp.types import UserError

AMD, INTEL = "AuthenticAMD", "GenuineIntel"
CPU, CUDA = torch.device("cpu"), torch.device("cuda")

On = Callable[..., None]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Iterator[On]:
    """Let this machine be one with such a CPU, as torch and /proc/cpuinfo tell it."""

    def let(vendor: str, capability: str, *able: str) -> None:
        read, told = Path.read_text, f"processor\t: 0\nvendor_id\t: {vendor}\n"

        def read_text(path: Path, *args: Any, **kwargs: Any) -> str:
            return told if path.name == "cpuinfo" else read(path, *args, **kwargs)

        monkeypatch.setattr(Path, "read_text", read_text)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(able, True))
        products.cache_clear()

    yield let
    products.cache_clear()


@pytest.fixture
def plain(on: On) -> None:
    """A CPU that does not multiply bfloat16."""
    on(AMD, "AVX2")


@pytest.mark.parametrize(
    ("vendor", "capability", "able", "wanted"),
    [
        (AMD, "AVX2", (), ("torch", False)),  # Zen 3
        (AMD, "AVX512", (), ("onednn", False)),
        (AMD, "AVX512", ("avx512_bf16",), ("onednn", True)),  # Zen 4, Zen 5
        (INTEL, "AVX512", (), ("torch", False)),
        (INTEL, "AVX512", ("amx_bf16", "avx512_bf16"), ("torch", True)),
        (AMD, "AVX2", ("avx512_bf16",), ("torch", False)),  # a newer one held to AVX2
    ],
)
def test_what_suits_a_cpu_follows_from_its_kind(
    vendor: str, capability: str, able: tuple[str, ...], wanted: tuple[str, bool], on: On
) -> None:
    on(vendor, capability, *able)
    assert products() == wanted
    assert choose_library("auto") == library() == wanted[0]


@pytest.mark.parametrize("able", [("avx512_bf16",), ()])
def test_auto_is_bfloat16_where_the_cpu_multiplies_it(
    able: tuple[str, ...], on: On, caplog: pytest.LogCaptureFixture
) -> None:
    on(AMD, "AVX512", *able)
    assert resolve_precision("auto", CPU, [256, 256]) == ("bfloat16" if able else "float32")
    for narrow in ([64, 64], [256, 32]):
        assert resolve_precision("auto", CPU, narrow) == "float32"
    assert resolve_precision("float32", CPU, [256, 256]) == "float32"
    if able:
        assert resolve_precision("bfloat16", CPU, [8]) == "bfloat16"
    else:
        with pytest.raises(ValueError, match=r"does not multiply bfloat16.*precision=auto"):
            resolve_precision("bfloat16", CPU, [8])
    with pytest.raises(ValueError, match="one of float32, bfloat16, auto"):
        resolve_precision("float16", CPU, [8])
    # The CPU's products are nothing to a GPU.
    assert resolve_precision("auto", CUDA, [256, 256]) == "float32"
    assert caplog.messages == []
    assert resolve_precision("bfloat16", CUDA, [256, 256]) == "bfloat16"
    assert "untested on CUDA" in caplog.text


def test_it_is_refused_before_anything_runs(plain: None) -> None:
    cfg = compose(["agent.precision=bfloat16"])
    with pytest.raises(UserError) as refused:
        validate(cfg)
    assert str(refused.value).splitlines() == [
        "agent.precision=bfloat16: this CPU does not multiply bfloat16: float32 is ten times faster on it; "
        "take agent.precision=auto"
    ]
    validate(cfg, elsewhere=True)  # a cluster's nodes may have other CPUs
    cfg.agent.precision = "auto"
    validate(cfg)


@pytest.mark.heavy
def test_a_run_of_another_machine(plain: None, tiny: list[str], tmp_path: Path) -> None:
    """Trained in bfloat16 elsewhere: evaluated here, not gone on with, run anew with the remedy."""
    folder = tmp_path / "run"
    train(compose(tiny), folder)
    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.agent.precision = "bfloat16"
    OmegaConf.save(cfg, folder / "config.yaml")
    assert evaluate_run(folder, episodes=4)["episodes"] == 4
    with pytest.raises(
        UserError, match=rf"agent.precision=auto; .*rerun={folder} trainer.total_steps=600$"
    ):
        resume(folder, ["trainer.total_steps=600"])


@pytest.mark.heavy
def test_what_is_written_is_what_goes_on(tiny: list[str], tmp_path: Path) -> None:
    other = "torch" if products().float32 == "onednn" else "onednn"
    folder = tmp_path / "run"
    train(compose([*tiny, f"products={other}"]), folder)
    assert OmegaConf.load(folder / "config.yaml").products == library() == other
    choose_library("auto")
    resume(folder, ["trainer.total_steps=600"])
    assert library() == other


ALL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("ours", "limits", "expected"),
    [
        (None, {}, ALL),
        ("0::/", {"memory.max": "max"}, ALL),
        ("0::/", {"memory.max": "4096"}, 4096),
        # As in a cluster's job: the limit is of a group between the top and ours.
        ("0::/slurm/job_7/step_0", {"slurm/job_7/memory.max": "8192"}, 8192),
        ("0::/a/b", {"memory.max": "900", "a/memory.max": "700", "a/b/memory.max": "max"}, 700),
        ("0::/a", {"b/memory.max": "100"}, ALL),  # somebody else's
        ("3:cpu:/a\n4:memory:/a/b", {"memory/a/memory.limit_in_bytes": "300"}, 300),
        # Inside a container the path may be that of the world outside: the top is what we see.
        ("4:cpuset,memory:/docker/x", {"memory/memory.limit_in_bytes": "200"}, 200),
        ("0::/../../other", {"memory.max": "500"}, 500),
    ],
)
def test_the_least_limit_counts(
    ours: str | None, limits: dict[str, str], expected: int, tmp_path: Path
) -> None:
    groups, said = tmp_path / "groups", tmp_path / "ours"
    for name, text in limits.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{text}\n")
    if ours is not None:
        said.write_text(f"{ours}\n")
    assert machine_bytes(groups, said) == expected
