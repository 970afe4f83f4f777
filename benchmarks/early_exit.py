"""Draft with the first layers of a decoder, after training with and without losses at every layer.

    python benchmarks/early_exit.py TEXT [--steps 200] [--json FILE]

A small Llama learns the characters of a text three times: plainly; with layers dropped per
sequence; and with layers dropped and a loss at every layer (LayerSkip). Then it continues
passages of the end of the text, greedily, with all layers and with `assistant_early_exit=k`,
which must give the same text. `tokens_per_check` says how many tokens one forward of all
layers confirms or makes: 1 without a draft. One thread, processor time.
"""

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training.early_exit import Rotational, early_exit

LAYERS, WIDTH, ROWS, LENGTH, NEW = 6, 64, 16, 64, 48
PASSAGES = 6


def model_of(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4,
        intermediate_size=4 * WIDTH, max_position_embeddings=256, pad_token_id=0,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def trained(tokens: Tensor, vocabulary: int, steps: int, drop: float, exits: bool) -> Any:
    """Train with AdamW and a cosine schedule; survival falls linearly over depth."""
    model = model_of(vocabulary)
    handle = None
    if drop:
        schedule = sd.schedules.linear(1 - drop, rule="linspace")
        handle = sd.apply(model, schedule, per="sample", seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    places = torch.Generator().manual_seed(1)
    many = early_exit(model, Rotational(every=2), scale=0.2) if exits else nullcontext()
    with many as losses:
        for step in range(steps):
            if losses is not None:
                losses.step = step
            starts = torch.randint(0, len(tokens) - LENGTH, (ROWS,), generator=places)
            batch = torch.stack([tokens[start : start + LENGTH] for start in starts])
            model.train()(input_ids=batch, labels=batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            cosine.step()
    if handle is not None:
        handle.remove()
    return model.eval()


def continued(model: Any, passages: Tensor, early: int | None) -> tuple[Tensor, int, float]:
    """Return what comes after each passage, forwards of all layers, and seconds."""
    checks = 0

    def count(*_: Any) -> None:
        nonlocal checks
        checks += 1

    hook = model.model.layers[-1].register_forward_hook(count)
    drafts = {} if early is None else {"assistant_early_exit": early}
    start = time.process_time()
    texts = [
        model.generate(row[None], max_new_tokens=NEW, do_sample=False, **drafts)[0]
        for row in passages
    ]
    hook.remove()
    return torch.stack(texts), checks, time.process_time() - start


def measure(model: Any, passages: Tensor) -> list[dict[str, Any]]:
    """Compare drafts of every length with none."""
    continued(model, passages[:1], None)
    expected, checks, plain = continued(model, passages, None)
    rows = [{"early_exit": None, "tokens_per_check": 1.0, "seconds": plain, "speed": 1.0}]
    for early in range(1, LAYERS):
        text, checks, seconds = continued(model, passages, early)
        rows.append({
            "early_exit": early,
            "tokens_per_check": NEW * len(passages) / checks,
            "seconds": seconds,
            "speed": plain / seconds,
            "same_text": bool(torch.equal(text, expected)),
        })  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    text = arguments.text.read_text(encoding="utf-8")
    letters = sorted(set(text))
    tokens = torch.tensor([letters.index(letter) + 1 for letter in text])
    learned, rest = tokens[: len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10 :]
    passages = rest[: PASSAGES * 32 * 50].view(-1, 50, 32)[:, 0]
    results = []
    for name, drop, exits in (("plain", 0.0, False), ("dropped", 0.4, False),
                              ("dropped, early exits", 0.4, True)):  # fmt: skip
        model = trained(learned, len(letters) + 1, arguments.steps, drop, exits)
        held = rest[: 32 * 128].view(32, 128)
        losses = sd.surgery.subnetwork_losses(
            model, [{"input_ids": held, "labels": held}], torch.ones(LAYERS, LAYERS).tril()
        )
        results.append({
            "training": name, "prefix_losses": losses.tolist(), "drafts": measure(model, passages),
        })  # fmt: skip
        print(json.dumps(results[-1]), flush=True)
    if arguments.json:
        record = {
            "results": results, "steps": arguments.steps, "layers": LAYERS, "width": WIDTH,
            "threads": 1, "hardware": hardware(), "versions": versions("transformers"),
        }  # fmt: skip
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
