"""Models of transformers through `torch.compile(model, backend="dlc")`: random weights, small.

    python tests/transformers_suite.py [NAME ...] [--write]

Each model runs as written, with attention in separate operators and in one, for inference and for
training. Results and gradients of dlc and of eager PyTorch at float32 are held against eager
PyTorch at float64, and the graphs are counted; two models are trained on ten shapes of texts
too. `--write` brings the table in docs/torch.md up to date.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import time
from pathlib import Path

import torch
import transformers

from dlc.interop.torch import backend, dlc_backend

PAGE = Path(__file__).parent.parent / "docs" / "torch.md"
FACTOR, FLOOR = 4.0, 4 * 2.0**-24  # of eager's own error; of the largest element
WORDS = 99
TEXT = {"vocab_size": WORDS, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
WIDTH = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
}  # fmt: skip
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IMAGES = {"image_size": 16, "patch_size": 4, "num_channels": 3}


def tokens(length=9, batch=2):
    return torch.randint(4, WORDS, (batch, length))


def text():
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    return {"input_ids": tokens(), "attention_mask": mask}


def pair():
    return {**text(), "decoder_input_ids": tokens(5)}


def image():
    return {"pixel_values": torch.randn(2, 3, 16, 16)}


def layout():
    corners = torch.randint(0, 50, (2, 9, 2))
    return {**text(), "bbox": torch.cat([corners, corners + 10], -1)}


def _model(name, inputs, **settings):
    """A model by its name in transformers."""

    def make(attention):
        config = getattr(transformers, f"{name}Config")(**settings)
        return getattr(transformers, f"{name}Model")._from_config(
            config, attn_implementation=attention
        )

    return make, inputs


def _clip(attention):
    common = {**WIDTH, "attention_dropout": 0.0, "projection_dim": 16}
    config = transformers.CLIPConfig(
        text_config={**common, **TEXT, "max_position_embeddings": 16},
        vision_config={**common, **IMAGES},
        projection_dim=16,
    )
    return transformers.CLIPModel._from_config(config, attn_implementation=attention)


def _detr_encoder(attention):
    from transformers.models.detr.modeling_detr import DetrEncoder

    config = transformers.DetrConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, dropout=0.0,
        attn_implementation=attention,
    )  # fmt: skip
    return DetrEncoder(config)


def _pixels():
    mask = torch.ones(2, 12, dtype=torch.int64)
    mask[1, 9:] = 0
    return {
        "inputs_embeds": torch.randn(2, 12, 32),
        "attention_mask": mask,
        "spatial_position_embeddings": torch.randn(2, 12, 32),
    }


_SEQUENCES = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
STILL = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
MODELS = {
    "BERT": _model("Bert", text, **TEXT, **WIDTH, **QUIET),
    "RoBERTa": _model("Roberta", text, **TEXT, **WIDTH, **QUIET),
    "DistilBERT": _model(
        "DistilBert", text, vocab_size=WORDS, dim=32, n_layers=2, n_heads=4, hidden_dim=64,
        dropout=0.0, attention_dropout=0.0,
    ),
    "GPT-2": _model(
        "GPT2", text, **TEXT, n_embd=32, n_layer=2, n_head=4, n_positions=64, **STILL
    ),
    "OPT": _model(
        "OPT", text, **TEXT, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        word_embed_proj_dim=32, max_position_embeddings=32, **_SEQUENCES,
    ),
    "BLOOM": _model(
        "Bloom", text, **TEXT, hidden_size=32, n_layer=2, n_head=4, hidden_dropout=0.0,
        attention_dropout=0.0,
    ),
    "Phi": _model(
        "Phi", text, **TEXT, **WIDTH, max_position_embeddings=32, embd_pdrop=0.0, resid_pdrop=0.0,
        attention_dropout=0.0,
    ),
    "StableLM": _model(
        "StableLm", text, **TEXT, **WIDTH, num_key_value_heads=2, max_position_embeddings=32,
        hidden_dropout=0.0, attention_dropout=0.0,
    ),
    "ViT": _model("ViT", image, **WIDTH, **IMAGES, **QUIET),
    "DeiT": _model("DeiT", image, **WIDTH, **IMAGES, **QUIET),
    "CLIP": (_clip, lambda: {**text(), **image()}),
    "ConvNeXtV2": _model(
        "ConvNextV2", image, num_channels=3, patch_size=2, depths=[1, 1, 2], num_stages=3,
        hidden_sizes=[8, 16, 32], drop_path_rate=0.0,
    ),
    "T5": _model(
        "T5", pair, vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        dropout_rate=0.0, pad_token_id=1, decoder_start_token_id=1,
    ),
    "MBart": _model(
        "MBart", pair, **TEXT, d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, max_position_embeddings=32, **_SEQUENCES,
    ),
    "Hubert": _model(
        "Hubert", lambda: {"input_values": torch.randn(2, 400)}, **WIDTH, hidden_dropout=0.0,
        attention_dropout=0.0, activation_dropout=0.0, final_dropout=0.0, layerdrop=0.0,
        conv_dim=[16, 16, 16], conv_kernel=[10, 3, 2], conv_stride=[5, 2, 2],
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, apply_spec_augment=False,
    ),
    "DETR's encoder": (_detr_encoder, _pixels),
    "LayoutLM": _model(
        "LayoutLM", layout, **TEXT, **WIDTH, **QUIET, max_2d_position_embeddings=64
    ),
    "XLM-R": _model("XLMRoberta", text, **TEXT, **WIDTH, **QUIET),
}  # fmt: skip


def made(name, attention="sdpa"):
    """A model with its inputs, the same ones at each call."""
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    return make(attention), inputs()


def floats(value):
    """The float tensors in what a model returns."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in floats(v)] if isinstance(value, (list, tuple)) else []


def wants(name, value):
    """Whether an input has a gradient: of sound, models decide for themselves."""
    return value.is_floating_point() and name != "input_values"


def as_double(inputs):
    return {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}


def results(run, model, inputs, training):
    """Outputs and, for training, gradients of parameters and of inputs that are floats."""
    model.train(training)
    if not training:
        with torch.no_grad():
            return [t.double() for t in floats(run(**inputs))]
    given = {
        k: v.detach().clone().requires_grad_() if wants(k, v) else v for k, v in inputs.items()
    }
    sources = [v for v in given.values() if v.requires_grad]
    outputs = floats(run(**given))
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (t * torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype)).sum()
        for t in outputs
        if t.requires_grad
    )
    sources += [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, sources, allow_unused=True)
    return [t.detach().double() for t in (*outputs, *gradients) if t is not None]


def excess(got, single, exact):
    """How far the worst result is from exact ones, in what float32 allows for: at most 1 is fine.

    Some exact gradients are zero, as those of the biases of keys: of these the error is measured
    by the largest gradient.
    """
    assert len(got) == len(single) == len(exact)
    scale = max(float(e.abs().max()) for e in exact if e.numel())
    worst = 0.0
    for g, s, e in zip(got, single, exact, strict=True):
        assert g.shape == e.shape
        if e.numel():
            allowed = FACTOR * (s - e).abs().max() + FLOOR * max(float(e.abs().max()), scale / 64)
            error = (g - e).abs().max()
            worst = max(worst, float(error / allowed) if error == error else float("inf"))
    return worst


def graphs(run):
    """How many graphs a call compiles."""
    counted = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    run()
    return torch._dynamo.utils.counters["stats"]["unique_graphs"] - counted


@contextlib.contextmanager
def programs():
    """The compiled functions that the backend makes meanwhile."""
    made = []

    class Noted(backend.GraphFunction):
        def _program(self, constants):
            program = super()._program(constants)
            made.append(program.compiled)
            return program

    plain, backend.GraphFunction = backend.GraphFunction, Noted
    try:
        yield made
    finally:
        backend.GraphFunction = plain


def check_lengths(name, training, shapes):
    """The worst excess for texts of these shapes (batch, length), and the traces of dlc."""
    torch._dynamo.reset()
    model, _ = made(name)
    double = copy.deepcopy(model).double()
    run = torch.compile(model, backend=dlc_backend)
    worst = 0.0
    with programs() as compiled:
        for batch, length in shapes:
            inputs = {"input_ids": tokens(length, batch)}
            exact = results(double, double, inputs, training)
            single = results(model, model, inputs, training)
            worst = max(worst, excess(results(run, model, inputs, training), single, exact))
    return worst, sum(p.stats.traces for p in compiled)


def check(name, attention, training):
    """The excess of a model, its graphs, and those that dynamo makes by itself; and seconds."""
    torch._dynamo.reset()
    model, inputs = made(name, attention)
    single = results(model, model, inputs, training)
    double = copy.deepcopy(model).double()
    exact = results(double, double, as_double(inputs), training)
    plain = torch.compile(model, backend="eager")
    wanted = graphs(lambda: results(plain, model, inputs, training))
    torch._dynamo.reset()
    found = []
    start = time.perf_counter()
    run = torch.compile(model, backend=dlc_backend)
    count = graphs(lambda: found.extend(results(run, model, inputs, training)))
    seconds = time.perf_counter() - start
    return excess(found, single, exact), count, wanted, seconds


ATTENTIONS = {"eager": "separate", "sdpa": "one operator"}
OF_MANY_LENGTHS = ("BERT", "GPT-2")
LENGTHS = [(2, 5), (2, 7), (2, 6), (3, 12), (2, 9), (4, 15), (2, 4), (3, 10), (2, 31), (2, 8)]


def has(name, attention):
    """Whether transformers has a model with such attention."""
    try:
        made(name, attention)
    except ValueError as error:
        if "does not support" in str(error):
            return False
        raise
    return True


def row(name, attention):
    """A row of the table, and whether all is as it should be."""
    cells, good = [name, ATTENTIONS[attention]], True
    for training in (False, True):
        worst, count, wanted, _ = check(name, attention, training)
        good &= worst <= 1 and count <= wanted
        cells += [f"{worst:.2f}", f"{count} of {wanted}"]
    if name in OF_MANY_LENGTHS and attention == "sdpa":
        worst, traces = check_lengths(name, True, LENGTHS)
        good &= worst <= 1 and traces <= 6  # two graphs each: as traced, lengths open, batches too
        cells.append(f"{worst:.2f}, {traces}")
    else:
        cells.append("")
    return cells, good


def table(rows):
    """The rows as Markdown."""
    head = ["model", "attention", "inference", "graphs", "training", "graphs", "10 shapes"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(MODELS))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows, wrong = [], 0
    for name in given.names or MODELS:
        for attention in filter(lambda a: has(name, a), ATTENTIONS):
            start = time.perf_counter()
            cells, good = row(name, attention)
            seconds = time.perf_counter() - start
            print(*cells, f"{seconds:.0f} s", "" if good else "WRONG", sep="  ", flush=True)
            rows.append(cells)
            wrong += not good
    if given.write:
        head, _, rest = PAGE.read_text().partition("<!-- models -->\n")
        tail = rest.partition("<!-- end of models -->")[2]
        PAGE.write_text(f"{head}<!-- models -->\n{table(rows)}\n<!-- end of models -->{tail}")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
