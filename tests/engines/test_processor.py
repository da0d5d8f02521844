import pytest
import torch

from forgetting.engines import processor
from forgetting.engines.processor import fast_precisions, instruction_sets

X86 = {"avx2": True, "avx512_fp16": True, "l2_cache_size": 1048576, "architecture": "x86_64"}


@pytest.fixture
def capabilities(monkeypatch):
    """Return a function that replaces what torch says about the processor."""

    def pretend(values):
        query = None if values is None else lambda: values
        monkeypatch.setattr(torch.cpu, "get_capabilities", query, raising=False)
        instruction_sets.cache_clear()

    yield pretend
    monkeypatch.undo()
    instruction_sets.cache_clear()


@pytest.mark.parametrize(
    ("extra", "fast"),
    [
        ({}, ()),  # AVX512-FP16 alone is slower than float32
        ({"avx512_bf16": False}, ()),
        ({"avx512_bf16": True}, ("bfloat16",)),
        ({"amx_bf16": True, "amx_fp16": False}, ("bfloat16",)),
        ({"amx_bf16": True, "amx_fp16": True}, ("float16", "bfloat16")),
        ({"fp16_arith": True, "bf16": True}, ("float16",)),
    ],
)
def test_precisions_of_a_cpu_follow_from_its_instructions(capabilities, extra, fast):
    capabilities(X86 | extra)
    assert fast_precisions("cpu") == fast


@pytest.mark.parametrize(
    ("line", "fast"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile", ("bfloat16",)),
        ("flags\t\t: fpu avx2", ()),
        ("Features\t: fp asimd asimdhp", ("float16",)),
        ("", ()),
    ],
)
def test_older_torch_leaves_the_question_to_linux(capabilities, monkeypatch, tmp_path, line, fast):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\nbugs\t: avx512_bf16_bug\n")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
    capabilities(None)
    assert fast_precisions("cpu") == fast


def test_a_system_that_lists_nothing_computes_in_float32(capabilities, monkeypatch):
    monkeypatch.setattr(processor.platform, "system", lambda: "Plan 9")
    capabilities(None)
    assert fast_precisions("cpu") == ()


@pytest.mark.parametrize(
    ("version", "fast"),
    [((6, 1), ()), ((7, 5), ("float16",)), ((9, 0), ("float16", "bfloat16"))],
)
def test_precisions_of_a_gpu_follow_from_its_generation(monkeypatch, version, fast):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: version)
    assert fast_precisions("cuda") == fast
    assert fast_precisions("mps") == ("float16",)


def test_torch_and_linux_agree_about_this_machine(capabilities):
    named = {"amx_bf16", "amx_fp16", "avx512_bf16"}
    if not hasattr(torch.cpu, "get_capabilities") or not processor.CPUINFO.exists():
        pytest.skip("this machine has one source only")
    instruction_sets.cache_clear()
    by_torch = instruction_sets() & named
    capabilities(None)
    assert instruction_sets() & named == by_torch
