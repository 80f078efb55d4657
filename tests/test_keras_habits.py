"""What users of Keras type at models, optimizers and callbacks."""

import pickle

import numpy as np
import pytest

import dlc
from dlc import nn

X = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
Y = X[:, :1] * 2


def fitted():
    model = nn.Sequential([nn.Dense(3), nn.BatchNormalization(), nn.Dense(1)])
    model.compile(dlc.optim.SGD(learning_rate=0.1), "mse")
    model.fit(X, Y, batch_size=4, verbose=0)
    return model


def test_the_learning_rate_is_assigned_without_compiling():
    model = fitted()
    optimizer = model.optimizer
    step = dlc.compile(lambda x, y: model.train_step((x, y, None)))
    step(X, Y)
    made = step.stats.compilations
    optimizer.learning_rate.assign(0.0)
    before = [w.copy() for w in model.get_weights()[:2]]
    step(X, Y)
    assert all(map(np.array_equal, before, model.get_weights()))
    optimizer.learning_rate = 0.5
    step(X, Y)
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert step.stats.compilations == made
    rate = optimizer.learning_rate
    assert rate == 0.5
    assert isinstance(rate, float)
    assert type(pickle.loads(pickle.dumps(rate))) is float


def test_weights_by_keras_s_names():
    model = fitted()
    shapes = [tuple(w.shape) for w in model.weights]
    assert shapes == [w.shape for w in model.get_weights()]
    assert len(model.trainable_weights) == 6
    assert len(model.non_trainable_weights) == 2
    model[0].trainable = False
    assert len(model.trainable_weights) == 4
    assert len(model.non_trainable_weights) == 4
    assert [id(v) for v in model.trainable_weights] == [id(v) for v in model.trainable_variables]

    class Own(nn.Module):
        def __init__(self):
            self.weights = nn.Parameter(dlc.ones(3))

    assert Own().weights.shape == (3,)  # an attribute of this name is the module's own


def test_models_are_saved_as_programs(tmp_path):
    model = fitted()
    model.train()
    model.save(tmp_path / "m.dlc")
    assert model.training
    got = dlc.load(tmp_path / "m.dlc")(X[:5]).numpy()
    np.testing.assert_allclose(got, model.predict(X[:5], verbose=0), rtol=1e-6)

    a, b = nn.Input((3,), name="a"), nn.Input((2,), name="b")
    graph = nn.Model([a, b], nn.Dense(2)(nn.Concatenate()([a, b])))
    graph.save(tmp_path / "g.dlc")
    given = np.ones((7, 3), np.float32), np.ones((7, 2), np.float32)
    loaded = dlc.load(tmp_path / "g.dlc")
    np.testing.assert_array_equal(loaded(*given).numpy(), graph(list(given)).numpy())

    linear = nn.Linear(3, 2)
    with pytest.raises(dlc.ArgumentError, match="specs="):
        linear.save(tmp_path / "l.dlc")
    linear.save(tmp_path / "l.dlc", specs="f32[n,3]")
    assert dlc.load(tmp_path / "l.dlc")(given[0]).shape == (7, 2)


def test_what_a_model_could_not_be_fitted_on_is_not_what_it_is_saved_for(tmp_path):
    model = fitted()
    with pytest.raises(dlc.ShapeError):
        model.fit(X[:, :3], Y, verbose=0)
    model.save(tmp_path / "model.dlc")
    assert dlc.load(tmp_path / "model.dlc")(X).shape == (12, 1)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.weights.h5"])
def test_files_of_keras_are_not_written(tmp_path, name):
    with pytest.raises(dlc.ValueRangeError, match=r"save\('m.dlc'\)(.|\n)*m.safetensors"):
        fitted().save(tmp_path / name)
    with pytest.raises(dlc.ArgumentError, match=r"'m.safetensors'"):
        dlc.callbacks.ModelCheckpoint(name)


def test_embedding_of_an_input_without_a_type():
    inputs = nn.Input((5,))
    model = nn.Model(inputs, nn.Embedding(input_dim=10, output_dim=4)(inputs))
    rows = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(model(rows.astype(np.float32)).numpy(), model(rows).numpy())
    with pytest.raises(dlc.DTypeError, match='dtype="int64"'):
        nn.Embedding(10, 4)(nn.Input((5,)))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_short_names_of_pooling_are_the_same_layers(rank):
    for short, full in (("Avg", "Average"), ("Max", "Max")):
        for how in ("", "Global"):
            layer = getattr(nn, f"{how}{full}Pooling{rank}D")
            assert getattr(nn, f"{how}{short}Pool{rank}D") is layer
