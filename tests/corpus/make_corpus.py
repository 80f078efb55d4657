"""Writes the programs of this folder: `python tests/corpus/make_corpus.py`."""

from pathlib import Path

import dlc
from dlc.ir.printer import print_function

B, D, H, C = 5, 7, 6, 4


def mlp_loss(params, x, labels):
    w1, b1, w2, b2 = params
    hidden = dlc.relu(x @ w1 + b1)
    return dlc.cross_entropy(hidden @ w2 + b2, labels)


def mlp_step(w1, b1, w2, b2, x, labels):
    loss, grads = dlc.value_and_grad(mlp_loss)((w1, b1, w2, b2), x, labels)
    new = [p - 0.1 * g for p, g in zip((w1, b1, w2, b2), grads, strict=True)]
    return loss, *new


def adam(p, m, v, g):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return p - 0.01 * (m / 0.1) / (dlc.sqrt(v / 0.001) + 1e-8), m, v


def softmax(x):
    return dlc.softmax(x, axis=-1), dlc.logsumexp(x, axis=0)


def layer_norm_gradient(x, w, b):
    def loss(x, w, b):
        return (dlc.layer_norm(x, w, b) ** 2).sum()

    return dlc.grad(loss, argnums=(0, 1, 2))(x, w, b)


def attention(q, k, v):
    scores = q @ dlc.permute_dims(k, (0, 2, 1)) / 2.0
    t = q.shape[1]
    mask = dlc.arange(t)[:, None] >= dlc.arange(t)[None, :]
    return dlc.softmax(dlc.where(mask, scores, -1e9), axis=-1) @ v


def embedding_gradient(table, indices, weight):
    return dlc.value_and_grad(lambda t: (dlc.take(t, indices, axis=0) * weight).sum())(table)


def overlapping_writes(x, y):
    x[1:] = x[:-1]
    x[1::2] = dlc.flip(y[1::2], axis=0)
    y[2:4, 1:] = x[0:2, :-1]
    return x, y, dlc.flip(x, axis=(0, 1))


def reductions(x, flags):
    return (
        x.sum(axis=1), x.sum(axis=0), x.max(), dlc.prod(x, axis=1), dlc.argmax(x, axis=1),
        x.mean(axis=0), dlc.var(x, axis=1), dlc.any(flags, axis=0), dlc.all(flags), x.min(axis=0),
    )  # fmt: skip


def casts(x, i, h):
    a = dlc.astype(x, dlc.int32) + i
    b = dlc.astype(h, dlc.float32) * x
    return (
        a,
        b,
        dlc.astype(b, dlc.bfloat16),
        dlc.astype(i, dlc.bool),
        dlc.astype(i, dlc.float16) + h,
    )


def integers(a, b):
    return a // 4 + b % 8, (a & b) ^ (a | 3), a // b, a % b, abs(a) - b * 3, a << 2, a >> 1


def shapes(x):
    y = dlc.concat([x, dlc.flip(x, axis=1)], axis=0)
    z = dlc.permute_dims(dlc.reshape(y, (2, 5, 7)), (2, 0, 1))
    return dlc.pad(z, ((0, 1), (2, 0), (0, 0))), dlc.stack([x, x * 2.0])[1, ::2], y[3:8, 1:6:2]


def activations(x):
    def loss(x):
        total = dlc.gelu(x) + dlc.silu(x) + dlc.tanh(x) * dlc.sigmoid(x)
        return (total + dlc.exp(-abs(x)) * dlc.log1p(x * x)).sum()

    return dlc.value_and_grad(loss)(x)


def noise(key, x):
    return x + dlc.random.normal(key, x.shape), dlc.random.uniform(key, (3, 5))


def signed_zeros(x, y):
    first = (x + 0.0, x - y, x * -0.0)
    return *first, x + -0.0 * y, y - x, (y + 0.0) * (x + -0.0), dlc.floor(x) + 2.0 * x


def neighbours(x):
    y = dlc.exp(x)
    turned = y + dlc.permute_dims(y, (1, 0))
    around = dlc.tanh(turned) * dlc.flip(turned, axis=0) - dlc.max(turned, axis=1, keepdims=True)
    return turned, around


def normalised_columns(x):
    y = dlc.exp(x)
    centred = y - dlc.mean(y, axis=0)
    return centred / dlc.sqrt(dlc.sum(centred * y, axis=0) + 1.0), y


def two_readers(x, w):
    y = x @ w
    z = dlc.exp(y) - dlc.sum(y, axis=0)
    return z @ dlc.tanh(z), y @ z, dlc.arange(x.shape[0], dtype=dlc.float32) * y[0]


def spec(shape, dtype=dlc.float32):
    return dlc.spec(shape, dtype)


PROGRAMS = {
    mlp_step: [
        spec((D, H)), spec((H,)), spec((H, C)), spec((C,)), spec((B, D)), spec((B,), dlc.int64),
    ],
    adam: [spec((D, H))] * 4,
    softmax: [spec(("n", D))],
    layer_norm_gradient: [spec((B, D)), spec((D,)), spec((D,))],
    attention: [spec((2, B, C))] * 3,
    embedding_gradient: [spec((H, 3)), spec((4,), dlc.int64), spec((4, 3))],
    overlapping_writes: [spec((D, B)), spec((D, B))],
    reductions: [spec((B, D)), spec((B, D), dlc.bool)],
    casts: [spec((B, D)), spec((B, D), dlc.int32), spec((B, D), dlc.float16)],
    integers: [spec((B, D), dlc.int32), spec((B, D), dlc.int32)],
    shapes: [spec((B, D))],
    activations: [spec((B, D))],
    signed_zeros: [spec((B, D)), spec((B, D))],
    neighbours: [spec((D, D))],
    normalised_columns: [spec((B, D))],
    two_readers: [spec((H, H)), spec((H, H))],
    noise: [spec((2,), dlc.uint32), spec((B, D))],
}  # fmt: skip


def main():
    here = Path(__file__).parent
    for function, specs in PROGRAMS.items():
        traced = dlc.compile(function).lower(*specs).function
        (here / f"{function.__name__}.ir").write_text(print_function(traced) + "\n")


if __name__ == "__main__":
    main()
