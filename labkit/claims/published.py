"""Published figures that stand beside ours: cited with their source, never measured here.

Knows: what others have reported on LoRA and QLoRA. Does not know: anything of our own.
Used by lesson 08.
"""

from labkit.results import table

RASCHKA = "S. Raschka 2023, Practical tips for finetuning LLMs using LoRA"
LITGPT = "LitGPT, resource tables"
PEFT = "PEFT, method comparison"
QLORA = "arXiv:2305.14314"
TORCHTUNE = "torchtune documentation"
LOFTQ = "LoftQ, model card of phi-2"
QWEN = "Qwen-7B README"

# Tokens a step and time of Q-LoRA over LoRA, Qwen-7B, one A100-80GB, batch 1.
QWEN_RATIOS = [(256, 2.5), (512, 2.0), (1024, 1.25), (2048, 1.35), (4096, 1.15), (8192, 1.05)]
# Seconds of one run, LoRA and QLoRA, Llama-2-7B on an A100.
RASCHKA_S = (6685.75, 10059.53)

# For which claim, in what setting, the result, and its source.
CITED = (
    ("C8", "Llama-3.2-3B, MetaMathQA", "LoRA 47.8 %, 942 s; full 47.2 %, 2147 s", PEFT),
    ("C8", "phi-2, GSM8K", "full 66.8, LoRA 64.8, QLoRA 60.2", LOFTQ),
    ("C9", "Llama-3.2-3B, MetaMathQA", "full 36.2 GiB → LoRA 20.8 GiB", PEFT),
    ("C10", "Llama-2-7B, A100", "LoRA 21.33 GB → QLoRA 14.18 GB", RASCHKA),
    ("C10", "Llama-2-7B, reserved", "LoRA 15.57 GB → QLoRA 9.29 GB", TORCHTUNE),
    ("C10", "65B", "from over 780 GB to under 48 GB", QLORA),
    ("C11", "Llama-2-7B, A100", "6685.75 s → 10059.53 s", RASCHKA),
    ("C11", "phi-1.5, 3B, 7B, 13B, A100", "+9 %, +47 %, +56 %, +100 % time", LITGPT),
    ("C11", "Qwen-7B, A100, 256 to 8192 tokens", "2.5 × falling to 1.05 ×", QWEN),
    ("C12", "phi-2, GSM8K", "LoRA 64.8, QLoRA 60.2, LoftQ 64.1", LOFTQ),
)


def cited_table(*claims: str) -> str:
    """Return what others published on these claims, as markdown.

    Examples
    --------
    >>> cited_table("C9").count("PEFT")
    1
    """
    rows = [[*told, f"cited: {source}"] for *told, source in CITED if told[0] in claims]
    return table(["claim", "model and setting", "published", "source"], rows)
