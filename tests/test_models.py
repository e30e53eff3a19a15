"""Language models: batched equals single, GGUF comes out as it went in, the real one is whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import catalogue, fetch, models, nf4, rag
from labkit.answer_metrics import abstains, contains_value
from labkit.fetch import convert_gguf
from labkit.models import LanguageModel

QUESTIONS = [
    "How much grease?",
    "How much grease does each pitch bearing of the turbine take at one service, please?",
    "Why?",
]


def conversation(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_a_batch_says_what_single_conversations_say(tiny_llm, batch_size: int) -> None:
    conversations = [conversation(question) for question in QUESTIONS]
    single = [tiny_llm.generate(messages, max_new_tokens=12) for messages in conversations]
    batch = tiny_llm.generate_batch(conversations, max_new_tokens=12, batch_size=batch_size)
    assert batch == single
    assert len({generation.n_prompt_tokens for generation in single}) == 3


def test_a_beginning_that_all_share_is_read_once_and_changes_no_answer(
    tiny_llm, monkeypatch
) -> None:
    worked = [{"role": "user", "content": "Grease?"}, {"role": "assistant", "content": "1 kg."}]
    asked = ["Oil of the gearbox, and how much of it?", "Paint?", "Who?"]
    conversations = [[*worked, {"role": "user", "content": text}] for text in asked]
    read = []
    forward = type(tiny_llm.model).forward
    monkeypatch.setattr(type(tiny_llm.model), "forward", lambda self, *given, **named: (
        read.append(named["input_ids"].shape[1]), forward(self, *given, **named))[1])  # fmt: skip
    quick = tiny_llm.generate_batch(conversations, max_new_tokens=8, batch_size=2)
    beginning = tiny_llm.tokenizer.apply_chat_template(worked, tokenize=False)
    n = tiny_llm.count_tokens(beginning)
    whole = [tiny_llm.count_tokens(tiny_llm.prompt_text(turns)) for turns in conversations]
    assert read[0] == n and read.count(n) == 1
    assert max(read) == max(whole) - n, "the beginning, then only what follows it"
    monkeypatch.setattr(LanguageModel, "_beginning", lambda *_: "")
    assert tiny_llm.generate_batch(conversations, max_new_tokens=8, batch_size=2) == quick


def test_a_beginning_is_read_again_after_the_weights_have_changed(tiny_llm) -> None:
    import torch

    turns = [{"role": role, "content": "?"} for role in ("user", "assistant", "user")]
    tiny_llm.generate(turns, max_new_tokens=1)
    before = tiny_llm._known
    tiny_llm.generate(turns, max_new_tokens=1)
    assert tiny_llm._known is before
    with torch.no_grad():
        next(tiny_llm.model.parameters()).mul_(1.0)  # as an optimizer does, in place
    tiny_llm.generate(turns, max_new_tokens=1)
    assert tiny_llm._known is not before


def test_fast_mode_cuts_answers_short(tiny_llm, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_llm.generate(conversation("Why?"), max_new_tokens=30).n_new_tokens
    monkeypatch.setenv("LABKIT_FAST", "1")
    cut = tiny_llm.generate(conversation("Why?"), max_new_tokens=30).n_new_tokens
    assert cut == min(whole, models.FAST_TOKENS) < whole


def test_greedy_generation_equals_taking_the_likeliest_token_by_hand(tiny_llm) -> None:
    import torch

    messages = conversation(QUESTIONS[0])
    ids = tiny_llm.tokenizer(tiny_llm.prompt_text(messages))["input_ids"]
    n_prompt = len(ids)
    with torch.inference_mode():
        for _ in range(8):
            likeliest = int(tiny_llm.model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(likeliest)
            if likeliest == tiny_llm.tokenizer.eos_token_id:
                break
    expected = tiny_llm.tokenizer.decode(ids[n_prompt:], skip_special_tokens=True).strip()
    generation = tiny_llm.generate(messages, max_new_tokens=8)
    assert (generation.text, generation.n_prompt_tokens) == (expected, n_prompt)
    assert 1 <= generation.n_new_tokens <= 8


def test_progress_is_told_after_each_batch(tiny_llm) -> None:
    told: list[tuple[int, int]] = []
    conversations = [conversation(question) for question in QUESTIONS]
    tiny_llm.generate_batch(
        conversations, max_new_tokens=1, batch_size=2, on_progress=lambda *p: told.append(p)
    )
    assert told == [(2, 3), (3, 3)]


def test_no_conversations_give_no_answers(tiny_llm) -> None:
    assert tiny_llm.generate_batch([]) == []


def test_streamed_pieces_add_up_to_the_text(tiny_llm) -> None:
    pieces: list[str] = []
    said = tiny_llm.generate(conversation("Why?"), max_new_tokens=12, on_text=pieces.append)
    assert "".join(pieces).strip() == said.text
    assert said == tiny_llm.generate(conversation("Why?"), max_new_tokens=12)


@pytest.mark.parametrize("n", [0, -1])
def test_generating_no_tokens_is_refused(tiny_llm, n: int) -> None:
    with pytest.raises(ValueError, match=f"max_new_tokens is {n}"):
        tiny_llm.generate(conversation("Why?"), max_new_tokens=n)


def test_the_prompt_is_the_chat_template_and_is_counted_in_tokens(tiny_llm) -> None:
    text = tiny_llm.prompt_text(conversation("Why?"))
    assert text == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    ids = tiny_llm.tokenizer.encode(text)
    assert tiny_llm.count_tokens(text) == len(ids)
    assert tiny_llm.generate(conversation("Why?"), max_new_tokens=1).n_prompt_tokens == len(ids)


def test_a_tokenizer_without_padding_pads_with_the_end_token(tiny_llm) -> None:
    import copy

    tokenizer = copy.deepcopy(tiny_llm.tokenizer)
    tokenizer.pad_token = None
    tokenizer.padding_side = "right"
    assert LanguageModel("x", tiny_llm.model, tokenizer).tokenizer.pad_token == "<|im_end|>"
    assert tokenizer.padding_side == "left"


def save_as_fetched(llm: LanguageModel, cache: Path, name: str) -> None:
    folder = cache / "models" / name
    llm.model.save_pretrained(folder)
    llm.tokenizer.save_pretrained(folder)
    (folder / fetch.MARKER).write_text(json.dumps({"sha256": {}}))


def test_a_fetched_model_is_loaded_by_name_and_by_auto(tiny_llm, tmp_path, monkeypatch) -> None:
    import torch

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    save_as_fetched(tiny_llm, tmp_path, catalogue.SMALL_MODEL)
    machine = catalogue.Hardware("CPU", 2, 0, cpu_bf16=False)
    monkeypatch.setattr(models.hardware, "detect", lambda: machine)
    loaded = models.load_language_model()
    assert (loaded.name, loaded.model.dtype) == (catalogue.SMALL_MODEL, torch.float32)
    assert loaded.generate(conversation("Why?")) == tiny_llm.generate(conversation("Why?"))
    choice = catalogue.Choice(catalogue.SMALL_MODEL, "cpu", "bfloat16", False, "")
    loaded = models.load_language_model(catalogue.SMALL_MODEL, choice=choice)
    assert loaded.model.dtype == torch.bfloat16


def test_auto_takes_the_best_that_is_here_and_tells_a_card_of_a_better_one(
    tiny_llm, tmp_path, monkeypatch
) -> None:
    from labkit import hardware

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    laptop = hardware.Hardware("CPU", 2, 8 * hardware.GIB, False)
    monkeypatch.setattr(hardware, "detect", lambda: laptop)
    with pytest.raises(FileNotFoundError, match=f"labkit fetch {catalogue.SMALL_MODEL}"):
        models.load_language_model()
    save_as_fetched(tiny_llm, tmp_path, catalogue.SMALL_MODEL)
    assert models.load_language_model().name == catalogue.SMALL_MODEL
    save_as_fetched(tiny_llm, tmp_path, catalogue.READER)
    assert models.load_language_model().name == catalogue.READER
    card = hardware.Hardware("CPU", 2, 2**34, False, "Card", 1, 40 * hardware.GIB, True)
    with pytest.warns(UserWarning, match=f"so {catalogue.READER} answers.*{catalogue.GPU_MODEL}"):
        assert models._choose(card).model == catalogue.READER


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("all-MiniLM-L6-v2", ValueError, "cannot write answers"),
        ("gpt", ValueError, "no model 'gpt'"),
        ("SmolLM2-135M-Instruct", FileNotFoundError, "labkit fetch SmolLM2-135M-Instruct"),
        ("Llama-3.1-8B", ValueError, "planning only"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(
    monkeypatch, tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(error, match=message):
        models.load_language_model(name)


def test_4_bit_weights_without_bitsandbytes_say_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'bitsandbytes"):
        nf4.bitsandbytes_config("float16")


def permuted(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Reorder rotary halves into llama.cpp's pairs, as its converter does."""
    rows, columns = weight.shape
    halves = weight.reshape(n_heads, 2, rows // n_heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def gguf_tensors(model: Any) -> dict[str, np.ndarray]:
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
        "model.layers.": "blk.",
    }
    tensors = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        array = weight.numpy()
        if "q_proj" in name:
            array = permuted(array, model.config.num_attention_heads)
        if "k_proj" in name:
            array = permuted(array, model.config.num_key_value_heads)
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        tensors[name] = array
    return tensors


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """Write a model as llama.cpp does: matrices in 4 bits (Q4_1), norms in float32."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer, tokenizer)
    q4_1 = gguf.GGMLQuantizationType.Q4_1
    for name, array in gguf_tensors(model).items():
        if array.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(array, q4_1), raw_dtype=q4_1)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: Any, tokenizer: Any) -> None:
    import gguf

    facts = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(facts["vocab"], key=facts["vocab"].get)
    special = set(tokenizer.all_special_tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in facts["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def test_a_4_bit_gguf_becomes_the_same_model_in_bf16(tmp_path, tiny_tokenizer) -> None:
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    original = LlamaForCausalLM(config)
    write_gguf(tmp_path / "tiny.gguf", original, tiny_tokenizer)
    convert_gguf(tmp_path / "tiny.gguf", tmp_path / "out")
    assert "quantization_config" not in json.loads((tmp_path / "out/config.json").read_text())
    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert {weight.dtype for weight in converted.parameters()} == {torch.bfloat16}
    q4_1 = gguf.GGMLQuantizationType.Q4_1
    for name, weight in original.state_dict().items():
        expected = weight.numpy()
        if expected.ndim == 2:
            expected = gguf.quants.dequantize(gguf.quants.quantize(expected, q4_1), q4_1)
        found = converted.state_dict()[name].float().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=2**-7, err_msg=name)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "<|im_start|>user\nthe pitch bearing 1.6 kg<|im_end|>"
    assert tokenizer.encode(text) == tiny_tokenizer.encode(text)
    assert tokenizer.chat_template == tiny_tokenizer.chat_template


def test_the_real_small_model_is_whole(real_llm) -> None:
    import torch
    from safetensors import safe_open

    folder = fetch.model_dir(catalogue.SMALL_MODEL)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"
    with safe_open(folder / "model.safetensors", "pt") as file:
        dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}
    assert dtypes == {"BF16"}
    n_parameters = sum(weight.numel() for weight in real_llm.model.parameters())
    assert n_parameters == catalogue.card(catalogue.SMALL_MODEL).n_parameters == 134_515_008
    assert real_llm.model.dtype == torch.float32
    fetch.verify(folder)


def test_the_real_small_model_knows_a_capital_and_stops(real_llm) -> None:
    said = real_llm.generate(conversation("What is the capital of France?"), max_new_tokens=24)
    assert "Paris" in said.text
    assert said.n_new_tokens < 24
    assert "<|" not in said.text


@pytest.mark.parametrize(("cpu_bf16", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_processor_decides_the_format_and_not_the_answer(
    real_llm, make_hit, monkeypatch, cpu_bf16: bool, dtype: str
) -> None:
    import torch

    machine = catalogue.Hardware("CPU", 2, 8 * 2**30, cpu_bf16=cpu_bf16)
    monkeypatch.setattr(models.hardware, "detect", lambda: machine)
    llm = models.load_language_model(catalogue.SMALL_MODEL)
    assert {weight.dtype for weight in llm.model.parameters()} == {getattr(torch, dtype)}
    hit = make_hit("Each pitch bearing takes 1.6 kg of grease.", document_id="SB-1")
    prompt = rag.build_messages("How much grease does a pitch bearing take?", [hit])
    for said in (llm.generate(prompt), llm.generate_batch([prompt])[0]):
        assert contains_value(said.text, "1.6") and not abstains(said.text)
        assert said.n_prompt_tokens == real_llm.generate(prompt).n_prompt_tokens


def test_a_tuned_folder_names_its_base_and_fits_no_other(tmp_path: Path, monkeypatch) -> None:
    told = {"config": {"model": catalogue.SMALL_MODEL}}
    (tmp_path / models.RESULT_FILE).write_text(json.dumps(told))
    wanted: list[str] = []

    def model_dir(name: str) -> Path:
        wanted.append(name)
        raise FileNotFoundError

    monkeypatch.setattr(models, "model_dir", model_dir)
    choice = catalogue.Choice(catalogue.GPU_MODEL, "cpu", "float32", False, "")
    for name in ("auto", catalogue.SMALL_MODEL):
        with pytest.raises(FileNotFoundError):
            models.load_language_model(name, choice=choice, tuned=tmp_path)
    assert wanted == [catalogue.SMALL_MODEL] * 2
    with pytest.raises(ValueError, match="was trained on SmolLM2-135M-Instruct; it does not fit"):
        models.load_language_model(catalogue.GPU_MODEL, choice=choice, tuned=tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_evaluation_before_training_takes_no_gradient_away(dtype: str) -> None:
    """On CPUs with AVX-512-bf16, bitsandbytes repacks 4-bit weights in evaluation mode."""
    import torch

    choice = catalogue.Choice(catalogue.SMALL_MODEL, "cpu", dtype, True, "test")
    model = models.load_language_model(catalogue.SMALL_MODEL, choice=choice).model.eval()
    ids = torch.tensor([[1, 504, 345, 1234]])
    with torch.no_grad():
        before = model(ids).logits
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    model(inputs_embeds=embeddings).logits.float().square().mean().backward()
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all()
    assert embeddings.grad.abs().sum() > 0
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)


@pytest.fixture
def loads(tiny_llm, tmp_path: Path, monkeypatch) -> list[dict]:
    """Let the small model be a tiny one, and note the options of every load."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "base"
    tiny_llm.model.save_pretrained(folder)
    tiny_llm.tokenizer.save_pretrained(folder)
    monkeypatch.setattr(models, "model_dir", lambda name: folder)
    seen: list[dict] = []
    real = AutoModelForCausalLM.from_pretrained

    def spy(path: Any, **options: Any) -> Any:
        seen.append(dict(options))
        if options.get("device_map") == {"": 0}:  # there is no card here
            options["device_map"] = {"": "cpu"}
        return real(path, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spy)
    return seen


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("nf4", [True, False])
def test_every_load_for_a_card_goes_straight_onto_it(loads, monkeypatch, bf16, nf4) -> None:
    from transformers.integrations import sdpa_attention

    from labkit import hardware

    card = hardware.Hardware("CPU", 2, 2**34, False, "Card", 1, 2**34, gpu_bf16=bf16)
    monkeypatch.setattr(hardware, "detect", lambda: card)
    monkeypatch.setattr(sdpa_attention, "use_gqa_in_sdpa", untouched := lambda *_: True)
    choice = catalogue.Choice(catalogue.SMALL_MODEL, "cuda", "float32", nf4, "")
    models.load_language_model(catalogue.SMALL_MODEL, choice=choice)
    assert loads[-1]["device_map"] == {"": 0}
    assert ("quantization_config" in loads[-1]) is nf4
    assert (sdpa_attention.use_gqa_in_sdpa is untouched) is bf16, "off before Ampere only"


def test_an_adapter_trained_on_a_4_bit_base_is_put_on_one(loads, tiny_llm, tmp_path) -> None:
    import copy

    from bitsandbytes.nn import Linear4bit

    from labkit import train
    from labkit.types import Example, TrainConfig

    examples = [Example([{"role": "user", "content": "How much?"}], "1.6 kg")] * 4
    found = {}
    for method in ("lora", "qlora"):
        config = TrainConfig(catalogue.SMALL_MODEL, method, batch_size=4, rank=2, alpha=4)
        base = LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)
        train.train(examples, tmp_path / method, config, base=base)
        tuned = models.load_language_model(tuned=tmp_path / method).model
        found[method] = any(isinstance(layer, Linear4bit) for layer in tuned.modules())
    assert found == {"lora": False, "qlora": True}


def test_a_batch_that_does_not_fit_is_answered_in_halves(tiny_llm, monkeypatch) -> None:
    import torch

    conversations = [conversation(question) for question in QUESTIONS * 2]
    wanted = tiny_llm.generate_batch(conversations, max_new_tokens=6)
    sizes: list[int] = []
    run = tiny_llm._run

    def small_card(encoded: Any, *rest: Any, **named: Any) -> Any:
        sizes.append(len(encoded["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(encoded, *rest, **named)

    monkeypatch.setattr(tiny_llm, "_run", small_card)
    assert tiny_llm.generate_batch(conversations, max_new_tokens=6) == wanted
    assert sizes == [6, 3, 1, 2, 3, 1, 2]
    monkeypatch.setattr(tiny_llm, "_run", lambda *_, **__: (_ for _ in ()).throw(
        torch.OutOfMemoryError("CUDA out of memory")))  # fmt: skip
    with pytest.raises(torch.OutOfMemoryError):
        tiny_llm.generate_batch(conversations[:1])


PHI_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)


def test_phis_end_of_turn_is_learned_and_ends_an_answer(tiny_llm) -> None:
    """Phi closes a turn with a token that is not its end of text (template: its hub page)."""
    import copy

    from labkit.training_data import encode
    from labkit.types import IGNORED, Example

    tokenizer = copy.deepcopy(tiny_llm.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    tokenizer.chat_template = PHI_TEMPLATE
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    row = encode(Example(conversation("How much?"), "1.6 kg"), tokenizer, max_tokens=99)
    learned = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.decode(learned).startswith("1.6 kg<|end|>")
    assert end != tokenizer.eos_token_id
    llm = LanguageModel("phi", copy.deepcopy(tiny_llm.model), tokenizer)
    assert llm.stop_ids == sorted({end, tiny_llm.tokenizer.eos_token_id})
    llm.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    llm.model.lm_head.register_forward_hook(
        lambda *told: told[-1].index_fill(-1, told[-1].new_tensor([end]).long(), 1e4)
    )
    assert llm.generate(conversation("How much?")).n_new_tokens == 1


@pytest.mark.parametrize(("noise", "tied"), [(1e-3, True), (1.0, False)])
def test_two_roundings_of_one_matrix_become_one_again(tiny_llm, noise: float, tied: bool) -> None:
    import copy

    import torch

    model = copy.deepcopy(tiny_llm.model)
    model.config.tie_word_embeddings = False
    first = model.get_input_embeddings().weight.detach()
    head = torch.nn.Parameter(first + noise * first.std() * torch.randn_like(first))
    model.lm_head.weight = head
    fetch.tie_again(model)
    assert torch.equal(model.get_output_embeddings().weight, head)
    assert torch.equal(model.get_input_embeddings().weight, head) is tied
    assert model.config.tie_word_embeddings is tied
