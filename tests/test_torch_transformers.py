"""Models of transformers through the backend of `torch.compile`, as tests/transformers_suite.py."""

import pytest
import torch
import transformers
import transformers_suite as suite

from dlc.interop.torch import dlc_backend

# The tracer's and the models' own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def fresh():
    yield
    torch._dynamo.reset()


def test_training_as_in_eager():
    worst, found, wanted, _ = suite.check("Hubert", "sdpa", True)
    assert worst <= 1
    assert found == wanted


def test_ten_lengths_are_two_programs():
    shapes = [(2, n) for n in (5, 7, 6, 12, 9, 15, 4, 10, 31, 8)]
    worst, traces = suite.check_lengths("GPT-2", False, shapes)
    assert worst <= 1
    assert traces == 2


def test_texts_are_generated():
    config = transformers.GPT2Config(
        **suite.TEXT, n_embd=16, n_layer=1, n_head=2, n_positions=32, **suite.STILL
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    how = {"max_new_tokens": 10, "do_sample": False}
    ids = suite.tokens(5)
    wanted = model.generate(ids, **how)
    model.forward = torch.compile(model.forward, backend=dlc_backend)
    with suite.programs() as made:
        assert torch.equal(model.generate(ids, **how), wanted)
    # The text that is given, the first token, and all others with a cache that grows.
    assert sum(p.stats.traces for p in made) <= 3


@pytest.mark.parametrize(("norm_first", "activation"), [(False, "relu"), (True, "gelu")])
def test_layers_of_an_encoder_in_inference(norm_first, activation):
    """PyTorch's own layer calls one operator there."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(
        8, 2, 16, activation=activation, batch_first=True, norm_first=norm_first
    ).eval()
    run = torch.compile(layer, backend=dlc_backend, fullgraph=True)
    x = torch.randn(2, 4, 8)
    later = torch.ones(4, 4).triu(1).bool()
    padded = torch.tensor([[False, False, True, True], [True] * 4])
    with torch.no_grad():
        for masks in ({}, {"src_mask": later}, {"src_key_padding_mask": padded}, {
            "src_mask": later, "src_key_padding_mask": padded,
        }):  # fmt: skip
            torch.testing.assert_close(run(x, **masks), layer(x, **masks), equal_nan=True)


def test_the_page_has_a_row_for_each_model():
    _, _, rest = suite.PAGE.read_text().partition("<!-- models -->\n")
    lines = rest.partition("<!-- end of models -->")[0].splitlines()[2:]
    assert {line.split(" | ")[0].removeprefix("| ") for line in lines} == set(suite.MODELS)
    assert len(suite.MODELS) == 18
