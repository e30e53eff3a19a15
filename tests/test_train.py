"""Training: equal to the stock loss, resumable after a kill, and plain about what went wrong."""

import copy
import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import hardware, models, train
from labkit.answer_trainer import answer_loss, pad_right
from labkit.types import IGNORED, Example, Precision, TrainConfig

EXAMPLES = [
    Example([{"role": "user", "content": f"How much grease for bearing {n}?" + " please" * n}], a)
    for n, a in enumerate(["1.6 kg", "2.0 kg", "the pitch bearing", "grease", "kg"] * 3)
]
CONFIG = TrainConfig(model="tiny", batch_size=4, n_epochs=2, save_every=2, rank=4, alpha=8)


@pytest.fixture
def base(tiny_llm: Any) -> Any:
    """Return a copy that a test may train."""
    return models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)


def batch(tokenizer: Any) -> dict:
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [IGNORED, IGNORED, 7, 8, 9]},
        {"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]},
    ]
    return pad_right(rows, pad_id=tokenizer.pad_token_id)


def test_padding_stands_on_the_right_and_has_no_label(tiny_llm: Any) -> None:
    found = batch(tiny_llm.tokenizer)
    pad = tiny_llm.tokenizer.pad_token_id
    assert found["input_ids"].tolist()[1] == [5, 6, 7, pad, pad]
    assert found["labels"].tolist()[1] == [IGNORED, 6, 7, IGNORED, IGNORED]
    assert found["n_tokens"].tolist() == [5, 3]


def test_the_loss_equals_the_stock_one_with_all_logits_and_a_mask(tiny_llm: Any) -> None:
    import torch

    found = batch(tiny_llm.tokenizer)
    mask = torch.arange(5)[None, :] < found["n_tokens"][:, None]
    stock = tiny_llm.model(
        input_ids=found["input_ids"], attention_mask=mask.long(), labels=found["labels"]
    ).loss
    ours = answer_loss(tiny_llm.model, found, 5)
    assert ours.item() == pytest.approx(stock.item(), abs=1e-5)


def test_lora_trains_only_the_adapter_and_lowers_the_loss(base: Any, tmp_path: Path) -> None:
    import torch

    before = {name: p.clone() for name, p in base.model.named_parameters()}
    steps: list[dict] = []
    config = TrainConfig(model="tiny", batch_size=4, n_epochs=12, learning_rate=0.02)
    result = train.train(EXAMPLES, tmp_path, config, base=base, on_step=steps.append)
    assert result.log[-1]["loss"] < result.log[0]["loss"] - 0.1
    assert [step["step"] for step in steps] == list(range(1, 45 + 1))
    assert all(step["n_steps"] == 45 for step in steps)
    for name, weight in base.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(weight, before[name.replace(".base_layer", "")])
    per_epoch = sum(len(base.tokenizer(text(e))["input_ids"]) for e in EXAMPLES)
    assert result.n_tokens == 12 * per_epoch


def text(example: Example) -> str:
    turn = f"<|im_start|>user\n{example.messages[0]['content']}<|im_end|>\n"
    return f"{turn}<|im_start|>assistant\n{example.answer}<|im_end|>"


def test_checkpointing_changes_memory_and_not_the_loss(tiny_llm: Any, tmp_path: Path) -> None:
    losses = []
    for name, checkpointing in (("kept", False), ("recomputed", True)):
        config = TrainConfig(model="tiny", batch_size=4, checkpointing=checkpointing)
        fresh = models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)
        result = train.train(EXAMPLES, tmp_path / name, config, base=fresh)
        assert fresh.model.is_gradient_checkpointing is checkpointing
        losses.append([row["loss"] for row in result.log])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_full_training_changes_every_weight_matrix(base: Any, tmp_path: Path) -> None:
    import torch

    before = copy.deepcopy(base.model)
    config = TrainConfig(model="tiny", method="full", batch_size=4, learning_rate=0.01)
    result = train.train(EXAMPLES, tmp_path, config, base=base)
    old = dict(before.named_parameters())
    assert all(not torch.equal(p, old[name]) for name, p in base.model.named_parameters())
    assert result.n_trainable == result.n_parameters
    assert (tmp_path / "model.safetensors").is_file()


def test_the_saved_adapter_gives_the_trained_models_answers(base, tiny_llm, tmp_path) -> None:
    import torch

    result = train.train(EXAMPLES, tmp_path, CONFIG, base=base)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # of libraries among themselves
        fresh = models.with_adapter(copy.deepcopy(tiny_llm.model), tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        trained, untrained = base.model(ids).logits, tiny_llm.model(ids).logits
        assert torch.allclose(fresh(ids).logits, trained, atol=1e-5)
        assert not torch.allclose(untrained, trained, atol=1e-3)
    assert result.saved_bytes == (tmp_path / models.ADAPTER_FILE).stat().st_size


def test_a_folder_without_an_adapter_is_refused(tiny_llm: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither an adapter nor a model"):
        models.with_adapter(tiny_llm.model, tmp_path)


def test_evaluation_is_watched_during_training(base: Any, tmp_path: Path) -> None:
    result = train.train(EXAMPLES, tmp_path, CONFIG, base=base, evaluation=EXAMPLES[:3])
    assert len(result.evaluations) >= 4
    assert result.evaluations[-1]["eval_loss"] < result.evaluations[0]["eval_loss"]


def test_a_finished_run_is_read_not_repeated(base: Any, tiny_llm: Any, tmp_path: Path) -> None:
    first = train.train(EXAMPLES, tmp_path, CONFIG, base=base)
    assert train.train(EXAMPLES, tmp_path, CONFIG, base=None) == first


def test_a_folder_of_another_run_is_refused(base: Any, tmp_path: Path) -> None:
    train.train(EXAMPLES, tmp_path, CONFIG, base=base)
    with pytest.raises(ValueError, match="another configuration or other examples"):
        train.train(EXAMPLES[1:], tmp_path, CONFIG, base=base)


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from labkit import models, train
model, tokenizer, examples, config = pickle.loads(Path(sys.argv[1]).read_bytes())
def kill(step):
    if step["step"] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
base = models.LanguageModel("tiny", model, tokenizer)
train.train(examples, Path(sys.argv[2]), config, base=base, on_step=kill)
"""


@pytest.mark.parametrize(
    "step", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 6))]
)
def test_a_killed_run_goes_on_to_the_same_final_loss(
    base: Any, tiny_llm: Any, tmp_path: Path, step: int
) -> None:
    import pickle

    whole = train.train(EXAMPLES, tmp_path / "whole", CONFIG, base=base)
    packed = tmp_path / "packed"
    packed.write_bytes(pickle.dumps((tiny_llm.model, tiny_llm.tokenizer, EXAMPLES, CONFIG)))
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(packed), str(out), str(step)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        command, cwd=root, capture_output=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    fresh = models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)
    resumed = train.train(EXAMPLES, out, CONFIG, base=fresh)
    losses = [row["loss"] for row in resumed.log]
    assert losses == pytest.approx([row["loss"] for row in whole.log], abs=1e-6)
    assert len(losses) == 8
    assert resumed.n_tokens == whole.n_tokens


def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    for number, content in ((2, "{}"), (10, '{"half'), (12, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if content:
            (folder / "trainer_state.json").write_text(content)
    assert train.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


GPU = {"gpu_name": "card", "n_gpus": 1, "gpu_bytes": 16 * 2**30}


@pytest.mark.parametrize(
    ("method", "machine", "wanted"),
    [
        ("lora", {}, Precision("float32")),
        ("lora", {"cpu_bf16": True}, Precision("bfloat16")),
        ("full", {"cpu_bf16": True}, Precision("float32")),
        ("qlora", GPU | {"gpu_bf16": True}, Precision("bfloat16")),
        ("full", GPU | {"gpu_bf16": True}, Precision("float32", autocast="bfloat16")),
        ("lora", GPU, Precision("float16", autocast="float16")),
        ("full", GPU, Precision("float32", autocast="float16")),
    ],
)
def test_number_formats_follow_the_hardware(method: Any, machine: dict, wanted: Precision) -> None:
    known = {"cpu_name": "", "n_cores": 2, "ram_bytes": 2**34, "cpu_bf16": False} | machine
    assert train.precision(method, hardware.Hardware(**known)) == wanted


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
    ],
)
def test_running_out_of_memory_says_what_to_lower(base, tmp_path, monkeypatch, error) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("labkit.answer_trainer.answer_loss", fail)
    with pytest.raises(MemoryError, match=r"micro_batch \(now 4\), max_tokens .* labkit plan"):
        train.train(EXAMPLES, tmp_path, CONFIG, base=base)


def test_other_errors_stay_as_they_are(base: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("labkit.answer_trainer.answer_loss", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train.train(EXAMPLES, tmp_path, CONFIG, base=base)


def test_no_examples_and_odd_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples"):
        train.train([], tmp_path, CONFIG)
    with pytest.raises(ValueError, match="There is no method 'dora'; use full, lora, qlora"):
        TrainConfig(model="tiny", method="dora")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rank is 0"):
        TrainConfig(model="tiny", rank=0)


def test_qlora_keeps_the_base_in_four_bits_and_learns(
    tiny_llm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from bitsandbytes.nn import Linear4bit

    tiny_llm.model.save_pretrained(tmp_path / "base")
    tiny_llm.tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr(models, "model_dir", lambda name: tmp_path / "base")
    config = TrainConfig(
        "SmolLM2-135M-Instruct", method="qlora", batch_size=4, n_epochs=12, learning_rate=0.02
    )
    llm = train.load_base(config, Precision("float32"))
    result = train.train(EXAMPLES, tmp_path / "out", config, base=llm)
    layers = [m for m in llm.model.modules() if isinstance(m, Linear4bit)]
    assert len(layers) == 14 and all(m.weight.dtype == torch.uint8 for m in layers)
    assert result.log[-1]["loss"] < result.log[0]["loss"] - 0.1
    assert result.n_parameters == tiny_llm.model.num_parameters()


def test_the_result_file_holds_the_whole_configuration(base: Any, tmp_path: Path) -> None:
    train.train(EXAMPLES, tmp_path, CONFIG, base=base)
    row = json.loads((tmp_path / train.RESULT_FILE).read_text())
    assert row["config"]["rank"] == 4 and row["config"]["method"] == "lora"
    assert {"n_trainable", "n_tokens", "peak_bytes", "log", "train_s"} <= row.keys()


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan"), 1.0])
def test_a_learning_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate is .*above 0"):
        TrainConfig("tiny", learning_rate=rate)


def test_training_stops_where_the_loss_is_no_number(base: Any, tmp_path: Path) -> None:
    import torch

    with torch.no_grad():
        base.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="The loss is nan; training stops"):
        train.train(EXAMPLES, tmp_path / "out", CONFIG, base=base)
    assert not (tmp_path / "out" / models.RESULT_FILE).exists()


def test_a_run_goes_on_from_another_working_folder(base: Any, tmp_path: Path) -> None:
    out, again = tmp_path / "out", copy.deepcopy(base)
    first = train.train(EXAMPLES, out, replace(CONFIG, command="finetune --out here"), base=base)
    (out / models.RESULT_FILE).unlink()
    moved = replace(CONFIG, command="finetune --out ../here")
    assert train.train(EXAMPLES, out, moved, base=again).log == first.log


def test_micro_batches_give_the_gradient_of_the_whole_batch(tiny_llm: Any, tmp_path: Path) -> None:
    logs = []
    for rows in (None, 1, 2):
        fresh = models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)
        config = replace(CONFIG, micro_batch=rows)
        logs.append(train.train(EXAMPLES, tmp_path / str(rows), config, base=fresh).log)
    for log in logs[1:]:
        for key in ("loss", "grad_norm"):
            wanted = [row[key] for row in logs[0]]
            assert [row[key] for row in log] == pytest.approx(wanted, abs=1e-5)
        assert [row["tokens"] for row in log] == [row["tokens"] for row in logs[0]]
    with pytest.raises(ValueError, match="micro_batch is 3; give a number that divides"):
        replace(CONFIG, micro_batch=3)


def test_products_are_cast_inside_the_loss(base: Any, tmp_path: Path, monkeypatch: Any) -> None:
    import torch

    seen: set = set()
    for layer in base.model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda module, args, result: seen.add(result.dtype))
    formats = Precision("float32", autocast="bfloat16")
    monkeypatch.setattr(train, "precision", lambda *_: formats)
    config = replace(CONFIG, method="full", n_epochs=1)
    train.train(EXAMPLES, tmp_path, config, base=base)
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in base.model.parameters()} == {torch.float32}


def test_a_second_card_is_left_alone(monkeypatch: Any, tmp_path: Path) -> None:
    from transformers import TrainingArguments

    from labkit.answer_trainer import arguments

    def two_cards(told: Any) -> Any:
        told._n_gpu = 2
        return torch_device

    import torch

    torch_device = torch.device("cpu")
    setup = property(two_cards)
    monkeypatch.setattr(TrainingArguments, "_setup_devices", setup)
    assert TrainingArguments(str(tmp_path)).n_gpu == 2, "the made-up machine has two"
    assert arguments(tmp_path, CONFIG, Precision("float32"), 8).n_gpu == 1


def test_running_out_of_memory_keeps_nothing_alive(
    base: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Jupyter keeps the last traceback; what it holds cannot be freed."""
    import gc
    import weakref

    import torch

    big: list = []

    def fill(*_: Any, **__: Any) -> None:
        activations = torch.zeros(10)
        big.append(weakref.ref(activations))
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("labkit.answer_trainer.answer_loss", fill)
    with pytest.raises(MemoryError) as caught:
        train.train(EXAMPLES, tmp_path, CONFIG, base=base)
    gc.collect()
    assert caught.value.__traceback__ is not None and big[0]() is None


@pytest.mark.parametrize(
    ("model", "method", "asked", "wanted"),
    [
        ("SmolLM2-135M-Instruct", "lora", None, 1e-3),
        ("Phi-3.5-mini-instruct", "qlora", None, 2e-4),
        ("Phi-3.5-mini-instruct", "full", None, 5e-5),
        ("of-your-own", "lora", None, 1e-3),
        ("Phi-3.5-mini-instruct", "lora", 3e-3, 3e-3),
    ],
)
def test_the_usual_learning_rate_follows_method_and_size(model, method, asked, wanted) -> None:
    from labkit.catalogue import learning_rate

    assert learning_rate(TrainConfig(model, method, learning_rate=asked)) == wanted
