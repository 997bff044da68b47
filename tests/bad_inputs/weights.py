"""Bad inputs of the kind weights: files, folders and values that are no model."""

from __future__ import annotations

import json
import math
from itertools import chain
from pathlib import Path

import torch

from tests.bad_inputs.good import RUN
from tests.bad_inputs.spoil import (
    GPTQ,
    NF4,
    PACKED,
    Q,
    as_type,
    block_fp8,
    channel_int8,
    cut,
    deep,
    first_file,
    gap,
    header,
    holding,
    in_both,
    linked_out,
    long_header,
    lost_scales,
    negative,
    overlapping,
    packed,
    parts,
    sharded,
    swapped,
    tensors,
    text,
    twice,
    with_value,
    write,
)
from tests.bad_inputs.table import BadInput

ONE = "--base base --checkpoint run/step-30"
READERS = {
    "factors": f"factors {ONE} --rank 1 --out new.safetensors",
    "gram": f"gram {RUN} --out new.safetensors",
    "audit": f"audit {RUN}",
    "measure": f"measure {RUN} --out new",
    "rank": f"rank {ONE} --out new",
    "dense": f"rank {ONE} --dense --out new",
    "export": "export made/full --out new",
    "forecast": f"forecast {RUN} --method relex --target-step 60 --out new",
    "trust": f"trust {RUN} --scores scores.csv",
    "dynamics": f"dynamics {RUN} --scores scores.csv --out new.parquet",
    "truth": "truth --variant made/low --target run/step-30 --step 30 "
    "--gram made/gram.safetensors --out new.parquet",
    "manifest": f"manifest {ONE} --step 30 --out new.json",
    "evaluate": "evaluate --suite made/suite/suite.json --base base --variant x=run/step-30 "
    "--out new",
    "tokens": "tokens --suite made/suite/suite.json --base base "
    "--writer w=made/scores/base.answers.jsonl --reader x=run/step-30 --out new",
}
"""The verbs that read the numbers of a checkpoint."""
PLANNERS = {"check": "check study.yaml"}
"""Those that read its headers alone."""
ADAPTER_READERS = {
    name: command.replace("run/step-30", "adapters/step-30").replace(RUN, "--base base "
    "--checkpoints 10=run/step-10 20=run/step-20 30=adapters/step-30")
    for name, command in READERS.items()
    if name not in ("export",)
}  # fmt: skip
"""The same where the last checkpoint is an adapter."""
ANY = READERS | PLANNERS
TRAIN = """train --spec '{"algorithm": "sft", "steps": 1, "save_every": 1}' --base base --out new"""


FILES = [
    BadInput("negative offsets", header(negative), "not a safetensors file .*-", ANY),
    BadInput("overlapping offsets", header(overlapping), "not a safetensors file .*offset", ANY),
    BadInput("a gap before the tensors", gap, "not a safetensors file .*offset", ANY),
    BadInput("shape against bytes", header(lambda h: h[Q].update(shape=[16, 15])),
             "not a safetensors file .*invalid shape", ANY),
    BadInput("dtype against bytes", header(lambda h: h[Q].update(dtype="F64")),
             "not a safetensors file .*invalid shape", ANY),
    BadInput("overflowing shape", header(lambda h: h[Q].update(shape=[2**32, 2**33])),
             "not a safetensors file .*overflow", ANY),
    BadInput("unknown dtype", header(lambda h: h[Q].update(dtype="F31")),
             "not a safetensors file .*unknown variant `F31`", ANY),
    BadInput("metadata that is no text", header(lambda h: h.update(__metadata__={"a": 1})),
             "not a safetensors file .*expected a string", ANY),
    BadInput("a tensor twice", text(twice), f"{Q} stands twice in it", ANY),
    BadInput("bytes after the header", text(lambda t: t + " ]"), "trailing characters", ANY),
    BadInput("NaN in the header", text(lambda t: t.replace('"F32"', "NaN")), "invalid JSON", ANY),
    BadInput("a deep header", text(deep), "recursion limit exceeded", ANY),
    BadInput("a header of 100 MB", long_header, "header too large", ANY),
    BadInput("a header beyond the file", lambda _: write("{}", b"", 1 << 40), "too large", ANY),
    BadInput("a file cut short", cut, r"found \d+ bytes, expected \d+; it is cut short", ANY),
    BadInput("bytes after the tensors", lambda _: write(*parts()[:1], parts()[1] + b"1234"),
             "not a safetensors file .*not fully covered", ANY),
    BadInput("no tensor at all", lambda _: write("{}", b""), "found no tensor", ANY),
]  # fmt: skip


INDICES = [
    BadInput("an index that climbs out", sharded(first_file("../step-20/model.safetensors")),
             "names the file '../step-20/model.safetensors', expected .* next to it", ANY),
    BadInput("an index with an absolute path", sharded(first_file("/etc/model.safetensors")),
             "names the file '/etc/model.safetensors', expected .* next to it", ANY),
    BadInput("an index with a pickle", sharded(first_file("pytorch_model.bin")),
             "names the file 'pytorch_model.bin', expected .* safetensors file", ANY),
    BadInput("an index with a number for a file", sharded(lambda w: w.update({Q: 1})),
             "found no 'weight_map' of tensor names and files", ANY),
    BadInput("a link out of the folder", linked_out, "is a link to .*, expected a file in its own",
             ANY),
    BadInput("a missing file", sharded(first_file("part-3.safetensors")), "but missing", ANY),
    BadInput("an absent tensor", sharded(lambda w: w.update(more="part-1.safetensors")),
             "names more, which is not in part-1.safetensors", ANY),
    BadInput("a tensor that is not named", sharded(lambda w: w.pop(Q) and None),
             f"holds {Q}, which .* does not name", ANY),
    BadInput("a tensor in two files", in_both, "part-2.* holds .*, which .* places in part-1", ANY),
    BadInput("tensors in the other file", sharded(swapped), "which .* places in part-", ANY),
    BadInput("a tensor twice in the index",
             sharded(lambda w: json.dumps({"weight_map": w})[:-2] + f', "{Q}": "x"}}}}'),
             f"{Q} stands twice", ANY),
    BadInput("an index that is no JSON", sharded(lambda w: "{"), "found no 'weight_map'", ANY),
    BadInput("an index without a map", sharded(lambda w: "{}"), "found no 'weight_map'", ANY),
]  # fmt: skip


ADAPTER = Path("adapters/step-30/adapter_model.safetensors")
A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
CODES = "expected plain weights: its codes alone are not the weights"
NOT_FINITE = r"holds 1 values that are not finite \(NaN or infinity\)"

VALUES = [
    BadInput("NaN", with_value(Q, math.nan), f"step-30: {Q} {NOT_FINITE}", READERS),
    BadInput("infinity", with_value(Q, math.inf), f"step-30: {Q} {NOT_FINITE}", READERS),
    BadInput("NaN in the base", with_value(Q, math.nan, Path("base/model.safetensors")),
             f"base: {Q} {NOT_FINITE}",
             {n: c for n, c in READERS.items() if n != "manifest"}
             | {"export": "export made/blend --out new", "train": TRAIN}),
    BadInput("a model that lacks a tensor",
             tensors(lambda t: t.pop("model.norm.weight"), Path("base/model.safetensors")),
             "base: lacks model.norm.weight, which Qwen2ForCausalLM has", {"train": TRAIN}),
    BadInput("weights beyond float16", with_value(Q, 1e5),
             f"step-30: {Q} {NOT_FINITE}",
             {"evaluate": f"{READERS['evaluate']} --dtype float16"}),
    BadInput("a tensor of another shape", tensors(lambda t: t.update({Q: t[Q][:8].clone()})),
             rf"{Q} has shape \[8, 16\], expected \[16, 16\] as", ANY),
    BadInput("NaN in a norm", with_value("model.norm.weight", math.nan),
             f"step-30: model.norm.weight {NOT_FINITE}",
             {name: READERS[name] for name in ("gram", "measure", "forecast", "trust", "dynamics",
                                               "manifest", "evaluate", "tokens")}),
    BadInput("NaN in an untouched tensor of the base",
             with_value("model.norm.weight", math.nan, Path("base/model.safetensors")),
             f"base: model.norm.weight {NOT_FINITE}",
             {name: READERS[name] for name in ("dense", "export", "gram", "measure", "evaluate")}),
    BadInput("NaN in an adapter", with_value(A, math.nan, ADAPTER),
             r"step-30: \S*q_proj\S* holds \d+ values that are not finite", ADAPTER_READERS),
    BadInput("an update too large for float32",
             lambda folder: (with_value(Q, 3e38)(folder),
                             with_value(Q, -3e38, Path("base/model.safetensors"))(folder)),
             f"{Q} holds values of up to 3.0e.38, expected",
             {name: READERS[name] for name in ("factors", "gram", "rank", "trust")}),
    BadInput("an update whose norm is too large for float32", tensors(lambda t: t[Q].fill_(1e38)),
             f"{Q} holds values of up to 1.0e.38, expected",
             {name: READERS[name] for name in ("factors", "gram", "rank", "trust")}),
    BadInput("integers", as_type(torch.int16), f"{Q} is I16, expected one of F64", ANY),
    BadInput("booleans", as_type(torch.bool), f"{Q} is BOOL, expected one of F64", ANY),
    BadInput("complex numbers", as_type(torch.complex64), f"{Q} is C64, expected one of F64", ANY),
    BadInput("block FP8", tensors(block_fp8), f"F8_E4M3 with scales in .*_scale_inv, {CODES}", ANY),
    BadInput("FP8 whose scales are lost", tensors(lost_scales),
             "is F8_E4M3 and F32 in .*base, expected no codes of 8 bits", ANY),
    BadInput("int8 by channel", tensors(channel_int8), f"I8 with scales in .*_scale, {CODES}", ANY),
    BadInput("GPTQ", tensors(packed(GPTQ)), f"I32 with scales in .*q_proj.scales, {CODES}", ANY),
    BadInput("compressed-tensors", tensors(packed(PACKED)), f"I32 with scales in .*, {CODES}", ANY),
    BadInput("bitsandbytes", tensors(packed(NF4)), f"{Q} is U8, expected one of F64", ANY),
    BadInput("a quantised base under an adapter",
             tensors(block_fp8, Path("base/model.safetensors")),
             f"base: .* is F8_E4M3 with scales in .*, {CODES}", ADAPTER_READERS),
    BadInput("an adapter of integers",
             tensors(lambda t: t.update({A: t[A].to(torch.int8)}), ADAPTER),
             "lora_A.weight is I8, expected one of F64", ADAPTER_READERS),
    BadInput("weights that were not gathered",
             tensors(lambda t: t.update({Q: torch.empty(0)})),
             rf"{Q} has shape \[0\], expected at least one element.*DeepSpeed", ANY),
]  # fmt: skip


RANK = f"rank {ONE} --out new"
LOW = Path("made/low/adapter/adapter_model.safetensors")
LOW_READERS = {
    "export": "export made/low --out new",
    "truth": READERS["truth"],
    "evaluate": READERS["evaluate"].replace("run/step-30", "made/low"),
}
"""The verbs that read an adapter that was made here."""
RESULTS = [
    BadInput("NaN in an adapter made here", with_value(A, math.nan, LOW),
             "or another one than the variant was made with", LOW_READERS),
    BadInput("a damaged adapter made here", lambda _: LOW.write_bytes(LOW.read_bytes()[:-3]),
             "or another one than the variant was made with", LOW_READERS),
    BadInput("an update that overflows", with_value(Q, 1e36),
             "expected finite numbers that float32 holds",
             {"adapter": f"{RANK} --scale 1e6", "dense": f"{RANK} --scale 1e6 --dense",
              "random": f"{RANK} --scale 1e6 --kind random"}),
    BadInput("a dense model that overflows", with_value(Q, 1e36),
             "would hold .* values that are not finite in float32, expected none; the update is",
             {"dense": f"{RANK} --scale 1e6 --kind full-update --dense"}),
]  # fmt: skip


FOLDERS = [
    BadInput("a pickle", holding("pytorch_model.bin"),
             "found pytorch_model.bin, expected model.safetensors.* with `python -c ", ANY),
    BadInput("an adapter's pickle", holding("adapter_config.json", "adapter_model.bin"),
             "found adapter_model.bin, expected .* with `python -c ", ANY),
    BadInput("shards of DCP", holding(".metadata", "__0_0.distcp"),
             "found shards of torch.distributed.checkpoint, .* dcp_to_torch", ANY),
    BadInput("shards of FSDP", holding("pytorch_model_fsdp_0/__0_0.distcp"),
             "found FSDP's shards, .* run `accelerate merge-weights", ANY),
    BadInput("shards of DeepSpeed",
             holding("zero_to_fp32.py", "global_step30/mp_rank_00_model_states.pt"),
             r"found DeepSpeed's shards, .* run `python \S*run/step-30/zero_to_fp32.py", ANY),
    BadInput("shards of Megatron", holding("mp_rank_00/model_optim_rng.pt"),
             r"found Megatron's shards, .* --megatron-path \S*run/step-30", ANY),
    BadInput("shards of verl", holding("model_world_size_2_rank_0.pt"),
             "found verl's unmerged fsdp shards, .* run `python -m verl.model_merger", ANY),
    BadInput("only other layouts in the run",
             lambda folder: [
                 (step / "model.safetensors").rename(step / "pytorch_model.bin")
                 for step in sorted(folder.glob("run/*"))
             ],
             "found pytorch_model.bin, expected safetensors; for each step, save the model",
             {"init": "init run --base base --out new.yaml"}),
]  # fmt: skip

ROWS = list(chain(FILES, INDICES, VALUES, RESULTS, FOLDERS))
