"""dlc: functions compiled by `dlc.compile`, and those of eager mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dlc
from dlc.bench import problems, recurrent
from dlc.bench.problem import Array, Arrays, Case, Program, as_arrays
from dlc.ir.deferred import deferred

# Not needed for a first result.
if TYPE_CHECKING:
    from dlc.bench import gpu_device, peaks
    from dlc.bench.frameworks import dlc_eager, dlc_fit, dlc_networks, torch_door
    from dlc.bench.share import Peaks
    from dlc.codegen.cpu import isa
    from dlc.runtime import kernel_times
else:
    dlc_eager = deferred("dlc.bench.frameworks.dlc_eager")
    dlc_fit = deferred("dlc.bench.frameworks.dlc_fit")
    dlc_networks = deferred("dlc.bench.frameworks.dlc_networks")
    torch_door = deferred("dlc.bench.frameworks.torch_door")
    gpu_device = deferred("dlc.bench.gpu_device")
    peaks = deferred("dlc.bench.peaks")
    isa = deferred("dlc.codegen.cpu.isa")
    kernel_times = deferred("dlc.runtime.kernel_times")


def _chain(x: Any, y: Any) -> Any:
    return dlc.tanh(x * y + x) * dlc.exp(-y * y)


def _attention(q: Any, k: Any, v: Any) -> Any:
    fused = getattr(dlc, "scaled_dot_product_attention", None)
    if fused is not None:
        return fused(q, k, v)
    scores = (q @ dlc.matrix_transpose(k)) / math.sqrt(q.shape[-1])
    return dlc.softmax(scores, axis=-1) @ v


def _attention_causal(q: Any, k: Any, v: Any) -> Any:
    return dlc.scaled_dot_product_attention(q, k, v, is_causal=True)


def _layer_norm(x: Any, w: Any, b: Any) -> Any:
    return dlc.layer_norm(x, w, b)


def _rms_norm(x: Any, w: Any) -> Any:
    return dlc.rms_norm(x, w, eps=1e-5)


def _kalman(constants: Sequence[Array]) -> Program:
    move, noise, seen, doubt = constants

    def step(carry: Any, y: Any) -> Any:
        x, p = carry
        x, p = move @ x, move @ p @ move.T + noise
        s = seen @ p @ seen.T + doubt
        gain = dlc.matrix_transpose(dlc.linalg.solve(s, seen @ p))
        x, p = x + gain @ (y - seen @ x), p - gain @ s @ dlc.matrix_transpose(gain)
        return (x, p), x

    return lambda measured: dlc.scan(step, (dlc.zeros(len(move)), dlc.eye(len(move))), measured)[1]


def _gradient(function: Callable[..., Any]) -> Program:
    """The value and the gradients, from the inputs and a cotangent."""

    def run(*arguments: Any) -> Any:
        *inputs, cotangent = arguments
        value, pull_back = dlc.vjp(function, *inputs)
        return (value, *pull_back(cotangent))

    return run


def _layer(stride: int) -> Program:
    """A convolution with a bias and relu."""

    def layer(x: Any, w: Any, b: Any) -> Any:
        groups, padding = x.shape[1] // w.shape[1], w.shape[2] // 2
        return dlc.relu(dlc.conv2d(x, w, b, stride=stride, padding=padding, groups=groups))

    return layer


def _inference(stride: int) -> Callable[[Sequence[Array]], Program]:
    return lambda constants: lambda x: _layer(stride)(x, *constants)


def _plain(function: Program) -> Callable[[Sequence[Array]], Program]:
    return lambda constants: function


def _network(parameters: Sequence[Any], x: Any) -> Any:
    w1, b1, w2, b2, w3, b3 = parameters
    h = dlc.relu(x @ w1 + b1)
    h = dlc.relu(h @ w2 + b2)
    return h @ w3 + b3


def _deep(constants: Sequence[Array]) -> Program:
    parameters = [dlc.Variable(a) for a in constants]

    def run(x: Any) -> Any:
        for w, b in zip(parameters[::2], parameters[1::2], strict=True):
            x = dlc.tanh(x @ w + b)
        return x

    return run


def _training(constants: Sequence[Array]) -> Program:
    parameters = [dlc.Variable(a) for a in constants]
    first = [dlc.Variable(0 * a) for a in constants]
    second = [dlc.Variable(0 * a) for a in constants]
    count = dlc.Variable(dlc.asarray(0.0, dtype=dlc.float32))
    beta1, beta2 = problems.BETA1, problems.BETA2

    def loss_of(parameters: Sequence[Any], x: Any, labels: Any) -> Any:
        return dlc.cross_entropy(_network(parameters, x), labels)

    def step(x: Any, labels: Any) -> Any:
        loss, gradients = dlc.value_and_grad(loss_of)(parameters, x, labels)
        count.assign_add(1)
        rate = problems.RATE / (1 - beta1**count)
        root = dlc.sqrt(1 - beta2**count)
        for p, m, v, g in zip(parameters, first, second, gradients, strict=True):
            m.assign(m + (1 - beta1) * (g - m))
            v.assign(v + (1 - beta2) * (g * g - v))
            p.assign_sub(rate * m / (dlc.sqrt(v) / root + problems.EPSILON))
        return loss

    return step


def _example_gradients(constants: Sequence[Array]) -> Program:
    parameters = [dlc.asarray(c) for c in constants]

    def loss(parameters: Sequence[Any], x: Any, label: Any) -> Any:
        return -dlc.take(dlc.log_softmax(_network(parameters, x)), label)

    gradients = dlc.vmap(dlc.grad(loss), in_axes=(None, 0, 0))
    return lambda x, labels: tuple(gradients(parameters, x, labels))


def _lstm_training(constants: Sequence[Array]) -> Program:
    parameters = [dlc.Variable(a) for a in constants]

    def loss_of(parameters: Sequence[Any], x: Any, y: Any) -> Any:
        w, u, b = parameters

        def cell(state: Any, row: Any) -> Any:
            h, c = state
            i, f, g, o = dlc.split(row @ w + h @ u + b, 4, axis=-1)
            c = dlc.sigmoid(f) * c + dlc.sigmoid(i) * dlc.tanh(g)
            h = dlc.sigmoid(o) * dlc.tanh(c)
            return (h, c), h

        zero = dlc.zeros((x.shape[1], u.shape[0]))
        _, outputs = dlc.scan(cell, (zero, zero), x)
        return dlc.mean((outputs - y) ** 2)

    def step(x: Any, y: Any) -> Any:
        loss, gradients = dlc.value_and_grad(loss_of)(parameters, x, y)
        for p, g in zip(parameters, gradients, strict=True):
            p.assign_sub(recurrent.RATE * g)
        return loss

    return step


def _embedding_gradient(table: Any, places: Any, ct: Any) -> Any:
    _, pull_back = dlc.vjp(lambda t: dlc.take(t, places, axis=0), table)
    return pull_back(ct)[0]


def _merged_heads(x: Any) -> Any:
    return dlc.permute_dims(x, (0, 2, 1, 3)).reshape(x.shape[0], x.shape[2], -1)


def _rotary(x: Any, c: Any, s: Any) -> Any:
    a, b = x[..., ::2], x[..., 1::2]
    return dlc.stack([a * c - b * s, a * s + b * c], axis=-1).reshape(x.shape)


PROGRAMS: dict[str, Callable[[Sequence[Array]], Program]] = {
    "warm_up": _plain(lambda x: dlc.sum(dlc.sqrt(x * x + 1), axis=-1)),
    "add": _plain(lambda x, y: x + y),
    "chain": _plain(_chain),
    "softmax": _plain(lambda x: dlc.softmax(x, axis=-1)),
    "log_softmax": _plain(lambda x: dlc.log_softmax(x, axis=-1)),
    "layer_norm": _plain(_layer_norm),
    "rms_norm": _plain(_rms_norm),
    "softmax_gradient": _plain(_gradient(lambda x: dlc.softmax(x, axis=-1))),
    "log_softmax_gradient": _plain(_gradient(lambda x: dlc.log_softmax(x, axis=-1))),
    "layer_norm_gradient": _plain(_gradient(_layer_norm)),
    "rms_norm_gradient": _plain(_gradient(_rms_norm)),
    "cross_entropy_gradient": lambda constants: dlc.value_and_grad(dlc.cross_entropy),
    "attention": _plain(_attention),
    "attention_causal": _plain(_attention_causal),
    "attention_gradient": _plain(_gradient(_attention)),
    "matmul": _plain(lambda x, y: x @ y),
    "matmul_batched": _plain(lambda x, y: x @ y),
    "matmul_constant": lambda constants: lambda x: x @ constants[0],
    "linear_gelu": _plain(lambda x, w, b: dlc.gelu(x @ w + b)),
    "mlp": lambda constants: lambda x: _network(constants, x),
    "mlp_training": _training,
    "example_gradients": _example_gradients,
    "lstm_training": _lstm_training,
    "deep": _deep,
    "convolution": _inference(1),
    "convolution_strided": _inference(2),
    "convolution_gradient": _plain(_gradient(_layer(1))),
    "convolution_strided_gradient": _plain(_gradient(_layer(2))),
    "solve": _plain(dlc.linalg.solve),
    "inverse": _plain(dlc.linalg.inv),
    "determinant": _plain(dlc.linalg.det),
    "cholesky": _plain(dlc.linalg.cholesky),
    "kalman": _kalman,
    "sort": _plain(lambda x: dlc.sort(x, axis=-1)),
    "argsort": _plain(lambda x: dlc.argsort(x, axis=-1)),
    "top_8": _plain(lambda x: tuple(dlc.topk(x, 8))),
    "top_64": _plain(lambda x: tuple(dlc.topk(x, 64))),
    "cumulative_sum": _plain(lambda x: dlc.cumulative_sum(x, axis=-1)),
    "embedding_gradient": _plain(_embedding_gradient),
    "linear": _plain(lambda x, w: x @ w.T),
    "add_transposed": _plain(lambda x, y: x + y.T),
    "merged_heads": _plain(_merged_heads),
    "rotary": _plain(_rotary),
    "sum_of_all": _plain(dlc.sum),
    # Files that are loaded late.
    "gpt2_training": lambda constants: dlc_networks.gpt2_training(constants),  # noqa: PLW0108
    "gpt2_decode": lambda constants: dlc_networks.gpt2_decode(constants),  # noqa: PLW0108
    "bert_states": lambda constants: dlc_networks.bert_states(constants),  # noqa: PLW0108
    "resnet_training": lambda constants: dlc_networks.resnet_training(constants),  # noqa: PLW0108
    "torch_model": lambda constants: torch_door.model(constants),  # noqa: PLW0108
    "fit": lambda constants: dlc_fit.Fit(constants),  # noqa: PLW0108
}
NOT_COMPILED = ("fit", "torch_model")  # by `dlc.compile`
EAGER = "eager_"  # how the names of programs begin that nobody compiles


class Dlc:
    """dlc at its defaults."""

    def __init__(self, threads: int, device: str = "cpu") -> None:
        self.threads, self.device = threads, device

    def settings(self) -> dict[str, str]:
        """Version, threads and instruction set, or what the GPU is."""
        if self.device != "cpu":
            return {"dlc": dlc.__version__, **gpu_device.settings(self.device)}
        return {"dlc": dlc.__version__, "threads": str(self.threads), "isa": isa.host_isa().name}

    def prepare_for(self, suite: str) -> None:
        """Loads what the programs of a suite need besides dlc."""
        if suite == "torch":
            torch_door.warm_up()

    def array(self, array: Array) -> Any:
        """A tensor; over the array's own memory where that is aligned, as JAX has it."""
        aligned = array.ctypes.data % 64 == 0
        return dlc.asarray(array, device=self.device, copy=False if aligned else None)

    def half_array(self, array: Array) -> Any:
        """A tensor of bfloat16."""
        return dlc.asarray(array).astype(dlc.bfloat16).to(self.device)

    def wait(self) -> None:
        """Returns when the work of all calls is done."""
        if self.device != "cpu":
            gpu_device.wait(self.device)

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """The compiled function."""
        name = case.problem.name
        if name.startswith(EAGER):
            return dlc_eager.PROGRAMS[name](constants)
        build = PROGRAMS.get(name)
        if build is not None and name in NOT_COMPILED:
            return build(constants)
        if build is None:
            return None
        if self.device == "cpu":
            return dlc.compile(build(constants), name=name, num_threads=self.threads)
        return dlc.compile(build([self.array(c) for c in constants]), name=name, device=self.device)

    def further(self, program: Any, inputs: Sequence[Any]) -> dict[str, float]:
        """The seconds of the program's kernels alone; of a fit, what it costs over its steps."""
        if hasattr(program, "over_steps"):
            return program.over_steps(*inputs)
        if not hasattr(program, "lower") or self.device != "cpu":
            return {}
        lowered = program.lower(*inputs)
        state = lowered.closure.state()
        arrays = [x.numpy() for x in (*inputs, *state)]
        timer = kernel_times.ProgramTimer(lowered.executable, arrays, self.threads)
        return {"kernels": len(timer.calls), "kernel_seconds": timer.seconds()}

    def peaks(self, largest: float) -> Peaks:
        """What the machine can do where at most `largest` bytes are moved."""
        if self.device != "cpu":
            return gpu_device.measure_peaks(self.device, largest)
        return peaks.measure_peaks(self.threads, largest)

    def arrays(self, result: Any) -> Arrays:
        """The results."""
        results = result if isinstance(result, tuple) else (result,)
        return as_arrays([self._read(r) for r in results])

    def _read(self, result: Any) -> Array:
        whole = result.astype(dlc.float32) if result.dtype is dlc.bfloat16 else result
        return whole.numpy()


def start(threads: int, cache: str, device: str = "cpu") -> Dlc:
    """dlc, whose cache folder is set by the environment."""
    return Dlc(threads, device)
