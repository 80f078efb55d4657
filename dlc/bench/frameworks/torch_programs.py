"""The programs in PyTorch, for eager mode and for torch.compile."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.bench import eager_problems, problems, recurrent, torch_models
from dlc.bench.frameworks import torch_networks
from dlc.bench.frameworks.torch_build import Build
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays

torch: Any = importlib.import_module("torch")
functional: Any = importlib.import_module("torch.nn.functional")


def _plain(function: Program) -> Build:
    return Build(lambda constants: function)


def _gradient(function: Program) -> Build:
    def finish(forward: Any, constants: Sequence[Any]) -> Program:
        def run(*arguments: Any) -> Any:
            *inputs, cotangent = (x.detach() for x in arguments)
            for x in inputs:
                x.requires_grad_()
            value = forward(*inputs)
            value.backward(cotangent)
            return (value.detach(), *(x.grad for x in inputs))

        return run

    return Build(lambda constants: function, finish)


def _loss_gradient(forward: Any, constants: Sequence[Any]) -> Program:
    def run(x: Any, labels: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = forward(x, labels)
        loss.backward()
        return loss.detach(), x.grad

    return run


def _module(parameters: Sequence[Any], forward: Callable[[Sequence[Any], Any], Any]) -> Any:
    """A module in evaluation mode, so that torch.compile may freeze its parameters."""

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.nn.ParameterList(
                torch.nn.Parameter(p, requires_grad=False) for p in parameters
            )

        def forward(self, x: Any) -> Any:
            return forward(list(self.held), x)

    return Module().eval()


def _network(parameters: Sequence[Any], x: Any) -> Any:
    w1, b1, w2, b2, w3, b3 = parameters
    h = functional.relu(functional.linear(x, w1, b1))
    h = functional.relu(functional.linear(h, w2, b2))
    return functional.linear(h, w3, b3)


def _transposed(constants: Sequence[Any]) -> list[Any]:
    """Weights as torch's linear layers hold them."""
    return [c.t().contiguous() if c.dim() == 2 else c.clone() for c in constants]


def _deep(parameters: Sequence[Any], x: Any) -> Any:
    for w, b in zip(parameters[::2], parameters[1::2], strict=True):
        x = torch.tanh(functional.linear(x, w, b))
    return x


def _training_loss(constants: Sequence[Any]) -> Any:
    parameters = [c.requires_grad_() for c in _transposed(constants)]

    def loss(x: Any, labels: Any) -> Any:
        return functional.cross_entropy(_network(parameters, x), labels)

    setattr(loss, "parameters", parameters)  # noqa: B010  functions have no such attribute
    return loss


def _training_step(forward: Any, constants: Sequence[Any]) -> Program:
    # torch.compile keeps the attributes of the function that it wraps.
    parameters = forward.parameters
    optimizer = torch.optim.Adam(
        parameters,
        lr=problems.RATE,
        betas=(problems.BETA1, problems.BETA2),
        eps=problems.EPSILON,
        fused=True,
    )

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _lstm_loss(constants: Sequence[Any]) -> Any:
    w, u, b = constants
    cell = torch.nn.LSTM(w.shape[0], u.shape[0])
    with torch.no_grad():
        cell.weight_ih_l0.copy_(w.t())
        cell.weight_hh_l0.copy_(u.t())
        cell.bias_ih_l0.copy_(b)
        cell.bias_hh_l0.zero_()
    cell.bias_hh_l0.requires_grad_(requires_grad=False)  # the problem has one bias

    def loss(x: Any, y: Any) -> Any:
        return functional.mse_loss(cell(x)[0], y)

    setattr(loss, "parameters", [p for p in cell.parameters() if p.requires_grad])  # noqa: B010
    return loss


def _lstm_step(forward: Any, constants: Sequence[Any]) -> Program:
    optimizer = torch.optim.SGD(forward.parameters, lr=recurrent.RATE)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _layer_norm(x: Any, w: Any, b: Any) -> Any:
    return functional.layer_norm(x, w.shape, w, b, 1e-5)


def _rms_norm(x: Any, w: Any) -> Any:
    return functional.rms_norm(x, w.shape, w, 1e-5)


def _attention(q: Any, k: Any, v: Any) -> Any:
    return functional.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]))


def _attention_causal(q: Any, k: Any, v: Any) -> Any:
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _example_gradients(constants: Sequence[Any]) -> Any:
    def loss(parameters: Sequence[Any], x: Any, label: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        h = functional.relu(x @ w1 + b1)
        h = functional.relu(h @ w2 + b2)
        return functional.cross_entropy((h @ w3 + b3)[None], label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    return lambda x, labels: tuple(gradients(list(constants), x, labels))


def _layer(stride: int) -> Program:
    """A convolution with a bias and relu."""

    def layer(x: Any, w: Any, b: Any) -> Any:
        groups, padding = x.shape[1] // w.shape[1], w.shape[2] // 2
        return functional.relu(functional.conv2d(x, w, b, stride, padding, 1, groups))

    return layer


def _inference(stride: int) -> Build:
    return Build(lambda constants: _module(constants, lambda p, x: _layer(stride)(x, *p)))


def _embedding_gradient(forward: Any, constants: Sequence[Any]) -> Program:
    def run(table: Any, places: Any, ct: Any) -> Any:
        table = table.detach().requires_grad_()
        forward(table, places).backward(ct)
        return table.grad

    return run


def _rotary(x: Any, c: Any, s: Any) -> Any:
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)


def _small_network(constants: Sequence[Any]) -> Program:
    w1, b1, w2, b2 = constants
    return lambda x: functional.linear(functional.relu(functional.linear(x, w1, b1)), w2, b2)


def _small_gradients(forward: Any, constants: Sequence[Any]) -> Program:
    for p in constants:
        p.requires_grad_()

    def run(x: Any) -> Any:
        for p in constants:
            p.grad = None
        forward(x).square().mean().backward()
        return tuple(p.grad for p in constants)

    return run


def _small_step(forward: Any, constants: Sequence[Any]) -> Program:
    for p in constants:
        p.requires_grad_()
    optimizer = torch.optim.Adam(constants, lr=eager_problems.RATE)

    def run(x: Any) -> Any:
        optimizer.zero_grad()
        loss = forward(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return run


def _chain_gradient(x: Any) -> Any:
    y = v = x.detach().requires_grad_()
    for _ in range(eager_problems.LINKS):
        y = torch.tanh(y) + v
    y.sum().backward()
    return v.grad


PROGRAMS: dict[str, Build] = {
    "warm_up": _plain(lambda x: torch.sqrt(x * x + 1).sum(dim=-1)),
    "add": _plain(lambda x, y: x + y),
    "chain": _plain(lambda x, y: torch.tanh(x * y + x) * torch.exp(-y * y)),
    "softmax": _plain(lambda x: torch.softmax(x, -1)),
    "log_softmax": _plain(lambda x: torch.log_softmax(x, -1)),
    "layer_norm": _plain(_layer_norm),
    "rms_norm": _plain(_rms_norm),
    "softmax_gradient": _gradient(lambda x: torch.softmax(x, -1)),
    "log_softmax_gradient": _gradient(lambda x: torch.log_softmax(x, -1)),
    "layer_norm_gradient": _gradient(_layer_norm),
    "rms_norm_gradient": _gradient(_rms_norm),
    "cross_entropy_gradient": Build(lambda constants: functional.cross_entropy, _loss_gradient),
    "attention": _plain(_attention),
    "attention_causal": _plain(_attention_causal),
    "attention_gradient": _gradient(_attention),
    "matmul": _plain(torch.matmul),
    "matmul_batched": _plain(torch.matmul),
    "matmul_constant": Build(
        lambda constants: _module(_transposed(constants), lambda p, x: functional.linear(x, p[0]))
    ),
    "linear_gelu": _plain(lambda x, w, b: functional.gelu(torch.addmm(b, x, w))),
    "mlp": Build(lambda constants: _module(_transposed(constants), _network)),
    "example_gradients": Build(_example_gradients),
    "mlp_training": Build(_training_loss, _training_step),
    "lstm_training": Build(_lstm_loss, _lstm_step),
    "torch_model": Build(torch_models.model_of),
    "deep": Build(lambda constants: _module(_transposed(constants), _deep)),
    "convolution": _inference(1),
    "convolution_strided": _inference(2),
    "convolution_gradient": _gradient(_layer(1)),
    "convolution_strided_gradient": _gradient(_layer(2)),
    "solve": _plain(torch.linalg.solve),
    "inverse": _plain(torch.linalg.inv),
    "determinant": _plain(torch.linalg.det),
    "cholesky": _plain(torch.linalg.cholesky),
    "sort": _plain(lambda x: torch.sort(x, dim=-1).values),
    "argsort": _plain(lambda x: torch.argsort(x, dim=-1, stable=True)),
    "top_8": _plain(lambda x: tuple(torch.topk(x, 8))),
    "top_64": _plain(lambda x: tuple(torch.topk(x, 64))),
    "cumulative_sum": _plain(lambda x: torch.cumsum(x, -1)),
    "embedding_gradient": Build(
        lambda constants: lambda table, places: functional.embedding(places, table),
        _embedding_gradient,
    ),
    "linear": _plain(functional.linear),
    "add_transposed": _plain(lambda x, y: x + y.T),
    "merged_heads": _plain(lambda x: x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)),
    "rotary": _plain(_rotary),
    "sum_of_all": _plain(torch.sum),
    "eager_exp": _plain(torch.exp),
    "eager_row_sums": _plain(lambda x: torch.sum(x, -1)),
    "eager_softmax": _plain(lambda x: torch.softmax(x, -1)),
    "eager_part": _plain(lambda x: x[eager_problems.ROW]),
    "eager_network": Build(_small_network),
    "eager_gradients": Build(_small_network, _small_gradients),
    "eager_step": Build(_small_network, _small_step),
    "eager_chain": _plain(_chain_gradient),
    **torch_networks.PROGRAMS,
}
_FROZEN = (
    "matmul_constant",
    "mlp",
    "deep",
    "convolution",
    "convolution_strided",
    "torch_model",
    "bert_states",
    "eager_network",
)  # weights, and nothing is differentiated


_MODE = "max-autotune"  # on GPUs: with CUDA graphs


class Torch:
    """PyTorch; `wrap` is what is done to a forward function."""

    def __init__(
        self,
        threads: int,
        *,
        compiled: bool,
        backend: str = "inductor",
        freezes: bool = True,
        device: str = "cpu",
    ) -> None:
        torch.set_num_threads(threads)
        self.device = device
        self.compiled, self.backend, self.freezes = compiled, backend, freezes

    def settings(self) -> dict[str, str]:
        """Version, threads and how matrices are multiplied."""
        return {
            "torch": torch.__version__,
            "threads": str(torch.get_num_threads()),
            "matmul precision": torch.get_float32_matmul_precision(),
            "mkldnn": str(torch.backends.mkldnn.is_available()),
            **({self.backend: self._how()} if self.compiled else {}),
            **({} if self.device == "cpu" else {"GPU": torch.cuda.get_device_name(self.device)}),
        }

    def _how(self) -> str:
        if self.backend != "inductor":
            return "traced and not compiled"
        how = "freezing of constant weights" if self.freezes else "weights as inputs"
        return how if self.device == "cpu" else f"{how}, {_MODE}"

    def array(self, array: Array) -> Any:
        """A tensor."""
        return torch.from_numpy(array.copy()).to(self.device)

    def half_array(self, array: Array) -> Any:
        """A tensor of bfloat16."""
        return self.array(array).to(torch.bfloat16)

    def wait(self) -> None:
        """Returns when the work of all calls is done."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """The function, compiled or not."""
        name = case.problem.name
        build = PROGRAMS.get(name)
        if build is None:
            return None
        frozen = name in _FROZEN
        torch.set_grad_enabled(not frozen)
        tensors = [self.array(c) for c in constants]
        forward = build.forward(tensors)
        if self.compiled:
            inductor: Any = importlib.import_module("torch._inductor.config")
            inductor.freezing = frozen and self.freezes
            how = {} if self.device == "cpu" else {"mode": _MODE}
            forward = torch.compile(forward, backend=self.backend, **how)
        return build.finish(forward, tensors)

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        results = result if isinstance(result, tuple) else (result,)
        return as_arrays([self._read(r.detach()) for r in results])

    def _read(self, result: Any) -> Array:
        whole = result.float() if result.dtype is torch.bfloat16 else result
        return whole.cpu().numpy()
