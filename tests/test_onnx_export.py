"""Functions and models as ONNX models: the same numbers in ONNX Runtime and in dlc."""

import errno
import os

import numpy as np
import onnx
import onnxruntime
import pytest

import dlc
from dlc import nn
from dlc.interop.onnx.writing.writer import WRITERS
from dlc.runtime import files

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 3, 8, 8)).astype(np.float32)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
M = RNG.standard_normal((8, 8)).astype(np.float32)


def spec_of(x, names):
    return dlc.spec(tuple(names.get(a, d) for a, d in enumerate(x.shape)), dlc.asarray(x).dtype)


def check(f, *args, names=(), others=(), **keywords):
    """Exports, and compares with what both engines make of it."""
    names = dict(names)
    specs = tuple(spec_of(x, names.get(k, {})) for k, x in enumerate(args))
    proto = dlc.onnx.export(f, specs, **keywords)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    again = dlc.onnx.load(proto)
    for given in (args, *others):
        wanted = [t.numpy() for t in dlc.tree.leaves(dlc.compile(f)(*given))]
        inputs = [i.name for i in session.get_inputs()]
        runtime = session.run(None, dict(zip(inputs, given, strict=True)))
        for r, b, w in zip(runtime, again(*given), wanted, strict=True):
            np.testing.assert_allclose(r, w, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(b.numpy(), w, rtol=1e-5, atol=1e-5)
    return proto


def layers(x):
    y = dlc.conv(x, W, padding=1, stride=2)
    z = dlc.reshape(dlc.max_pool2d(y, 2), (x.shape[0], -1))
    return (
        dlc.softmax(z @ dlc.ones((z.shape[1], 3)))[:, ::2], dlc.layer_norm(z), dlc.avg_pool2d(y, 2),
        dlc.var(y), dlc.gelu(z), dlc.silu(z), dlc.logsumexp(z, axis=1), dlc.group_norm(y, 2),
        dlc.conv_transpose2d(y, W[:, :, :2, :2], stride=2),
    )  # fmt: skip


def numbers(x):
    whole = (x * 10).astype(dlc.int64)
    small = (x * 10).astype(dlc.int32)
    return (
        dlc.expm1(x), dlc.log1p(dlc.abs(x)), dlc.exp2(x), dlc.log2(dlc.abs(x)), dlc.cbrt(x),
        dlc.atan2(x, x.T), dlc.hypot(x, x.T), dlc.trunc(x), dlc.round(x), x // 0.7, x % 0.7,
        whole // 3, whole % -3, whole // 0, small >> 1, small << 2, small & 3, small ^ -2, ~small,
        dlc.erfc(x), dlc.rsqrt(dlc.abs(x)), dlc.logical_xor(x > 0, x > 1), x != 0, dlc.sign(x),
        (x * 1e12).astype(dlc.int32), (x * 1e3).astype(dlc.uint8), dlc.pow(dlc.abs(x), 1.3),
    )  # fmt: skip


def places(x):
    y = x.at[1].set(0.0).at[:, 2].add(1.0)
    indices = dlc.asarray([0, -1, 2])
    return (
        y, x[:, ::-1], dlc.roll(x, 2, axis=1), dlc.take(x, indices, axis=1), x[indices, 1],
        dlc.scatter_add(x, 1, dlc.zeros(x.shape, dtype=dlc.int64), x), dlc.tril(x), dlc.sort(x),
        dlc.argsort(x, axis=0), dlc.argmax(x, axis=1), dlc.cumulative_sum(x, axis=1),
        dlc.einsum("ij,kj->ik", x, x), dlc.tensordot(x, x), dlc.concat([x, x]), dlc.any(x > 2),
        dlc.pad(x, [(1, 2), (0, 1)], constant_values=3.0),
        dlc.take_along_axis(x, x.astype(int) % 2),
    )  # fmt: skip


def flow(x):
    y, n = dlc.while_loop(lambda c: dlc.max(c[0]) < 100, lambda c: (c[0] * 2, c[1] + 1), (x, 0))
    _, rows = dlc.scan(lambda c, r: (c + r, c * r), dlc.zeros(8), x, reverse=True)
    kind = dlc.astype(dlc.sum(x) > 0, dlc.int64)
    chosen = dlc.switch(kind, [lambda: -y, lambda: y + 1, lambda: y])
    return dlc.cond(dlc.sum(x) > 0, lambda: y, lambda: -y), n, rows, chosen


def test_functions():
    check(layers, X, names={0: {0: "n"}}, others=[(X[:1],), (X[:2],)])
    check(numbers, M)
    check(places, M)
    check(flow, np.abs(M), others=[(M - np.abs(M) + np.eye(8, dtype=np.float32) * 0.1,)])


def test_numbers_that_attributes_would_round_are_written_out():
    x = np.random.default_rng(0).normal(0, 1e-3, size=(2, 5))
    f = dlc.onnx.load(dlc.onnx.export(dlc.layer_norm, (x,)))
    np.testing.assert_allclose(f(x)[0].numpy(), dlc.layer_norm(x).numpy(), rtol=1e-12)


def test_gradients():
    check(dlc.grad(lambda x: dlc.sum(dlc.tanh(dlc.conv(x, W, padding=1)) ** 2)), X[:1])


def test_gradients_of_filters_windows_and_rows():
    check(dlc.grad(lambda w, x: dlc.sum(dlc.tanh(dlc.conv(x, w, padding=1, stride=2)))), W, X)
    check(dlc.grad(lambda x: dlc.sum(dlc.max_pool2d(x, 3, stride=2) ** 2)), X[:1])
    rows = np.array([[1, 5], [5, -1]])
    check(dlc.grad(lambda t, i: dlc.sum(dlc.tanh(dlc.take(t, i, axis=0)))), M, rows)
    check(dlc.grad(lambda x: dlc.sum(dlc.cumulative_prod(x, axis=0) ** 2)), M[:3])


def test_gradients_of_loops():
    def doubled(x):
        return dlc.sum(dlc.while_loop(lambda c: dlc.sum(c) < 100, lambda c: c * c + 1, x))

    check(dlc.grad(doubled), np.abs(M[0]), others=[(np.abs(M[0]) * 9,), (np.zeros(8, "f4"),)])

    def steps(x):
        return dlc.sum(dlc.scan(lambda c, r: (dlc.tanh(c + r), c * r), dlc.zeros(8), x)[1])

    check(dlc.grad(steps), M, names={0: {0: "n"}}, others=[(M[:3],)])


def test_loops_that_never_run():
    def steps(x):
        return dlc.scan(lambda c, r: (dlc.tanh(c + r), c * r), dlc.zeros(8), x)

    proto = dlc.onnx.export(steps, "f32[0,8]")
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    last, rows = session.run(None, {"x": M[:0]})
    assert rows.shape == (0, 8)
    np.testing.assert_array_equal(last, np.zeros(8, np.float32))
    check(steps, M[:0])
    check(lambda x: dlc.fori_loop(0, 0, lambda k, c: c * 2, x), M)


def test_tensors_without_elements():
    def rest(x):  # of one row nothing
        y = x[1:]
        return dlc.mean(y), dlc.mean(y, axis=1), y.at[::2].add(1.0)

    check(rest, M, names={0: {0: "n"}}, others=[(M[:1],)])
    check(lambda x: dlc.mean(x, axis=0), M[:0])
    check(lambda x: (x.astype(dlc.bfloat16) * 2).astype(dlc.float32), M[:0])


def test_random_numbers_are_the_same():
    def numbers(key):
        return dlc.random.normal(key, (3, 4)), dlc.random.permutation(key, 7)

    check(numbers, dlc.random.key(3).numpy())
    proto = dlc.onnx.export(
        lambda x, key: x * dlc.random.bernoulli(key, 0.5, x.shape), (dlc.spec(("n", 4)), "u32[2]")
    )
    (kept,) = dlc.onnx.load(proto)(np.ones((5, 4), np.float32), dlc.random.key(1))
    assert set(np.unique(kept.numpy())) == {0.0, 1.0}


def test_bits_of_floats_are_read_by_the_opset_that_can():
    proto = check(lambda x: (dlc.signbit(x), dlc.copysign(x, -1.0)), np.float32([0.0, -0.0, 2.0]))
    assert proto.opset_import[0].version == 26
    assert check(dlc.abs, M).opset_import[0].version == 20
    check(lambda x: dlc.gcd(x, 6), np.array([4, -9, 0], np.int32))


def test_half_types_and_small_integers():
    def halves(x):
        y = x.astype(dlc.bfloat16)
        made = (
            dlc.softmax(y), dlc.layer_norm(y), y @ y.T, dlc.where(y > 0, y, 0.1 * y),
            dlc.sort(y, axis=0), dlc.pad(y, [(1, 1), (0, 0)]), dlc.cumulative_sum(y, axis=0),
        )  # fmt: skip
        return [v.astype(dlc.float32) for v in made]

    proto = dlc.onnx.export(halves, "f32[n,8]")
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for got, want in zip(session.run(None, {"x": M}), halves(dlc.asarray(M)), strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=2e-2, atol=2e-2)
    check(
        lambda a: (a + a, a // 3, a % 7, dlc.sum(a), dlc.prod(a), -a),
        np.arange(250, 256, dtype="u1"),
    )
    check(lambda a, b: dlc.where(a, b, ~b), M > 0, M > 0.5)


def test_recurrences_of_open_length():
    def f(x):
        return dlc.cumulative_prod(x, axis=0), dlc.cummax(x, 0)[0], dlc.logcumsumexp(x, 0)

    check(f, M, names={0: {0: "n"}}, others=[(M[:1],), (M[:3],)])


def test_names_of_results_and_of_models():
    proto = dlc.onnx.export(
        lambda x, add_1: {"sum": x + add_1, "parts": [x, (add_1,)], "x": x * 2},
        ("f32[2]", "f32[2]"),
    )
    assert [i.name for i in proto.graph.input] == ["x", "add_1"]
    assert [o.name for o in proto.graph.output] == ["parts_0", "parts_1_0", "sum", "output_x"]
    again = dlc.onnx.export(dlc.onnx.load(proto), ("f32[2]", "f32[2]"))
    assert [i.name for i in again.graph.input] == ["x", "add_1"]
    assert [o.name for o in again.graph.output] == ["parts_0", "parts_1_0", "sum", "output_x"]
    assert [o.name for o in dlc.onnx.export(dlc.sin, "f32[2]").graph.output] == ["output_0"]
    proto = dlc.onnx.export(lambda x, output_0: (x, output_0 * 2), ("f32[2]", "f32[2]"))
    assert [o.name for o in proto.graph.output] == ["output__0", "output__1"]
    alike = {"a_b": "f32[2]", "a": {"b": "f32[2]"}}
    proto = dlc.onnx.export(lambda d: d["a_b"] * d["a"]["b"], alike)
    assert [i.name for i in proto.graph.input] == ["input_0", "input_1"]


@pytest.mark.parametrize(
    "names",
    [{"input_names": ["a", "a"]}, {"input_names": ["a", ""]}, {"output_names": ["x"]}],
)
def test_names_that_values_share(names):
    with pytest.raises(dlc.ValueRangeError, match="a name of its own"):
        dlc.onnx.export(lambda x, y: x + y, ("f32[2]", "f32[2]"), **names)


@pytest.mark.parametrize(
    ("model", "x", "names"),
    [
        (
            nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.BatchNorm2d(6), nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
            ),
            X,
            {0: "n"},
        ),
        (
            nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
            RNG.standard_normal((2, 5, 16)).astype(np.float32),
            {0: "n", 1: "length"},
        ),
        (nn.LSTM(4, 6, batch_first=True), RNG.standard_normal((2, 5, 4)).astype(np.float32), {}),
    ],
    ids=["convolution", "transformer", "lstm"],
)  # fmt: skip
def test_models(model, x, names):
    model.eval()
    more = np.concatenate([x, x]) if names else x
    check(model, x, names={0: names}, others=[(more,)])


def test_a_full_disk_leaves_the_model_that_was_there(tmp_path, monkeypatch):
    path, text = tmp_path / "m.onnx", tmp_path / "m.textproto"
    before = dlc.onnx.export(dlc.relu, dlc.spec((2,)), path)
    dlc.onnx.export(dlc.relu, dlc.spec((2,)), text)
    assert onnx.load(text) == before  # by the ending, as onnx.save writes

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(dlc.SaveError, match=r"m.onnx' could not be written: No space left"):
        dlc.onnx.export(dlc.tanh, dlc.spec((2,)), path)
    assert onnx.load(path) == before
    assert sorted(tmp_path.iterdir()) == [path, text]


def test_names_shapes_and_files(tmp_path):
    proto = dlc.onnx.export(
        lambda x, y: {"sum": x + y, "mean": dlc.mean(x)}, (np.ones((2, 3), np.float32), "f32[3]"),
        tmp_path / "m.onnx", dynamic_shapes=[{0: "batch"}, None], opset_version=21,
        input_names=["a", "b"], output_names=["m", "s"],
    )  # fmt: skip
    assert [i.name for i in proto.graph.input] == ["a", "b"]
    assert [o.name for o in proto.graph.output] == ["m", "s"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert proto.opset_import[0].version == 21
    model = dlc.compile(tmp_path / "m.onnx")
    mean, total = model(a=np.ones((4, 3), np.float32), b=np.zeros(3, np.float32))
    assert total.shape == (4, 3)
    assert mean.item() == 1.0
    assert onnx.load(tmp_path / "m.onnx") == proto


@pytest.mark.parametrize(
    ("open_axes", "keywords"),
    [
        ([None, {0: "n"}], {}),
        ({"y": {0: "n"}}, {}),
        ({1: {-2: "n"}}, {}),
        ({"b": {0: "n"}, "a": None}, {"input_names": ["a", "b"]}),
    ],
)
def test_open_axes_are_those_of_their_arguments(open_axes, keywords):
    args = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)

    def f(x, y):
        return x @ y.T

    proto = dlc.onnx.export(f, args, dynamic_shapes=open_axes, **keywords)
    shapes = [
        [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim]
        for i in proto.graph.input
    ]
    assert shapes == [[2, 3], ["n", 3]]


@pytest.mark.parametrize(
    ("open_axes", "kind", "message"),
    [
        ({"z": {0: "n"}}, dlc.ValueRangeError, "no argument 'z'(.|\n)*x"),
        ({2: {0: "n"}}, dlc.ValueRangeError, "no argument 2"),
        ({"x": "n"}, dlc.ArgumentError, "'n' is no dict"),
        ([{3: "n"}, None], dlc.IndexRangeError, "no axis 3"),
        ({0: "n"}, dlc.ArgumentError, "'n' is no dict"),
    ],
)
def test_open_axes_that_there_are_not(open_axes, kind, message):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(kind, match=message):
        dlc.onnx.export(lambda x, y: x + y, (x, x), dynamic_shapes=open_axes)


def test_open_axes_of_the_only_argument():
    proto = dlc.onnx.export(dlc.sin, np.ones((2, 3), np.float32), dynamic_shapes={0: "batch"})
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_what_cannot_be_exported():
    with pytest.raises(dlc.ModelError, match="nothing for .*svd"):
        dlc.onnx.export(dlc.linalg.svdvals, np.eye(3, dtype=np.float32))
    state = dlc.Variable(0.0)
    with pytest.raises(dlc.ModelError, match="assigns variables"):
        dlc.onnx.export(state.assign_add, np.float32(1))
    with pytest.raises(dlc.ModelError, match="opset 26"):
        dlc.onnx.export(dlc.signbit, np.float32(1), opset_version=20)
    with pytest.raises(dlc.ValueRangeError, match="opset_version=7"):
        dlc.onnx.export(dlc.sin, np.float32(1), opset_version=7)
    with pytest.raises(dlc.ValueRangeError, match="2 names for 1 inputs"):
        dlc.onnx.export(dlc.sin, np.float32(1), input_names=["a", "b"])
    with pytest.raises(dlc.ArgumentError, match="2 parts for 1 arguments"):
        dlc.onnx.export(dlc.sin, np.float32(1), dynamic_shapes=[None, None])


def test_every_writer_is_of_an_op():
    from dlc.ir.op import OPS

    assert set(WRITERS) <= set(OPS)
