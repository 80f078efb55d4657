"""ONNX models: reading, running, cutting into programs, bad files; a part of the backend suite."""

import contextlib
import random
import zlib

import numpy as np
import onnx
import onnx_suite
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dlc
from dlc.interop.onnx import element_types
from dlc.interop.onnx.operator_table import operators

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def info(name, kind=F32, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, weights=(), opset=20, **keywords):
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights]
    )
    opsets = [helper.make_opsetid("", opset), *keywords.pop("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **keywords)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def conv_net(rng):
    weights = [
        ("w", rng.standard_normal((4, 3, 3, 3)).astype(np.float32)),
        ("b", rng.standard_normal(4).astype(np.float32)),
        ("dense", rng.standard_normal((4, 5)).astype(np.float32)),
        ("shape", np.array([-1, 4])),
    ]
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Reshape", ["p", "shape"], ["f"]),
        node("MatMul", ["f", "dense"], ["m"]),
        node("Softmax", ["m"], ["y"]),
    ]
    return model_of(nodes, [info("x", shape=["n", 3, "h", "w_"])], [info("y")], weights)


def test_a_network_for_any_extents(rng, tmp_path):
    proto = conv_net(rng)
    onnx.save(proto, tmp_path / "net.onnx")
    path = str(tmp_path / "net.onnx")
    for given in (path, tmp_path / "net.onnx", proto.SerializeToString(), proto):
        model = dlc.compile(given)
        assert model.input_names == ["x"]
        assert model.output_names == ["y"]
    reference = ReferenceEvaluator(proto)
    for n, h, w in ((1, 8, 8), (2, 9, 7), (5, 6, 12), (7, 10, 4)):
        x = rng.standard_normal((n, 3, h, w)).astype(np.float32)
        (wanted,) = reference.run(None, {"x": x})
        for (got,) in (model(x), model(x=x), model({"x": x})):
            np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-6)
    (program,) = model.programs
    assert program.stats.compilations <= 3


def test_in_functions_and_gradients(rng):
    model = dlc.onnx.load(conv_net(rng))
    x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)

    def loss(x):
        return dlc.sum(model(x)[0] ** 2)

    step = rng.standard_normal(x.shape).astype(np.float32)
    slope = float(dlc.sum(dlc.grad(loss)(x) * step))
    eps = 1e-2
    difference = (float(loss(x + eps * step)) - float(loss(x - eps * step))) / (2 * eps)
    assert abs(slope - difference) < 2e-3 * max(1.0, abs(slope))
    assert abs(float(dlc.compile(loss)(x)) - float(loss(x))) < 1e-6


def test_a_shape_that_is_computed_is_a_constant_of_the_next_program():
    nodes = [
        node("ReduceSum", ["n"], ["s"], keepdims=0),
        node("Unsqueeze", ["s", "zero"], ["u"]),
        node("Concat", ["u", "minus"], ["shape"], axis=0),
        node("Mul", ["x", "x"], ["x2"]),
        node("Reshape", ["x2", "shape"], ["y"]),
    ]
    weights = [("zero", np.array([0])), ("minus", np.array([-1]))]
    proto = model_of(nodes, [info("x", shape=[12]), info("n", I64, [2])], [info("y")], weights)
    model = dlc.onnx.load(proto)
    x = np.arange(12, dtype=np.float32)
    for n in ([1, 2], [2, 2], [1, 2], [3, 3]):
        (y,) = model(x, np.array(n))
        np.testing.assert_array_equal(y.numpy(), (x * x).reshape(sum(n), -1))


def test_results_whose_shape_depends_on_data():
    nodes = [
        node("Abs", ["x"], ["a"]),
        node("NonZero", ["a"], ["places"]),
        node("Transpose", ["places"], ["t"]),
        node("GatherND", ["a", "t"], ["y"]),
    ]
    model = dlc.onnx.load(model_of(nodes, [info("x", shape=["n", "m"])], [info("y")]))
    for x in ([[0, -2, 3], [4, 0, 0]], [[1, 0], [0, 0]], [[0, 0]]):
        given = np.array(x, np.float32)
        (y,) = model(given)
        np.testing.assert_array_equal(y.numpy(), np.abs(given)[np.nonzero(given)])


def branch(op, name):
    return helper.make_graph([node(op, ["x", "x"], [name])], name, [], [info(name)])


def test_branches_and_loops():
    then, other = branch("Add", "t"), branch("Mul", "e")
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Less", ["s", "ten"], ["small"]),
        node("If", ["small"], ["y"], then_branch=then, else_branch=other),
    ]
    proto = model_of(nodes, [info("x", shape=[2])], [info("y")], [("ten", np.float32(10))])
    model = dlc.onnx.load(proto)
    assert model(np.array([1, 2], np.float32))[0].tolist() == [2, 4]
    assert model(np.array([9, 2], np.float32))[0].tolist() == [81, 4]
    (program,) = model.programs
    assert program.stats.compilations == 1
    body = helper.make_graph(
        [
            node("Add", ["v", "v"], ["v2"]),
            node("ReduceMax", ["v2"], ["largest"], keepdims=0),
            node("Less", ["largest", "limit"], ["go"]),
        ],
        "body",
        [info("k", I64, []), info("c", BOOL, []), info("v", shape=[2])],
        [info("go", BOOL), info("v2")],
    )
    loop = node("Loop", ["", "", "x"], ["y"], body=body)
    proto = model_of([loop], [info("x", shape=[2])], [info("y")], [("limit", np.float32(100))])
    model = dlc.onnx.load(proto)
    assert model(np.array([1, 3], np.float32))[0].tolist() == [64, 192]
    assert model(np.array([50, 1], np.float32))[0].tolist() == [100, 2]
    assert model.programs[0].stats.compilations == 1


def test_a_loop_with_an_unknown_number_of_slices():
    body = helper.make_graph(
        [
            node("Mul", ["v", "half"], ["v2"]),
            node("Greater", ["v2", "one"], ["go"]),
            node("Identity", ["v2"], ["slice"]),
        ],
        "body",
        [info("k", I64, []), info("c", BOOL, []), info("v", shape=[])],
        [info("go", BOOL), info("v2"), info("slice")],
    )
    loop = node("Loop", ["", "", "x"], ["last", "all"], body=body)
    weights = [("half", np.float32(0.5)), ("one", np.float32(1))]
    proto = model_of([loop], [info("x", shape=[])], [info("last"), info("all")], weights)
    model = dlc.onnx.load(proto)
    assert model(np.float32(9))[1].tolist() == [4.5, 2.25, 1.125, 0.5625]
    assert model(np.float32(3))[1].tolist() == [1.5, 0.75]


@pytest.mark.parametrize("goes_on", ["Identity", "Constant"])
def test_a_counted_loop_whose_condition_is_an_input(goes_on):
    """It may be false before the first iteration, whatever the body says of the others."""
    value = {} if goes_on == "Identity" else {"value": numpy_helper.from_array(np.array(True))}
    nodes = [
        node(goes_on, ["c"] if goes_on == "Identity" else [], ["go"], **value),
        node("Add", ["v", "v"], ["v2"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [info("k", I64, []), info("c", BOOL, []), info("v", shape=[2])],
        [info("go", BOOL), info("v2")],
    )
    loop = node("Loop", ["count", "first", "x"], ["y"], body=body)
    inputs = [info("x", shape=[2]), info("first", BOOL, [])]
    model = dlc.onnx.load(model_of([loop], inputs, [info("y")], [("count", np.array(3))]))
    x = np.array([1, 2], np.float32)
    assert model(x, np.array(True))[0].tolist() == [8, 16]
    assert model(x, np.array(False))[0].tolist() == [1, 2]


def test_texts_belong_to_the_call():
    nodes = [node("StringConcat", ["x", "mark"], ["y"]), node("SequenceConstruct", ["y"], ["s"])]
    proto = model_of(nodes, [info("x", TensorProto.STRING, [1])], [info("y"), info("s")])
    proto.graph.initializer.append(helper.make_tensor("mark", TensorProto.STRING, [], ["!"]))
    model = dlc.onnx.load(proto)
    long = ["of the same length, a", "of the same length, b"]  # too long to lie in the array
    for text in ("a", "b", "a", *long, *long):
        y, sequence = model(np.array([text], object))
        assert y.tolist() == sequence[0].tolist() == [text + "!"]


def test_results_are_not_the_model_s_own_arrays():
    weights = helper.make_tensor("w", I64, [2], [1, 2])  # not in bytes, which could not be written
    proto = model_of([node("Relu", ["x"], ["y"])], [info("x", shape=[1])], [info("y"), info("w")])
    proto.graph.initializer.append(weights)
    model = dlc.onnx.load(proto)
    _, given = model(np.ones(1, np.float32))
    assert isinstance(given, dlc.Tensor)
    given[0] = 7
    assert model(np.ones(1, np.float32))[1].tolist() == [1, 2]


def test_activations_take_the_numbers_that_they_have():
    """In their order, and none for those without."""
    w, r = np.ones((2, 1, 1), np.float32), np.zeros((2, 1, 1), np.float32)
    both = {"direction": "bidirectional", "hidden_size": 1}
    numbers = {"activations": ["Tanh", "LeakyRelu"], "activation_alpha": [0.25]}
    rnn = node("RNN", ["x", "w", "r"], ["y"], **both, **numbers)
    model = dlc.onnx.load(model_of([rnn], [info("x")], [info("y")], [("w", w), ("r", r)]))
    (y,) = model(np.full((1, 1, 1), -2, np.float32))
    np.testing.assert_allclose(y.numpy().ravel(), [np.tanh(-2), -0.5], rtol=1e-6)


@pytest.mark.parametrize("changing", [False, True])
def test_slices_of_no_iteration_have_their_types(changing):
    grown = node("Concat", ["v", "v"], ["v2"], axis=0) if changing else node("Neg", ["v"], ["v2"])
    body = helper.make_graph(
        [
            grown,
            node("Identity", ["c"], ["go"]),
            node("Slice", ["v", "zero", "two"], ["head"]),
            node("Cast", ["head"], ["slice"], to=I64),
        ],
        "body",
        [info("k", I64, []), info("c", BOOL, []), info("v")],
        [info("go", BOOL), info("v2"), info("slice", I64)],
    )
    loop = node("Loop", ["count", "", "x"], ["last", "all"], body=body)
    weights = [("zero", np.array([0])), ("two", np.array([2]))]
    inputs = [info("count", I64, []), info("x", shape=[3])]
    model = dlc.onnx.load(model_of([loop], inputs, [info("last"), info("all")], weights))
    for count in (2, 0):
        slices = model(np.array(count), np.ones(3, np.float32))[1]
        assert (slices.shape, slices.dtype) == ((count, 2), dlc.int64)


def known(op, inputs, attributes=None, *, opset=18, outputs=("y",), x=None, **weights):
    """The results of one operator, of an input x, or of known values alone."""
    proto = model_of(
        [node(op, list(inputs), list(outputs), **(attributes or {}))],
        [] if x is None else [info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [info(name) for name in outputs],
        [(name, np.array(value)) for name, value in weights.items()],
        opset,
    )
    return [np.asarray(y) for y in dlc.onnx.load(proto)(*([] if x is None else [x]))]


def test_results_of_nothing():
    x = np.ones((1, 1), np.float32)
    scales = np.array([1, 0.5], np.float32)
    assert known("Resize", ["x", "", "s"], {"mode": "linear"}, x=x, s=scales)[0].shape == (1, 0)
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        assert known(op, ["x"], opset=11, x=x[:0])[0].shape == (0, 1)


def test_slices_downwards_begin_within_the_axis():
    """Where the standard clamps, NumPy has an empty slice."""
    begin, end, axis, step = np.array([[-9], [-20], [0], [-1]])
    names = ["start", "end", "axis", "step"]
    given = dict(zip(names, (begin, end, axis, step), strict=True))
    x = np.array([1, 2, 3], np.float32)
    assert known("Slice", ["x", *names], x=x, **given)[0].tolist() == [1]
    assert known("Slice", ["k", *names], k=[1, 2, 3], **given)[0].tolist() == [1]
    proto = model_of(
        [node("Slice", ["x", *names], ["y"])], [info("x", shape=["n"])], [info("y")], given.items()
    )
    model = dlc.onnx.load(proto)
    for n in (3, 5, 8, 12):
        x = np.arange(n, dtype=np.float32)
        assert model(x)[0].tolist() == ([0] if n < 10 else list(range(n - 9, -1, -1)))


def test_extremes_of_known_numbers_without_axes_keep_their_type():
    for op, result in (("Max", 5), ("Min", 3)):
        (found,) = known(op, ["a", "b"], a=np.uint32(3), b=np.uint32(5))
        assert (found.dtype, found.tolist()) == (np.uint32, result)


def test_known_integers_wrap():
    for op in ("ReduceProd", "ReduceSum", "ReduceMax"):
        result = {"ReduceProd": 10**10 % 2**32, "ReduceSum": 200000, "ReduceMax": 100000}[op]
        assert known(op, ["k"], k=np.array([100000, 100000], np.int32))[0].tolist() == [result]
    assert known("ReduceSum", ["k"], k=[2**62, 2**62])[0].tolist() == [-(2**63)]


def test_one_hot_of_narrow_indices():
    x = np.array([44, 127, -1], np.int8)
    (y,) = known("OneHot", ["x", "depth", "values"], x=x, depth=300, values=[0, 1])
    assert y.argmax(-1).tolist() == [44, 127, 299]
    assert y.sum() == 3


def test_an_axis_may_be_an_array_of_one():
    """As ONNX Runtime takes it."""
    assert known("CumSum", ["x", "axis"], x=np.ones(3), axis=[0])[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("op", "outputs", "sizes"),
    [
        ("Split", ("a", "b"), [2, 2]),
        ("Split", ("a", "b"), [4, 4]),
        ("SplitToSequence", "a", [2, 2]),
    ],
)
def test_parts_that_are_not_the_whole_are_refused(op, outputs, sizes):
    with pytest.raises(dlc.ModelError, match=r"parts of .* along an axis of 6"):
        known(op, ["x", "s"], outputs=outputs, x=np.ones(6), s=sizes)


def test_an_element_that_is_not_there_cannot_be_erased():
    nodes = [
        node("SequenceConstruct", ["x", "x"], ["s"]),
        node("SequenceErase", ["s", "place"], ["y"]),
    ]
    proto = model_of(nodes, [info("x", shape=[1])], [info("y")], [("place", np.array(2))])
    with pytest.raises(dlc.ModelError, match="the place 2 is outside of a sequence of 2"):
        dlc.onnx.load(proto)(np.ones(1, np.float32))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_larger_than_the_image(rng, mode, coordinates, ratio):
    """Without a ratio, a bin has as many samples as it is long, be there an image or not."""
    attributes = {
        "mode": mode, "coordinate_transformation_mode": coordinates, "sampling_ratio": ratio,
        "output_height": 1, "output_width": 2,
    }  # fmt: skip
    inputs = [info("x", shape=[2, 3, 2, 4]), info("r", shape=["n", 4]), info("i", I64, ["n"])]
    align = node("RoiAlign", ["x", "r", "i"], ["y"], **attributes)
    proto = model_of([align], inputs, [info("y", shape=["n", 3, 1, 2])])
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    model = dlc.onnx.load(proto)
    regions = np.sort(rng.uniform(-9, 9, (9, 2, 2)), axis=1).reshape(9, 4)
    regions[:2] = [[0, 0, 7, 7], [1, 1, 1, 1]]
    given = {
        "x": rng.standard_normal((2, 3, 2, 4)).astype(np.float32),
        "r": regions.astype(np.float32),
        "i": rng.integers(0, 2, 9),
    }
    for count in (9, 0):
        given |= {"r": given["r"][:count], "i": given["i"][:count]}
        expected = session.run(None, given)[0]
        np.testing.assert_allclose(model(**given)[0], expected, rtol=1e-4, atol=1e-5)


def test_functions_of_the_model():
    function = helper.make_function(
        "local", "Double", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    call = helper.make_node("Double", ["x"], ["y"], domain="local")
    proto = model_of(
        [call], [info("x", shape=[2])], [info("y")], functions=[function],
        opsets=[helper.make_opsetid("local", 1)],
    )  # fmt: skip
    assert dlc.onnx.load(proto)(np.array([1, 2], np.float32))[0].tolist() == [2, 4]


@pytest.mark.parametrize("kind", sorted(element_types.STORED))
def test_stored_types_are_rounded_as_their_numpy_types(kind):
    if kind in (21, 22, 25, 26):
        numbers = np.arange(-40, 40, dtype=np.int32)
    else:
        rng = np.random.default_rng(kind)
        table = element_types.numpy_type(kind)
        every = np.arange(256, dtype=np.uint8)[: 16 if kind == 23 else 256].view(table)
        middle = every.astype(np.float64)
        middle = (middle[1:] + middle[:-1]) / 2
        with np.errstate(over="ignore"):
            middle = middle.astype(np.float32)
        numbers = np.concatenate(
            [
                rng.standard_normal(300) * 10.0 ** rng.integers(-6, 6, 300),
                every,
                middle,
                [0.0, -0.0],
            ]
        ).astype(np.float32)
        if kind == 24:
            numbers = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    keywords = {"saturate": False} if kind in (17, 18, 19, 20) else {}
    if kind == 24:
        keywords = {"round_mode": "nearest", "saturate": False}
    got = element_types.unstored(
        element_types.Stored(
            element_types.encode(dlc.asarray(numbers), kind, **keywords).codes.numpy(), kind
        )
    )
    if kind in (21, 22, 25, 26):
        width = 16 if kind in (21, 22) else 4
        wanted = (numbers % width).astype(np.int32)
        if kind in (22, 26):
            wanted = np.where(wanted >= width // 2, wanted - width, wanted)
        np.testing.assert_array_equal(got.astype(np.int32), wanted)
        return
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = numbers.astype(element_types.numpy_type(kind))
    same = (got.view(np.uint8) == wanted.view(np.uint8)) | (
        np.isnan(got.astype(np.float32)) & np.isnan(wanted.astype(np.float32))
    )
    assert same.all(), (numbers[~same], got[~same], wanted[~same])


def test_a_part_of_the_backend_suite():
    reasons = onnx_suite.exceptions()
    suite = [t for t in onnx_suite.tests("") if zlib.crc32(t._testMethodName.encode()) % 16 == 0]
    found = {t._testMethodName: onnx_suite.outcome(t) for t in suite}
    assert len(found) > 90
    failed = {name: why for name, (good, why) in found.items() if not good}
    assert set(failed) <= set(reasons), failed


def test_operators_are_documented():
    for (domain, name), rows in operators().items():
        for row in rows:
            function = getattr(row.function, "func", row.function)
            assert function.__module__.startswith("dlc.interop.onnx.operators"), (domain, name)


# Bad input.


def simple(op="Relu", inputs=("x",), outputs=("y",), **keywords):
    nodes = [node(op, list(inputs), list(outputs))]
    return model_of(nodes, [info("x", shape=["n", 2])], [info(n) for n in outputs], **keywords)


def test_arguments_that_do_not_fit():
    model = dlc.onnx.load(simple())
    good = np.ones((1, 2), np.float32)
    for args, keywords, error, message in [
        ((good, good), {}, dlc.ArgumentError, "takes 1 inputs, got 2"),
        ((), {}, dlc.ArgumentError, "needs 'x'"),
        ((), {"X": good}, dlc.ArgumentError, "no input 'X'"),
        ((good,), {"x": good}, dlc.ArgumentError, "x given twice"),
        ((good.astype(np.float64),), {}, dlc.DTypeError, "'x' is float, got double"),
        ((np.ones((1, 3), np.float32),), {}, dlc.ShapeError, r"got the shape \[1, 3\]"),
        ((np.ones(2, np.float32),), {}, dlc.ShapeError, r"got the shape \[2\]"),
    ]:
        with pytest.raises(error, match=message):
            model(*args, **keywords)


def test_keywords_of_compile():
    named = dlc.compile(simple(), name="named", level="O1", num_threads=1)
    named(np.ones((1, 2), np.float32))
    assert (named.name, [p.name for p in named.programs]) == ("named", ["named"])
    for keywords, error in (
        ({"static_argnums": 0}, dlc.ArgumentError),
        ({"donate_argnames": "x"}, dlc.ArgumentError),
        ({"level": "O9"}, dlc.ValueRangeError),
        ({"num_threads": 0}, dlc.SettingError),
    ):
        with pytest.raises(error, match=next(iter(keywords))):
            dlc.compile(simple(), **keywords)


def test_unknown_operators_are_listed_at_once():
    nodes = [node("Relo", ["x"], ["a"]), helper.make_node("Fft", ["a"], ["y"], domain="com.other")]
    proto = model_of(nodes, [info("x")], [info("y")], opsets=[helper.make_opsetid("com.other", 3)])
    with pytest.raises(dlc.ModelError) as caught:
        dlc.onnx.load(proto)
    assert "ai.onnx.Relo (opset 20)" in caught.value.message
    assert "com.other.Fft (opset 3)" in caught.value.message


def test_graphs_that_are_wrong():
    cycle = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])]
    twice = [node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])]
    for nodes, message in ((cycle, "cycle through node: "), (twice, "'y' is defined twice")):
        with pytest.raises(dlc.ModelError, match=message):
            dlc.onnx.load(model_of(nodes, [info("x")], [info("y" if nodes is twice else "b")]))
    with pytest.raises(dlc.ModelError, match="'z' is not defined"):
        dlc.onnx.load(simple(inputs=("z",)))(np.ones((1, 2), np.float32))
    with pytest.raises(dlc.ModelError, match="opset 999"):
        dlc.onnx.load(simple(opset=999))


def test_errors_name_the_node():
    nodes = [helper.make_node("MatMul", ["x", "x"], ["y"], name="first")]
    model = dlc.onnx.load(model_of(nodes, [info("x", shape=["n", 2])], [info("y")]))
    with pytest.raises(dlc.ShapeError) as caught:
        model(np.ones((3, 2), np.float32))
    assert "in node 'first': MatMul(x, x) -> y" in str(caught.value)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
        dlc.onnx.load(tmp_path / "absent.onnx")
    with pytest.raises(dlc.FileFormatError, match="no ONNX model|needs a graph"):
        dlc.onnx.load(b"")
    data = simple().SerializeToString()
    for end in range(0, len(data), 7):
        with pytest.raises(dlc.DlcError):
            dlc.onnx.load(data[:end])
    chance = random.Random(0)
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(dlc.DlcError):
            dlc.onnx.load(bytes(broken))(np.ones((1, 2), np.float32))


def external(folder, location, **entries):
    proto = simple(op="Add", inputs=("x", "w"), weights=[("w", np.ones(2, np.float32))])
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def test_external_data(tmp_path):
    (tmp_path / "model").mkdir()
    folder = tmp_path / "model"
    np.array([7, 1, 2], np.float32).tofile(folder / "w.bin")
    np.ones(2, np.float32).tofile(tmp_path / "outside.bin")
    model = dlc.onnx.load(external(folder, "w.bin", offset=4, length=8))
    assert model(np.zeros((1, 2), np.float32))[0].tolist() == [[1, 2]]
    for location, entries, message in [
        ("gone.bin", {}, "No such file"),
        ("../outside.bin", {}, "outside of the folder"),
        (str(tmp_path / "outside.bin"), {}, "outside of the folder"),
        ("w.bin", {"offset": 8, "length": 8}, "which has 12"),
        ("w.bin", {"length": 4}, "needs 8 bytes"),
        ("w.bin", {"offset": "x"}, "external data"),
    ]:
        with pytest.raises(dlc.FileFormatError, match=message):
            dlc.onnx.load(external(folder, location, **entries))
    with pytest.raises(dlc.FileFormatError, match="lies in the file"):
        dlc.onnx.load(external(folder, "w.bin").read_bytes())


def test_backend_functions():
    x = np.array([[-1, 2]], np.float32)
    (y,) = dlc.onnx.run_model(simple(), [x])
    assert isinstance(y, np.ndarray)
    assert y.tolist() == [[0, 2]]
    assert dlc.onnx.run_node(node("Neg", ["x"], ["y"]), [x])[0].tolist() == [[1, -2]]
    assert dlc.onnx.supports_device("CPU")
    assert not dlc.onnx.supports_device("CUDA:99")
    assert dlc.onnx.is_compatible(simple())
    assert not dlc.onnx.is_compatible(simple(op="Relo"))
    assert isinstance(dlc.onnx.prepare(simple()), dlc.onnx.PreparedModel)
    assert isinstance(dlc.compile(simple()), dlc.onnx.OnnxModel)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "said"),
    [
        ("AveragePool", [""], {"kernel_shape": [2, 2]}, "AveragePool has no meaning"),
        ("MaxPool", [], {"kernel_shape": [2, 2]}, "MaxPool lacks its input 'x'"),
        ("Flatten", [], {}, "Flatten lacks its input 'x'"),
        ("CenterCropPad", ["x", "k"], {"axes": [9, -2]}, "CenterCropPad has no meaning"),
        ("Resize", ["x", "", ""], {}, "Resize has no meaning"),
        ("Concat", ["k", "k"], {"axis": 2**40}, "Concat has no meaning"),
    ],
)
def test_malformed_nodes_are_named(op, inputs, attributes, said):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    k = helper.make_tensor("k", TensorProto.INT64, [2], [2, 2])
    node = helper.make_node(op, inputs, ["y"], name="broken", **attributes)
    graph = helper.make_graph([node], "g", [value], [made], [k])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(dlc.DlcError, match=rf"{said}[\s\S]*broken"):
        dlc.onnx.load(model)(np.ones((1, 1, 4, 4), np.float32))
