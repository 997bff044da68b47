"""Which matrices take part, and the parts of fused and stacked tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alpharl.checkpoints.header import TensorInfo
from alpharl.checkpoints.index import ModelIndex, read_index
from alpharl.errors import CheckpointError
from alpharl.spectra.scope import (
    Matrix,
    in_paper_scope,
    layer_of,
    matrices,
    module_of,
    shard,
    split,
)
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *((f"model.layers.3.self_attn.{p}_proj.weight", True) for p in "qkvo"),
        *((f"model.layers.11.mlp.{p}_proj.weight", True) for p in ("gate", "up", "down")),
        ("layers.0.mlp.up_proj.weight", True),
        ("model.language_model.layers.0.mlp.up_proj.weight", True),
        ("model.layers.0.self_attn.q_proj.bias", False),
        ("model.layers.0.input_layernorm.weight", False),
        ("model.embed_tokens.weight", False),
        ("lm_head.weight", False),
        ("model.layers.0.mlp.experts.3.up_proj.weight", True),
        ("model.layers.0.mlp.shared_expert.up_proj.weight", True),
        ("model.layers.0.block_sparse_moe.experts.7.w2.weight", True),
        ("model.layers.0.block_sparse_moe.gate.weight", False),
        ("model.layers.0.mlp.gate.weight", False),
        ("model.layers.0.self_attn.q_proj.weight_scale", False),
        ("model.mylayers.0.mlp.up_proj.weight", False),
    ],
)
def test_paper_scope(name, inside):
    assert in_paper_scope(name) is inside


def test_scope_all_is_every_matrix_and_nothing_else(trajectory):
    index = read_index(trajectory.base)
    assert set(matrices(index, "paper")) == set(trajectory.matrices())
    expected = {n for n, t in trajectory.weights[0].items() if t.ndim == 2}
    assert set(matrices(index, "all")) == expected
    assert "model.embed_tokens.weight" in expected


def test_model_without_a_matrix_in_scope_is_refused(tmp_path, write_model):
    index = read_index(write_model(tmp_path / "gpt2", {"h.0.c_attn.weight": torch.ones(2, 2)}))
    with pytest.raises(
        CheckpointError, match="no matrix in scope 'paper' among 1 tensors"
    ) as error:
        matrices(index, "paper")
    assert "\n" not in str(error.value)


def test_layer_and_module_names():
    name = "model.layers.12.self_attn.q_proj"
    assert layer_of(f"{name}.weight") == 12
    assert layer_of("lm_head.weight") == -1
    assert module_of(f"{name}.weight") == module_of(f"{name}.bias") == "q_proj"


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=40), parts=st.integers(1, 12))
def test_shards_partition_the_tensors(sizes, parts):
    ends = np.cumsum(sizes).tolist()
    index = ModelIndex(
        Path("m"),
        {
            f"t{i}": TensorInfo(f"t{i}", "f", "U8", (size,), end - size, end)
            for i, (size, end) in enumerate(zip(sizes, ends, strict=True))
        },
    )
    names = list(index.tensors)
    found = [shard(index.tensors.values(), part, parts) for part in range(parts)]
    assert [name for part in found for name in part] == names, "every tensor once, in order"
    for part in found:
        held = sum(index.tensors[name].nbytes for name in part)
        assert held <= sum(sizes) / parts + max(sizes), "about equal bytes"


# --- fused and stacked tensors ---

CONFIG = {
    "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 3,
}  # fmt: skip
ATTENTION, MLP = "model.layers.0.self_attn.", "model.layers.0.mlp."


def info(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, "f", "F32", shape, 0, 4 * int(np.prod(shape)))


def layout(found: list[Matrix]) -> list[tuple[str, int, tuple[int, int]]]:
    return [(part.name, part.start, part.shape) for part in found]


@pytest.mark.parametrize(
    ("config", "heights"),
    [
        (CONFIG, (12, 6, 6)),
        ({**CONFIG, "head_dim": None, "num_key_value_heads": 1}, (8, 2, 2)),
        ({"hidden_size": 8, "num_attention_heads": 2}, (8, 8, 8)),
        ({**CONFIG, "num_key_value_heads": None}, (12, 12, 12)),
    ],
    ids=["head_dim", "hidden_size", "no groups", "null groups"],
)
def test_fused_attention_is_split_by_the_config(config, heights):
    found = split(info(f"{ATTENTION}qkv_proj.weight", sum(heights), 8), config)
    starts = (0, 8 * heights[0], 8 * (heights[0] + heights[1]))
    assert layout(found) == [
        (f"{ATTENTION}{p}_proj.weight", start, (height, 8))
        for p, start, height in zip("qkv", starts, heights, strict=True)
    ]
    assert all(in_paper_scope(part.name) for part in found)


def test_fused_mlp_is_split_in_halves():
    found = split(info(f"{MLP}gate_up_proj.weight", 10, 8), {})
    assert layout(found) == [
        (f"{MLP}gate_proj.weight", 0, (5, 8)),
        (f"{MLP}up_proj.weight", 40, (5, 8)),
    ]


def test_stacked_experts_are_split_as_models_that_keep_them_apart():
    found = split(info(f"{MLP}experts.gate_up_proj", 2, 10, 8), CONFIG)
    assert layout(found) == [
        (f"{MLP}experts.{e}.{p}_proj.weight", 80 * e + at, (5, 8))
        for e in (0, 1)
        for p, at in (("gate", 0), ("up", 40))
    ]
    down = split(info(f"{MLP}experts.down_proj", 2, 8, 5), CONFIG)
    assert layout(down) == [(f"{MLP}experts.{e}.down_proj.weight", 40 * e, (8, 5)) for e in (0, 1)]
    assert all(in_paper_scope(part.name) for part in found + down)


def test_experts_that_mix_gate_and_up_in_a_row_stay_whole():
    found = split(info(f"{MLP}experts.gate_up_proj", 2, 8, 10), CONFIG)
    assert layout(found) == [
        (f"{MLP}experts.{e}.gate_up_proj.weight", 80 * e, (8, 10)) for e in (0, 1)
    ]
    assert all(in_paper_scope(part.name) for part in found)


def test_separate_experts_keep_their_names_and_a_router_is_out_of_scope(tmp_path, write_model):
    moe = "model.layers.0.block_sparse_moe."
    inside = [f"{moe}experts.{e}.w{i}.weight" for e in (0, 1) for i in (1, 2, 3)]
    tensors = {name: torch.ones(3, 4) for name in [*inside, f"{moe}gate.weight"]}
    index = read_index(write_model(tmp_path / "mixtral", tensors))
    assert sorted(matrices(index, "paper")) == sorted(inside)
    assert set(matrices(index, "all")) == set(tensors)


@pytest.mark.parametrize(
    ("name", "shape", "config", "expected"),
    [
        (f"{ATTENTION}qkv_proj.weight", (16, 8), CONFIG, "found 16 rows, expected 24"),
        (f"{ATTENTION}qkv_proj.weight", (16, 8), {"num_attention_heads": 4}, "found 16 rows"),
        (f"{MLP}gate_up_proj.weight", (13, 8), CONFIG, "found 13 rows, expected 12"),
        (f"{MLP}experts.gate_up_proj", (2, 13, 8), CONFIG, "found 13 rows, expected 12"),
    ],
    ids=["attention", "no hidden_size", "odd mlp", "odd experts"],
)
def test_rows_that_do_not_agree_with_the_config_are_refused(name, shape, config, expected):
    with pytest.raises(CheckpointError, match=expected) as error:
        split(info(name, *shape), config)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shards", [1, 3, 7, 50])
def test_shards_partition_the_parts(shards):
    parts = [
        *split(info(f"{ATTENTION}qkv_proj.weight", 24, 8), CONFIG),
        *split(info(f"{MLP}experts.gate_up_proj", 4, 10, 8), CONFIG),
        *split(info(f"{MLP}experts.down_proj", 4, 8, 5), CONFIG),
    ]
    found = [shard(parts, i, shards) for i in range(shards)]
    assert [name for names in found for name in names] == [part.name for part in parts]
    size = {part.name: part.size for part in parts}
    even, largest = sum(size.values()) / shards, max(size.values())
    assert all(sum(map(size.get, names)) <= even + largest for names in found)


@pytest.fixture
def phi(tmp_path, write_model) -> str:
    """A run whose layers have a matrix that scope `paper` does not know; arguments that name it."""
    torch.manual_seed(0)
    names = [f"model.layers.0.{name}.weight" for name in ("self_attn.q_proj", "mlp.fc1")]
    for folder in ("base", "step-10", "step-20", "step-30"):
        write_model(tmp_path / folder, {name: torch.randn(6, 4) for name in names})
    return f"--base {tmp_path}/base --checkpoints {tmp_path}/step-{{step}}"


def test_factors_of_all_matrices_are_taken_by_what_knows_no_scope(phi, tmp_path, cli):
    made = f"--factors {tmp_path}/f-{{step}}.safetensors"
    scores = tmp_path / "scores.csv"
    scores.write_text("step,accuracy\n0,.1\n10,.2\n20,.3\n30,.35\n")
    for scope, status in (("paper", 1), ("all", 0)):
        done = cli("factors", *phi.split(), "--scope", scope, "--out", made.split()[1])
        assert done.status == status, done.err
    done = cli("dynamics", *phi.split(), *made.split(), "--scores", scores, "--permutations", 2,
               "--out", tmp_path / "d.parquet")  # fmt: skip
    assert done.status == 0, done.err
    assert pd.read_parquet(tmp_path / "d.parquet").tensor.str.endswith("mlp.fc1.weight").any()
    first = f"--base {tmp_path}/base --checkpoint {tmp_path}/step-30 {made}".replace("{step}", "30")
    for command in (
        f"forecast {phi} {made} --method alpharl-step --target-step 60 --out {tmp_path}/x",
        f"measure floor {phi} {made} --out {tmp_path}/x", f"rank {first} --out {tmp_path}/x",
        f"rank {first} --kind rest-only --out {tmp_path}/x",
    ):  # fmt: skip
        done = cli(*command.split())
        assert done.status == 1, command
        assert "scope 'paper' would leave out model.layers.0.mlp.fc1.weight" in done.err, command
