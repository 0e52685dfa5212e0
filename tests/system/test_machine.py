"""Who multiplies on which CPU, and what is said where a CPU cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from omegaconf import OmegaConf

from her_exp.agents import products as agents_products
from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.products import resolve_precision
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.evaluate import evaluate_run
from her_exp.run import resume, train
from her_exp.system import machine
from her_exp.system.machine import Products, choose_library, library, products
from her_exp.types import GoalSpaces, UserError

AMD, INTEL = "vendor_id\t: AuthenticAMD\n", "vendor_id\t: GenuineIntel\n"
CPU = torch.device("cpu")


def on(monkeypatch: pytest.MonkeyPatch, path: Path, told: str, capability: str, *able: str) -> None:
    """Let this machine be one with such a CPU."""
    (path / "cpuinfo").write_text(f"processor\t: 0\n{told}flags\t: fpu\n")
    monkeypatch.setattr(machine, "_CPUINFO", path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(able, True))
    products.cache_clear()


@pytest.fixture(autouse=True)
def this_cpu_again() -> object:
    yield
    products.cache_clear()


@pytest.mark.parametrize(
    ("told", "capability", "able", "wanted"),
    [
        (AMD, "AVX2", (), ("torch", False)),  # Zen 3
        (AMD, "AVX512", (), ("onednn", False)),
        (AMD, "AVX512", ("avx512_bf16",), ("onednn", True)),  # Zen 4, Zen 5
        (INTEL, "AVX2", (), ("torch", False)),
        (INTEL, "AVX512", (), ("torch", False)),
        (INTEL, "AVX512", ("amx_bf16", "avx512_bf16"), ("torch", True)),
        (AMD, "AVX2", ("avx512_bf16",), ("torch", False)),  # a newer one held to AVX2
        ("", "DEFAULT", ("bf16",), ("torch", False)),  # no x86
    ],
)
def test_what_suits_a_cpu_follows_from_its_kind(
    told: str,
    capability: str,
    able: tuple[str, ...],
    wanted: tuple[str, bool],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    on(monkeypatch, tmp_path, told, capability, *able)
    assert products() == wanted
    assert choose_library("auto") == library() == wanted[0]


def test_without_cpuinfo_nobody_guesses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on(monkeypatch, tmp_path, AMD, "AVX512")
    (tmp_path / "cpuinfo").unlink()
    assert products() == ("torch", False)


def test_a_choice_holds_until_the_next() -> None:
    other = "torch" if products().float32 == "onednn" else "onednn"
    assert choose_library(other) == library() == other
    assert choose_library("auto") == library() == products().float32
    with pytest.raises(ValueError, match="products='mkl' must be one of onednn, torch, auto"):
        choose_library("mkl")  # type: ignore[arg-type]


@pytest.mark.parametrize("able", [True, False])
def test_auto_is_bfloat16_where_the_cpu_multiplies_it(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_products, "products", lambda: Products("torch", able))
    assert resolve_precision("auto", CPU, [256, 256]) == ("bfloat16" if able else "float32")
    assert resolve_precision("auto", CPU, [64, 64]) == "float32"
    assert resolve_precision("auto", CPU, [256, 32]) == "float32"
    assert resolve_precision("float32", CPU, [256, 256]) == "float32"
    if able:
        assert resolve_precision("bfloat16", CPU, [8]) == "bfloat16"
    else:
        with pytest.raises(
            ValueError, match=r"this CPU does not multiply bfloat16.*precision=auto"
        ):
            resolve_precision("bfloat16", CPU, [8])
    with pytest.raises(ValueError, match="one of float32, bfloat16, auto"):
        resolve_precision("float16", CPU, [8])


def test_bfloat16_on_cuda_is_taken_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for able in (True, False):  # the CPU's products are nothing to a GPU
        monkeypatch.setattr(agents_products, "products", lambda able=able: Products("torch", able))
        cuda = torch.device("cuda")
        caplog.clear()
        assert resolve_precision("auto", cuda, [256, 256]) == "float32"
        assert caplog.messages == []
        assert resolve_precision("bfloat16", cuda, [256, 256]) == "bfloat16"
        assert "untested on CUDA" in caplog.text


ONE = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.mark.parametrize(("agent", "action"), [(DDPG, ONE), (DQN, spaces.Discrete(2))])
def test_constructors_refuse_it_too(
    agent: type, action: spaces.Space[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_products, "products", lambda: Products("torch", False))
    with pytest.raises(ValueError, match="take precision=auto"):
        agent(
            precision="bfloat16",
            spaces=GoalSpaces(ONE, ONE, action),
            seed=np.random.SeedSequence(0),
        )


def test_it_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_products, "products", lambda: Products("torch", False))
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
def test_a_run_of_another_machine(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained in bfloat16 elsewhere: evaluated here, not gone on with, run anew with the remedy."""
    folder = tmp_path / "run"
    train(compose(tiny), folder)
    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.agent.precision = "bfloat16"
    OmegaConf.save(cfg, folder / "config.yaml")
    for module in (agents_products, "her_exp.evaluate"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.products", lambda: Products("torch", False))
    assert evaluate_run(folder, episodes=4)["episodes"] == 4
    with pytest.raises(UserError, match=rf"agent.precision=auto; .*rerun={folder}$"):
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
