"""The functional form: nn.Input, symbolic tensors, nn.Model; own layers in both habits."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import dlc
from dlc import nn
from dlc.frontend.symbolic import SymbolNode
from dlc.ir.dims import evaluate

RNG = np.random.default_rng(5)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def close(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-5, atol=1e-6)


def two_by_two():
    """Two inputs, a branch, a residual, a layer that is used twice, two outputs of two ops."""
    a, b = nn.Input((4,), name="a"), nn.Input((4,), name="b")
    shared = nn.Dense(4, activation="tanh", name="shared")
    left, right = shared(a), shared(b)
    h = left + a
    joined = nn.Concatenate()([h, right])
    head = nn.Dense(2, name="head")(nn.Dropout(0.5, name="drop")(joined))
    outputs = {"scaled": head * 0.5 - 1, "all": dlc.softmax(joined, axis=-1)}
    return nn.Model([a, b], outputs, name="two"), shared, (a, b)


def by_hand(model, a, b):
    w, head = model.shared, model.head
    left, right = (np.tanh(x @ w.kernel.numpy() + w.bias.numpy()) for x in (a, b))
    joined = np.concatenate([left + a, right], -1)
    e = np.exp(joined)
    return {
        "scaled": (joined @ head.kernel.numpy() + head.bias.numpy()) * 0.5 - 1,
        "all": e / e.sum(-1, keepdims=True),
    }


def test_values_of_a_graph_eager_and_compiled_for_any_batch():
    model, _, _ = two_by_two()
    model.eval()
    compiled = dlc.compile(model)
    for batch in (3, 1, 5, 0):
        a, b = draw(batch, 4), draw(batch, 4)
        wanted = by_hand(model, a, b)
        for given in (([a, b],), (a, b), ({"a": a, "b": b},)):
            for call in (model, compiled) if batch > 1 else (model,):
                got = call(*given)
                assert sorted(got) == ["all", "scaled"]
                for name, value in got.items():
                    close(value, wanted[name])
    assert compiled.stats.interpreted_ops == 0


def test_what_a_model_says_of_itself():
    model, shared, (a, b) = two_by_two()
    assert repr(a) == "<symbolic f32[batch,4]>"
    assert model.name == "two"
    assert model.input_names == ["a", "b"]
    assert model.input_shape == [(None, 4), (None, 4)]
    assert model.output_shape == {"scaled": (None, 2), "all": (None, 8)}
    assert [layer.name for layer in model.layers] == ["shared", "concatenate", "drop", "head"]
    assert model.get_layer("shared") is shared is model.get_layer(index=0)
    assert model.inputs[0] is a
    assert [n for n, _ in model.named_parameters()] == [
        "shared.kernel", "shared.bias", "head.kernel", "head.bias",
    ]  # fmt: skip
    assert shared.output.tensor.shape == model.inputs[1].tensor.shape
    assert shared.input is b
    with pytest.raises(dlc.ValueRangeError, match="did you mean 'shared'"):
        model.get_layer("sharde")
    with pytest.raises(dlc.ValueRangeError, match="4 layers"):
        model.get_layer(index=4)
    one = nn.Model(a, nn.Linear(4, 3)(a))
    assert (one.input_shape, one.output_shape) == ((None, 4), (None, 3))
    assert not hasattr(nn.Linear(4, 3), "output")


def test_modes_reach_the_layers_of_a_graph():
    model, _, _ = two_by_two()
    a, b = draw(3, 4), draw(3, 4)
    quiet = model([a, b], training=False)["scaled"].numpy()
    close(quiet, model.eval()([a, b])["scaled"])
    assert (model([a, b], training=True)["scaled"].numpy() != quiet).any()
    assert not model.training
    model.drop.train()
    dlc.compile(model)([a, b])
    assert model.drop.training
    assert not model.shared.training


def test_any_function_of_dlc_between_layers():
    x = nn.Input(("t", 6), name="x")
    scale = dlc.Variable(np.float32(2), name="scale")
    table = dlc.asarray(draw(6))
    y = nn.Linear(6, 6)(x) * scale + table
    y = dlc.reshape(y, (x.shape[0], -1, 3))
    y = dlc.where(y > 0, y, y / x.shape[1])
    z = dlc.concat([y.max(axis=1), y[:, 0] ** 2, dlc.mean(y, axis=1)], axis=-1)
    z = z - dlc.arange(9) + dlc.einsum("bi,i->b", z, np.ones(9, np.float32))[:, None]
    model = nn.Model(x, dlc.stack([z, dlc.cumulative_sum(z, axis=-1)], axis=1))
    assert model.output_shape == (None, 2, 9)
    assert [n for n, _ in model.named_parameters()] == ["scale", "linear.weight", "linear.bias"]

    def plain(v):
        v = v @ model.linear.weight.numpy().T + model.linear.bias.numpy()
        v = v * scale.numpy() + table.numpy()
        v = v.reshape(v.shape[0], -1, 3)
        v = np.where(v > 0, v, v / (v.shape[1] // 2))
        v = np.concatenate([v.max(1), v[:, 0] ** 2, v.mean(1)], -1)
        v = v - np.arange(9) + v.sum(-1)[:, None]
        return np.stack([v, v.cumsum(-1)], 1)

    compiled = dlc.compile(model)
    for shape in ((3, 2, 6), (1, 4, 6), (4, 3, 6)):
        held = draw(*shape)
        np.testing.assert_allclose(model(held).numpy(), plain(held), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(compiled(held).numpy(), plain(held), rtol=2e-5, atol=2e-5)
    scale.assign(3.0)
    np.testing.assert_allclose(model(held).numpy(), plain(held), rtol=2e-5, atol=2e-5)
    gradient = dlc.grad(lambda m: m(held).sum())(model)
    assert gradient.scale.shape == ()


def test_a_model_is_a_layer_and_its_middle_a_model():
    inner_in = nn.Input((4,))
    inner = nn.Model(inner_in, nn.Dense(3)(inner_in) + 1, name="inner")
    x = nn.Input((4,))
    y = nn.Dense(2, name="last")(inner(x) * inner(x))
    outer = nn.Model(x, y)
    held = draw(5, 4)
    middle = inner(held).numpy()
    close(outer(held), (middle**2) @ outer.last.kernel.numpy() + outer.last.bias.numpy())
    assert [n for n, _ in outer.named_parameters()][:2] == [
        "inner.dense.kernel",
        "inner.dense.bias",
    ]
    features = nn.Model(outer.inputs, outer.get_layer("inner").output)
    close(features(held), middle)
    rest = nn.Model(outer.get_layer("last").input, outer.outputs[0])
    close(rest(middle**2), outer(held))
    assert rest.last is outer.last


def test_models_are_fitted_saved_and_copied(tmp_path):
    model, _, _ = two_by_two()
    a, b = draw(40, 4), draw(40, 4)
    labels = (a[:, :1] > b[:, :1]).astype(np.float32)
    target = {"scaled": np.concatenate([labels, 1 - labels], 1), "all": draw(40, 8) * 0 + 0.125}
    model.compile(dlc.optim.Adam(learning_rate=0.02), {"scaled": "mse", "all": "mse"})
    history = model.fit([a, b], target, epochs=12, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < 0.6 * history.history["loss"][0]
    by_name = model.predict({"a": a, "b": b})
    close(by_name["scaled"], model.predict([a, b])["scaled"])
    assert model.evaluate([a, b], target, verbose=0) is not None
    model.save_weights(tmp_path / "w.safetensors")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), two_by_two()[0]):
        other.head.kernel.assign(0.0)
        assert model.head.kernel.numpy().any()
        other.load_weights(tmp_path / "w.safetensors")
        close(other.eval()([a, b])["scaled"], by_name["scaled"])
    x = nn.Input((4,))
    plain = nn.Model(x, nn.Linear(4, 3)(x) * 2)
    back = pickle.loads(pickle.dumps(plain))
    close(back(a), plain(a))
    with pytest.raises(dlc.ArgumentError, match="pickled"):
        _ = back.inputs


def test_a_sequential_is_found_by_its_name():
    inputs = nn.Input((4,))
    base = nn.Sequential([nn.Input((4,)), nn.Dense(3)], name="base")
    model = nn.Model(inputs, nn.Dense(2)(base(inputs)))
    assert base.name == "base"
    assert len(base) == 1
    assert model.get_layer("base") is base


def test_shapes_that_do_not_fit_name_the_layer():
    x = nn.Input((8, 8, 3))
    y = nn.Conv2D(4, 3, name="first")(x)
    with pytest.raises(dlc.ShapeError, match=r"in layer: Dense\(3\)") as caught:
        nn.Dense(3)(draw(2, 3)), (dense := nn.Dense(3)).ensure_built((2, 3)), dense(y)
    assert "(batch, 6, 6, 4)" in str(caught.value)
    layer = nn.Linear(5, 3)
    layer.name = "head"
    with pytest.raises(dlc.ShapeError, match=r"in layer 'head': Linear\(5, 3\)"):
        layer(y)
    with pytest.raises(dlc.ShapeError, match="Conv2D of an input of shape"):
        nn.Conv2D(4, 3)(nn.Flatten()(y))
    with pytest.raises(dlc.ShapeError, match=r"add of f32\[batch,6,6,4\]"):
        y + nn.Input((5, 5, 4))
    with pytest.raises(dlc.ShapeError, match=r"in layer: Conv2D\(4"):
        nn.Sequential(nn.Input((8,)), nn.Dense(4), nn.Conv2D(4, 3))
    model = nn.Model(x, y)
    for given in (draw(2, 7, 8, 3), draw(8, 8, 3)):
        with pytest.raises(dlc.ShapeError, match=r"takes input_0 f32\[batch,8,8,3\]"):
            model(given)
    close(model(np.ones((2, 8, 8, 3))), model(np.ones((2, 8, 8, 3), np.float32)))
    assert model(np.ones((2, 8, 8, 3), np.int64)).dtype is dlc.float32


def test_what_is_no_model_is_said_to_be_none():
    x, other = nn.Input((4,), name="x"), nn.Input((4,), name="other")
    y = nn.Dense(2)(x + other)
    with pytest.raises(dlc.ArgumentError, match="needs the input 'other'"):
        nn.Model(x, y)
    with pytest.raises(dlc.ArgumentError, match="among the outputs is a ndarray"):
        nn.Model(x, draw(2))
    with pytest.raises(dlc.ArgumentError, match="inputs and outputs, or none"):
        nn.Model(x)
    with pytest.raises(dlc.ArgumentError, match="twice"):
        nn.Model([x, x], x + 1)
    with pytest.raises(dlc.ArgumentError, match="without outputs"):
        nn.Model(x, [])
    with pytest.raises(dlc.ValueRangeError, match="two layers"):
        nn.Model(x, nn.Dense(2, name="d")(nn.Dense(3, name="d")(x)))
    with pytest.raises(dlc.ValueRangeError, match="cannot be"):
        nn.Model(x, nn.Dense(2, name="fit")(x))
    for shapes in ({}, {"shape": (3,), "batch_shape": (2, 3)}):
        with pytest.raises(dlc.ArgumentError, match="one of shape"):
            nn.Input(**shapes)
    both = nn.Model([x, other], y)
    with pytest.raises(dlc.ArgumentError, match="given 1 tensors"):
        both(draw(2, 4))
    with pytest.raises(dlc.ArgumentError, match="no data for the inputs other"):
        both({"x": draw(2, 4)})
    for use in (float, np.asarray, dlc.compile(dlc.relu), lambda t: t.numpy()):
        with pytest.raises(dlc.TracedValueError, match="symbolic"):
            use(y)
    with pytest.raises(dlc.TracedValueError, match=r"nn\.Dropout"):
        nn.functional.dropout(y, 0.5)
    for depends in (lambda t: dlc.zeros(len(t)), lambda t: t + dlc.zeros((5, 2))):
        with pytest.raises(dlc.ShapeError, match=r"lambda.*(batch is|any\d+ == 5), .* not known"):
            nn.Lambda(depends)(nn.Input((None, 2)))
    middle = nn.Conv1D(2, 3)(nn.Input((None, 2)))
    uses = (lambda t: t[:, :5], lambda t: t + nn.Input((None, 2)), lambda t: range(t.shape[1]))
    for use in uses:
        with pytest.raises(
            dlc.DlcError, match=r"any\d+.*not known of a symbolic(?s:.*)nn\.Lambda"
        ) as caught:
            use(middle)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(dlc.ArgumentError, match="no input_shape"):
        _ = nn.Model().input_shape


def test_shapes_of_inputs():
    fixed = nn.Input((4,), batch_size=3)
    assert fixed.shape == (3, 4)
    assert nn.Input(4, dtype="int64").dtype is dlc.int64
    free = nn.Input((None, 4))
    assert str(free.shape[0]) == "batch"
    assert nn.Input(batch_shape=(None, 2)).shape[0] == free.shape[0]
    named, again = nn.Input(("t", 4)), nn.Input(("t", 4))
    model = nn.Model([named, again], named + again)
    close(model(np.ones((2, 5, 4)), np.ones((2, 5, 4))), np.full((2, 5, 4), 2.0))
    with pytest.raises(dlc.ShapeError):
        model(np.ones((2, 5, 4)), np.ones((2, 6, 4)))


def texts():
    """Keras's example of texts of any length."""
    x = nn.Input((None,), dtype="int64", name="words")
    y = nn.Conv1D(4, 5, strides=2, activation="relu")(nn.Embedding(20, 3)(x))
    y = nn.Conv1D(4, 3)(nn.Dropout(0.5)(y))
    return nn.Model(x, nn.Dense(1, activation="sigmoid")(nn.GlobalMaxPooling1D()(y)))


def words(batch, length):
    return RNG.integers(0, 20, (batch, length))


def test_windows_over_open_extents_are_supposed_to_fit(capsys):
    model = texts()
    assert model.output_shape == (None, 1)
    length = str(model.inputs[0].shape[1])
    model.summary()
    assert f"(batch, floordiv({length}+1,2)-4, 4)" in capsys.readouterr().out
    model.compile("adam", "binary_crossentropy")
    for length in (9, 12):
        model.fit(words(8, length), RNG.integers(0, 2, (8, 1)), verbose=0)
        assert model.predict(words(5, length), verbose=0).shape == (5, 1)
    model.eval()
    again, compiled = pickle.loads(pickle.dumps(model)), dlc.compile(model)
    for length in (9, 10, 14):
        given = held = words(2, length)
        for layer in model.layers:
            held = layer(held)
        for run in (model, again, compiled):
            close(run(given), held)
    for run in (model, again, compiled):
        with pytest.raises(dlc.ShapeError, match="covers 3 elements along axis 1, which has 2"):
            run(words(2, 8))


def test_shapes_of_layers_of_open_extents_are_those_of_each_call():
    image, text = (None, None, 3), (None, 6)
    cases = [
        (text, nn.Conv1D(4, 3, dilation_rate=2)),
        (text, nn.SeparableConv1D(4, 3)),
        (text, nn.Conv1D(4, 3, strides=2, padding="same")),
        (text, nn.Conv1DTranspose(4, 3, strides=2)),
        (text, nn.Cropping1D((1, 2))),
        (text, nn.Reshape((-1, 4))),
        (text, nn.Sequential([nn.Conv1D(4, 3), nn.Bidirectional(nn.GRU(3))])),
        (text, nn.Flatten()),
        (image, nn.Conv2D(4, (3, 2), strides=(2, 1))),
        (image, nn.DepthwiseConv2D(3)),
        (image, nn.MaxPooling2D(3, strides=2)),
        (image, nn.MaxPooling2D(2, padding="same")),
        (image, nn.MaxPooling2D(2, strides=3, padding="same")),
        (image, nn.AveragePooling2D(3, strides=2, padding="same")),
        (image, nn.ZeroPadding2D(1)),
        (image, nn.UpSampling2D(2)),
        (image, nn.TimeDistributed(nn.MaxPooling1D(2))),
    ]
    for shape, layer in cases:
        x = nn.Input(shape)
        y = layer(x)
        model = nn.Model(x, y)
        for sizes in ((2, 8, 7), (2, 6, 9)):
            given = draw(*sizes[: len(shape)], shape[-1])
            names = {str(d): n for d, n in zip(x.shape, given.shape, strict=True)}
            wanted = tuple(evaluate(d, names) for d in y.tensor.shape)
            assert model(given).shape == wanted, layer


def test_layers_that_need_the_number_of_an_open_extent():
    image = nn.Input((None, None, 3))
    y = nn.UpSampling2D(2, interpolation="bilinear")(nn.Conv2D(3, 3, padding="same")(image))
    small = nn.AdaptiveAveragePooling2D((2, 3))(y)
    half = nn.UpSampling2D(2, interpolation="bilinear")(nn.MaxPooling2D(2)(image))
    taken = nn.Lambda(lambda t: dlc.stack([t[:, k] for k in range(t.shape[1])], axis=1))(y)
    scaled = y * dlc.ones((y.shape[1], 1, 1)) / taken.shape[2]
    model = nn.Model(image, [taken, small, nn.Add()([image, half]), scaled])
    assert [y.shape[1:] for y in model.outputs][1] == (2, 3, 3)
    assert model.output_shape[0] == (None, None, None, 3)
    for h, w in ((6, 8), (4, 2), (6, 6)):
        x = draw(2, h, w, 3)
        for run in (model, dlc.compile(model)):
            large, pooled, added, divided = run(x)
            assert large.shape == (2, 2 * h, 2 * w, 3)
            close(pooled, nn.AdaptiveAveragePooling2D((2, 3))(large))
            close(added - x, nn.UpSampling2D(2, interpolation="bilinear")(nn.MaxPooling2D(2)(x)))
            close(divided, large / (2 * w))
    with pytest.raises(dlc.ShapeError, match="in layer 'add'"):
        model(draw(2, 7, 8, 3))
    with pytest.raises(dlc.ShapeError, match=r"gives f32\[batch\] or f32\[batch,240,3\]"):
        nn.Lambda(lambda t: t if t.shape[1] % 16 == 0 and int(t.shape[1]) else t[:, 0, 0])(
            nn.Input((None, 3))
        )


def test_branches_of_open_extents_meet():
    x, other = nn.Input((None, 4)), nn.Input((None, 4))
    wide = nn.UpSampling1D(2)(nn.MaxPooling1D(2)(x))
    model = nn.Model([x, other], nn.Concatenate()([wide, nn.Add()([x, other])]))
    assert model.output_shape == (None, None, 8)
    a, b = draw(2, 6, 4), draw(2, 6, 4)
    close(model([a, b])[..., 4:], a + b)
    for wrong in ([a[:, :5], b[:, :5]], [a, b[:, :5]]):
        with pytest.raises(dlc.ShapeError, match="in layer '(concatenate|add)'"):
            model(wrong)


def test_what_is_supposed_of_open_extents_is_so_in_their_layer_alone():
    asked = []

    class Asking(nn.Layer):
        """Makes its weights eagerly, where programs have symbols of these names."""

        def build(self, _shape):
            program = dlc.compile(lambda x: x if x.shape[0] > 3 else -x)
            with pytest.raises(dlc.ShapeError, match="n0 was declared to take any value"):
                program.warmup("f32[n0]")
            asked.append(program)

        def call(self, x):
            return x[:, :5]

    x = nn.Input(("n0", 4))
    assert nn.Sequential([nn.Conv1D(2, 3), Asking()])(x).shape[1:] == (5, 2)
    assert asked


class Table(nn.Layer):
    """A layer with a weight of some of its input's extents."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def build(self, shape):
        self.table = self.add_weight([shape[k] for k in self.axes])

    def call(self, x):
        return x + self.table


def test_what_a_layer_decides_by_an_open_extent_holds_in_its_call():
    x = nn.Input((None, 2))
    model = nn.Model(x, nn.Lambda(lambda t: t if t.shape[1] > 3 else -t)(x))
    for length in (2, 3, 4):
        given = draw(1, length, 2)
        close(model(given), given if length > 3 else -given)
    first = nn.Lambda(lambda t: t[:, :5])(x)
    model = nn.Model(x, first / first.shape[1])
    close(model(given := draw(1, 7, 2)), given[:, :5] / 5)
    with pytest.raises(dlc.ShapeError, match=r"'lambda' gives f32\[1,3,2\] here"):
        model(given[:, :3])
    for shape in ((1,), (1, -1)):
        with pytest.raises(dlc.ShapeError, match=r"Table: .* weight must be known, it is \(any\d+"):
            Table(shape)(x)
    with pytest.raises(dlc.ShapeError, match="its last extent must be known"):
        nn.Dense(3)(nn.Flatten()(nn.Conv1D(4, 3)(x)))


def test_layers_with_names_of_methods_and_counts():
    x = nn.Input((4,))
    y = nn.Add()([nn.Dense(4)(x), nn.Dense(4)(x)])
    model = nn.Model(x, nn.Activation("relu")(y))
    assert [n for n, _ in model.named_children()] == ["dense", "dense_1", "add", "activation"]

    class Train(nn.Module):
        def forward(self, x):
            return x

    assert [n for n, _ in nn.Model(x, Train()(x)).named_children()] == ["train_layer"]


class Own(nn.Model):
    """A subclass with `call` and an argument `training`."""

    def __init__(self, units):
        super().__init__(name="own")
        self.first, self.drop = nn.Dense(units), nn.Dropout(0.5)

    def call(self, x, training=None):
        return self.drop(self.first(x), training=training)


class WithInit(nn.Model):
    """A subclass that gives its own graph to `nn.Model`."""

    def __init__(self, units):
        x = nn.Input((4,))
        super().__init__(x, nn.Dense(units)(x))
        self.units = units


def test_models_of_ones_own():
    model, x = Own(50), draw(6, 4)
    assert (model(x, training=True).numpy() == 0).any()
    assert not (model(x, training=False).numpy() == 0).any()
    assert (model(x).numpy() == 0).any()
    assert not (model.eval()(x).numpy() == 0).any()
    assert model.layers == [model.first, model.drop]
    assert model.get_layer("first") is model.first
    model.compile("sgd", "mse")
    model.fit(x, draw(6, 50), verbose=0)
    with pytest.raises(dlc.ArgumentError, match="no call"):
        nn.Model()(x)
    given = WithInit(3)
    assert given.output_shape == (None, 3)
    assert given(x).shape == (6, 3)
    symbolic = nn.Input((4,))
    wrapped = nn.Model(symbolic, Own(5)(symbolic))
    assert wrapped.output_shape == (None, 5)
    assert not (wrapped(x, training=False).numpy() == 0).any()


def test_sequential_with_an_input():
    model = nn.Sequential([nn.Input((6, 6, 1)), nn.Conv2D(2, 3), nn.Flatten()])
    model.add(nn.Dense(3, name="head"))
    assert [p.shape for p in model.parameters()] == [(3, 3, 1, 2), (2,), (32, 3), (3,)]
    assert (model.input_shape, model.output_shape) == ((None, 6, 6, 1), (None, 3))
    assert model.get_layer("head") is model[2] is model.get_layer(index=-1)
    model.add(dlc.relu)
    model.pop()
    model.pop()
    assert model.output_shape == (None, 32)
    assert nn.Model(model.inputs, model.outputs[0] * 2)(draw(2, 6, 6, 1)).shape == (2, 32)
    for wrong in (lambda: model.add(nn.Input((3,))), lambda: nn.Sequential().output_shape):
        with pytest.raises(dlc.ArgumentError, match="nn.Input"):
            wrong()
    with pytest.raises(dlc.ShapeError):
        model.add(nn.MaxPooling2D())
    assert len(model) == 2
    copied = copy.deepcopy(model)
    close(copied(np.ones((2, 6, 6, 1), np.float32)), model(np.ones((2, 6, 6, 1), np.float32)))


def test_deep_graphs_and_graphs_that_nobody_holds():
    x = y = nn.Input((4,))
    for _ in range(2000):
        y = y + 1.0
    model = nn.Model(x, y)
    close(model(np.zeros((1, 4), np.float32)), np.full((1, 4), 2000.0))
    del model, y
    z = nn.Dense(4)(x) * 2
    node = weakref.ref(z._node)
    assert isinstance(z._node, SymbolNode)
    del z
    gc.collect()
    assert node() is None


def test_symbolic_tensors_leave_eager_work_alone():
    x = nn.Input((4,))
    assert dlc.add(dlc.asarray(1.0), 2).item() == 3
    with dlc.no_grad():
        frozen = x * dlc.Variable(np.float32(3), name="three")
    model = nn.Model(x, frozen)
    assert model(np.ones((1, 4))).numpy().sum() == 12
    assert dlc.compile(lambda v: v * 2)(np.ones(3)).sum() == 6


def test_inputs_are_numbers_and_names():
    for bad in ("n>=7", "2*n"):
        with pytest.raises(dlc.ArgumentError, match="is neither a number nor a name"):
            nn.Input((3, bad))


def test_ends_of_models():
    image, size = nn.Input((4,)), nn.Input((2,))
    one = nn.Model(image, nn.Dense(3)(image))
    assert one.input is image
    assert one.output is one.outputs[0]
    two = nn.Model([image, size], nn.Concatenate()([image, size]))
    assert two.input == two.inputs
    row = nn.Sequential(nn.Input((4,)), nn.Dense(3))
    assert nn.Model(row.input, row.output).output_shape == (None, 3)
    assert one.count_params() == row.count_params() == 15
    assert not hasattr(nn.Dense(3), "input")
