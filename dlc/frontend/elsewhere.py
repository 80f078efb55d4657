"""What PyTorch, JAX, Keras and NumPy call otherwise: for errors about names that there are not."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Final

# Methods of PyTorch's tensors that are no functions of the same name.
_METHODS: Final = {
    "bool": "x.astype(dlc.bool)", "byte": "x.astype(dlc.uint8)", "clone": "x.copy()",
    "cuda": 'x.to("cuda")', "dim": "x.ndim", "double": "x.astype(dlc.float64)",
    "expand": "dlc.broadcast_to(x, shape)", "expand_as": "dlc.broadcast_to(x, other.shape)",
    "float": "x.astype(dlc.float32)", "half": "x.astype(dlc.float16)",
    "int": "x.astype(dlc.int32)", "long": "x.astype(dlc.int64)",
    "norm": "dlc.linalg.norm(x)", "numel": "x.size", "permute": "x.transpose(axes)",
    "requires_grad_": "dlc.Variable(x, requires_grad=True)", "t": "x.T",
    "type": "x.astype(dtype)", "type_as": "x.astype(other.dtype)", "unbind": "dlc.unstack(x)",
    "view": "x.reshape(shape)", "view_as": "x.reshape(other.shape)",
}  # fmt: skip

_COMPLEX: Final = ": there are no complex numbers; keep real and imaginary parts in two tensors"

_ACROSS: Final = ": what goes across the elements of a batch is written outside of dlc.vmap"
_DTYPES: Final = ": float64 is there always; say dtype=dlc.float64 where it is meant"

# Names of other frameworks' top level.
_NAMES: Final = {
    "Array": "dlc.Tensor", "BoolTensor": "dlc.asarray", "DataLoader": "dlc.data.DataLoader",
    "Dataset": "dlc.data.Dataset", "Dense": "dlc.nn.Dense", "FloatTensor": "dlc.asarray",
    "Generator": "dlc.random.key", "GradScaler": "dlc.optim.LossScaler", "Input": "dlc.nn.Input",
    "IntTensor": "dlc.asarray", "Layer": "dlc.nn.Layer", "Linear": "dlc.nn.Linear",
    "LongTensor": "dlc.asarray", "Model": "dlc.nn.Model", "Module": "dlc.nn.Module",
    "PRNGKey": "dlc.random.key", "Parameter": "dlc.nn.Parameter",
    "SeedGenerator": "dlc.nn.RandomState", "Sequential": "dlc.nn.Sequential",
    "ShapeDtypeStruct": "dlc.spec", "activations": "dlc.nn.functional", "addmv": "dlc.mv",
    "addr": "dlc.outer", "angle": _COMPLEX, "applications": "dlc.models",
    "as_tensor": "dlc.asarray", "asanyarray": "dlc.asarray", "ascontiguousarray": "dlc.asarray",
    "average_pool": "dlc.avg_pool2d", "bartlett_window": "dlc.bartlett",
    "batch_matmul": "dlc.matmul", "batch_normalization": "dlc.batch_norm",
    "binary_crossentropy": "dlc.losses.binary_crossentropy", "blackman_window": "dlc.blackman",
    "broadcast_in_dim": "dlc.broadcast_to", "broadcast_tensors": "dlc.broadcast_arrays",
    "bucketize": "dlc.searchsorted(boundaries, x)", "cast": "dlc.astype",
    "categorical_crossentropy": "dlc.losses.categorical_crossentropy",
    "chain_matmul": "dlc.linalg.multi_dot", "cholesky": "dlc.linalg.cholesky",
    "clamp_max": "dlc.minimum", "clamp_min": "dlc.maximum", "clone": "x.copy()",
    "collapse": "dlc.flatten", "complex": _COMPLEX, "constant": "dlc.asarray",
    "conv_general_dilated": "dlc.conv", "convert_element_type": "dlc.astype",
    "convert_to_numpy": "x.numpy()", "convert_to_tensor": "dlc.asarray", "copy": "x.copy()",
    "copyto": "dlc.where", "cumlogsumexp": "dlc.logcumsumexp", "custom_gradient": "dlc.custom_vjp",
    "debug_nans": "dlc.config.debug_nans", "depth_to_space": "dlc.pixel_shuffle",
    "det": "dlc.linalg.det", "detach": "dlc.stop_gradient", "device_get": "x.numpy()",
    "device_put": "x.to(device)", "diagonal_scatter": "x.at[i, i].set(source)",
    "constraints": "dlc.nn.constraints",
    "disable_jit": "dlc.config.disable_jit", "dist": "dlc.linalg.norm",
    "dot_general": "dlc.einsum", "dot_product_attention": "dlc.scaled_dot_product_attention",
    "double": "dlc.float64", "dropout": "dlc.nn.functional.dropout",
    "dynamic_index_in_dim": "dlc.take", "dynamic_slice_in_dim": "dlc.dynamic_slice",
    "dynamic_update_slice_in_dim": "dlc.dynamic_update_slice", "eig": _COMPLEX,
    "eigh": "dlc.linalg.eigh", "eigvals": _COMPLEX, "embedding": "dlc.nn.functional.embedding",
    "erf_inv": "dlc.erfinv", "fft": _COMPLEX, "fill_diagonal": "x.at[i, i].set(value)",
    "flatten_util": "dlc.ravel_pytree",
    "float": "dlc.float32", "frobenius_norm": "dlc.linalg.norm", "from_numpy": "dlc.asarray",
    "func": "dlc", "function": "dlc.compile", "functional": "dlc.nn.functional",
    "ger": "dlc.outer", "get_num_threads": "dlc.config.num_threads", "gru": "dlc.nn.GRU",
    "half": "dlc.float16", "hamming_window": "dlc.hamming", "hann_window": "dlc.hanning",
    "histc": "dlc.histogram", "igamma": "dlc.special.gammainc", "igammac": "dlc.special.gammaincc",
    "image": "dlc.interpolate", "index_copy": "x.at[index].set(source)",
    "index_fill": "x.at[index].set(value)", "index_put": "x.at[indices].set(values)",
    "inference_mode": "dlc.no_grad", "initializers": "dlc.nn.initializers", "int": "dlc.int32",
    "integer_pow": "dlc.pow", "intp": "dlc.int64", "inv": "dlc.linalg.inv",
    "inverse": "dlc.linalg.inv", "irfft": _COMPLEX, "is_finite": "dlc.isfinite",
    "is_floating_point": "x.dtype.is_float", "is_tensor": "isinstance(x, dlc.Tensor)",
    "iscomplex": _COMPLEX, "iscomplexobj": _COMPLEX, "isscalar": "dlc.ndim",
    "issubdtype": "dlc.isdtype", "istft": _COMPLEX, "kaiser_window": "dlc.kaiser",
    "keras": "dlc.nn", "lax": "dlc", "layer_normalization": "dlc.layer_norm", "layers": "dlc.nn",
    "linear_transpose": "dlc.vjp", "linearize": "dlc.jvp", "logdet": "dlc.linalg.slogdet",
    "logistic": "dlc.sigmoid", "long": "dlc.int64", "lstm": "dlc.nn.LSTM",
    "lstsq": "dlc.linalg.lstsq", "make_jaxpr": "dlc.compile(f).lower",
    "manual_seed": "dlc.random.seed", "matrix_exp": "dlc.linalg.expm",
    "matrix_power": "dlc.linalg.matrix_power", "matrix_rank": "dlc.linalg.matrix_rank",
    "max_pool": "dlc.max_pool2d", "moments": "dlc.var_mean", "msort": "dlc.sort(x, axis=0)",
    "multi_hot": "dlc.nn.CategoryEncoding", "multinomial": "dlc.random.categorical",
    "mvlgamma": "dlc.special.multigammaln", "ndarray": "dlc.Tensor", "norm": "dlc.linalg.norm",
    "normalize": "dlc.nn.functional.normalize", "nuclear_norm": 'dlc.linalg.norm(x, ord="nuc")',
    "numel": "x.size", "numpy": "dlc", "ops": "dlc", "optimizers": "dlc.optim",
    "pad_sequence": "dlc.data.pad_sequence", "pad_sequences": "dlc.data.pad_sequences",
    "parameters_to_vector": "dlc.ravel_pytree",
    "permute_copy": "dlc.permute", "pinv": "dlc.linalg.pinv", "pinverse": "dlc.linalg.pinv",
    "place": "dlc.where", "pmap": ": there is one device for a program", "polar": _COMPLEX,
    "population_count": "dlc.bitwise_count", "promote_types": "dlc.result_type",
    "put": "x.at[indices].set(values)", "putmask": "dlc.where", "qr": "dlc.linalg.qr",
    "rand": "dlc.random.uniform", "rand_like": "dlc.random.uniform",
    "randint": "dlc.random.randint", "randint_like": "dlc.random.randint",
    "randn": "dlc.random.normal", "randn_like": "dlc.random.normal",
    "randperm": "dlc.random.permutation", "range": "dlc.arange",
    "rearrange": "dlc.reshape and dlc.permute_dims", "reduce_max": "dlc.max",
    "reduce_mean": "dlc.mean", "reduce_min": "dlc.min", "reduce_sum": "dlc.sum",
    "reduce_window": "dlc.max_pool2d or dlc.avg_pool2d", "regularizers": "dlc.nn.regularizers",
    "rem": "dlc.fmod", "remat": "dlc.checkpoint", "repeat_interleave": "dlc.repeat",
    "rev": "dlc.flip", "rfft": _COMPLEX, "rms_normalization": "dlc.rms_norm",
    "rollaxis": "dlc.moveaxis", "roots": _COMPLEX, "savez": "dlc.safetensors.save_file",
    "scalar_tensor": "dlc.asarray", "scatter_update": "x.at[indices].set(values)",
    "scipy": "dlc.special or dlc.linalg",
    "select_n": "dlc.where", "select_scatter": "x.at[index].set(source)",
    "set_num_threads": "dlc.config.num_threads", "set_random_seed": "dlc.random.seed",
    "set_seed": "dlc.random.seed", "shard_map": ": there is one device for a program",
    "single": "dlc.float32", "slice_in_dim": "dlc.narrow",
    "slice_scatter": "x.at[start:stop].set(source)", "slice_update": "dlc.dynamic_update_slice",
    "slogdet": "dlc.linalg.slogdet", "solve": "dlc.linalg.solve",
    "space_to_depth": "dlc.pixel_unshuffle",
    "sparse_categorical_crossentropy": "dlc.losses.sparse_categorical_crossentropy",
    "stft": _COMPLEX, "svd": "dlc.linalg.svd", "t": "x.T", "take_along_dim": "dlc.take_along_axis",
    "tensor": "dlc.asarray", "tensor_split": "dlc.array_split", "to_categorical": "dlc.one_hot",
    "top_k": "dlc.topk", "tree_flatten": "dlc.tree.flatten", "tree_leaves": "dlc.tree.leaves",
    "tree_map": "dlc.tree.map", "tree_unflatten": "dlc.tree.unflatten", "tree_util": "dlc.tree",
    "unbind": "dlc.unstack",
    "unflatten": "dlc.reshape", "utils": "dlc.data or dlc.optim", "vectorize": "dlc.vmap",
    "vectorized_map": "dlc.vmap", "view_as_complex": _COMPLEX, "view_as_real": _COMPLEX,
    "adjoint": "x.mT", "affine_grid_generator": "dlc.nn.functional.affine_grid",
    "all_gather": _ACROSS, "all_to_all": _ACROSS, "approx_max_k": "dlc.topk", "axis_index": _ACROSS,
    "bessel_i0e": "dlc.special.i0e", "bessel_i1e": "dlc.special.i1e", "block": "dlc.concat",
    "block_until_ready": "x.block_until_ready()", "broadcast": "dlc.broadcast_to",
    "broadcasted_iota": "dlc.broadcast_to(dlc.arange(n), shape)", "c_": "dlc.column_stack",
    "checkpoint_policies": ": dlc.checkpoint keeps the arguments alone",
    "constant_pad_nd": "dlc.pad", "conv_general_dilated_patches": "dlc.nn.functional.unfold",
    "conv_transpose": "dlc.conv_transpose2d", "conv_with_general_padding": "dlc.conv",
    "custom_linear_solve": "dlc.custom_vjp", "custom_root": "dlc.custom_vjp",
    "default_backend": "dlc.devices", "default_device": "dlc.device",
    "default_matmul_precision": "dlc.compile(f, precision=)",
    "depthwise_conv": "dlc.conv with groups", "device_count": "dlc.devices",
    "diag_indices_from": "dlc.diag_indices", "divide_no_nan": "dlc.where around both",
    "dynamic_update_index_in_dim": "x.at[index].set(value)",
    "enable_grad": ": gradients are there but inside of dlc.no_grad", "enable_x64": _DTYPES,
    "fill": "dlc.full_like", "float_": "dlc.float64", "floating": "dlc.isdtype",
    "frombuffer": "dlc.asarray of what NumPy reads", "fromfile": "dlc.asarray of what NumPy reads",
    "fromfunction": "f(*dlc.indices(shape))", "fromiter": "dlc.asarray of a list",
    "fromstring": "dlc.asarray of what NumPy reads",
    "genfromtxt": "dlc.asarray of what NumPy reads", "geqrf": "dlc.linalg.qr",
    "get_default_dtype": _DTYPES, "get_rng_state": "dlc.random.get_state",
    "grad_and_value": "dlc.value_and_grad", "grid_sampler": "dlc.nn.functional.grid_sample",
    "histogram_bin_edges": "dlc.histogram(x)[1]", "in_top_k": "dlc.topk", "index_exp": "x[...]",
    "index_in_dim": "dlc.take", "index_reduce": "x.at[index].max or the like",
    "inexact": "dlc.isdtype", "int_": "dlc.int64", "integer": "dlc.isdtype", "is_complex": _COMPLEX,
    "is_nonzero": "bool(x)", "isreal": _COMPLEX, "isrealobj": _COMPLEX,
    "loadtxt": "dlc.asarray of what NumPy reads", "local_device_count": "dlc.devices",
    "local_devices": "dlc.devices", "mgrid": "dlc.indices", "number": "dlc.isdtype",
    "ogrid": "dlc.meshgrid", "pmax": _ACROSS, "pmean": _ACROSS, "pmin": _ACROSS,
    "polyadd": "dlc.add", "polymul": "dlc.convolve", "polysub": "dlc.subtract", "ppermute": _ACROSS,
    "psum": _ACROSS, "r_": "dlc.concat", "reduce": "dlc.sum, dlc.prod, dlc.max or dlc.min",
    "reduce_and": "dlc.all", "reduce_or": "dlc.any",
    "reduce_precision": "x.astype(dtype).astype(x.dtype)", "reduce_prod": "dlc.prod",
    "resize": "dlc.reshape or dlc.tile", "rng_uniform": "dlc.random.uniform", "s_": "x[...]",
    "saturate_cast": "dlc.astype of dlc.clip", "scatter_apply": "x.at[indices].apply(f)",
    "scatter_max": "x.at[indices].max(values)", "scatter_min": "x.at[indices].min(values)",
    "scatter_mul": "x.at[indices].multiply(values)",
    "scatter_sub": "x.at[indices].subtract(values)", "separable_conv": "dlc.nn.SeparableConv2D",
    "set_default_dtype": _DTYPES, "set_rng_state": "dlc.random.set_state",
    "shift_left": "dlc.bitwise_left_shift", "shift_right_arithmetic": "dlc.bitwise_right_shift",
    "shift_right_logical": "dlc.bitwise_right_shift", "slice": "x[start:stop]",
    "sort_key_val": "dlc.argsort", "stack_module_state": "dlc.stack of each parameter",
    "tril_indices_from": "dlc.tril_indices", "triu_indices_from": "dlc.triu_indices",
    "uint": "dlc.uint64",
}  # fmt: skip

# Names beside layers of other frameworks.
_LAYERS: Final = {
    "Convolution1D": "dlc.nn.Conv1D", "Convolution1DTranspose": "dlc.nn.Conv1DTranspose",
    "Convolution2D": "dlc.nn.Conv2D", "Convolution2DTranspose": "dlc.nn.Conv2DTranspose",
    "Convolution3D": "dlc.nn.Conv3D", "Convolution3DTranspose": "dlc.nn.Conv3DTranspose",
    "CrossMapLRN2d": "dlc.nn.LocalResponseNorm", "InputLayer": "dlc.nn.Input",
    "LazyBatchNorm1d": "dlc.nn.BatchNormalization", "LazyBatchNorm2d": "dlc.nn.BatchNormalization",
    "LazyBatchNorm3d": "dlc.nn.BatchNormalization", "LazyConv1d": "dlc.nn.Conv1D",
    "LazyConv2d": "dlc.nn.Conv2D", "LazyConv3d": "dlc.nn.Conv3D",
    "LazyConvTranspose1d": "dlc.nn.Conv1DTranspose",
    "LazyConvTranspose2d": "dlc.nn.Conv2DTranspose",
    "LazyConvTranspose3d": "dlc.nn.Conv3DTranspose", "LazyLinear": "dlc.nn.Dense",
    "NLLLoss2d": "dlc.nn.NLLLoss", "RNNBase": "dlc.nn.RNN", "RNNCellBase": "dlc.nn.RNNCell",
    "SeedGenerator": "dlc.nn.RandomState", "SeparableConvolution1D": "dlc.nn.SeparableConv1D",
    "SeparableConvolution2D": "dlc.nn.SeparableConv2D", "SyncBatchNorm": "dlc.nn.BatchNorm2d",
    "TorchModuleWrapper": 'torch.compile(module, backend="dlc")', "Wrapper": "dlc.nn.Layer",
    "callbacks": "dlc.callbacks", "layers": "dlc.nn", "metrics": "dlc.metrics", "ops": "dlc",
    "optimizers": "dlc.optim", "random": "dlc.random", "utils": "dlc.data or dlc.optim",
}  # fmt: skip

# Of `torch.nn.functional` and the like.
_FUNCTIONS: Final = {
    "binary_crossentropy": "dlc.losses.binary_crossentropy",
    "categorical_crossentropy": "dlc.losses.categorical_crossentropy",
    "celu_": "dlc.nn.functional.celu", "dot_product_attention": "dlc.scaled_dot_product_attention",
    "elu_": "dlc.nn.functional.elu", "hardtanh_": "dlc.nn.functional.hardtanh",
    "leaky_relu_": "dlc.nn.functional.leaky_relu",
    "max_pool1d_with_indices": "dlc.max_pool1d(..., return_indices=True)",
    "max_pool2d_with_indices": "dlc.max_pool2d(..., return_indices=True)",
    "max_pool3d_with_indices": "dlc.max_pool3d(..., return_indices=True)",
    "multi_head_attention_forward": "dlc.nn.MultiheadAttention", "relu_": "dlc.nn.functional.relu",
    "rrelu_": "dlc.nn.functional.rrelu", "selu_": "dlc.nn.functional.selu",
    "soft_sign": "dlc.nn.functional.softsign",
    "sparse_categorical_crossentropy": "dlc.losses.sparse_categorical_crossentropy",
    "standardize": "dlc.layer_norm", "threshold_": "dlc.nn.functional.threshold",
    "upsample": "dlc.nn.functional.interpolate",
    "upsample_bilinear": "dlc.nn.functional.interpolate",
    "upsample_nearest": "dlc.nn.functional.interpolate",
}  # fmt: skip

# Of optimizers.
_OPTIMIZERS: Final = {
    "CosineDecay": "dlc.optim.schedules.CosineDecay",
    "ExponentialDecay": "dlc.optim.schedules.ExponentialDecay",
    "GradScaler": "dlc.optim.LossScaler", "LossScaleOptimizer": "dlc.optim.LossScaler",
    "MultiOptimizer": "groups of parameters, or several dlc.optim.Optimizer,",
    "SparseAdam": "dlc.optim.Adam, as gradients are dense,",
    "StepLR": "dlc.optim.lr_scheduler.StepLR", "adam": "dlc.optim.Adam",
    "adamw": "dlc.optim.AdamW", "apply_updates": "optimizer.update",
    "chain": "clipnorm= and the like of dlc.optim.Optimizer", "sgd": "dlc.optim.SGD",
    "swa_utils": "dlc.nn.utils.AveragedModel, or use_ema=True of optimizers,",
}  # fmt: skip

# Of metrics.
_METRICS: Final = {
    "AUROC": "dlc.metrics.AUC(exact=True)",
    "AveragePrecision": 'dlc.metrics.AUC(curve="PR", exact=True)',
    "ConcordanceCorrCoef": "dlc.metrics.ConcordanceCorrelation", "JaccardIndex": "dlc.metrics.IoU",
    "MeanMetric": "dlc.metrics.Mean", "MeanMetricWrapper": "dlc.metrics.MeanOf",
    "PearsonCorrCoef": "dlc.metrics.PearsonCorrelation", "SumMetric": "dlc.metrics.Sum",
    "binary_accuracy": "dlc.metrics.BinaryAccuracy()",
    "binary_crossentropy": "dlc.losses.binary_crossentropy",
    "binary_focal_crossentropy": "dlc.losses.binary_focal_crossentropy",
    "categorical_accuracy": "dlc.metrics.CategoricalAccuracy()",
    "categorical_crossentropy": "dlc.losses.categorical_crossentropy",
    "categorical_focal_crossentropy": "dlc.losses.categorical_focal_crossentropy",
    "categorical_hinge": "dlc.losses.categorical_hinge", "hinge": "dlc.losses.hinge",
    "huber": "dlc.losses.huber", "kl_divergence": "dlc.losses.kl_divergence",
    "log_cosh": "dlc.losses.log_cosh", "mean_absolute_error": "dlc.losses.mean_absolute_error",
    "mean_absolute_percentage_error": "dlc.losses.mean_absolute_percentage_error",
    "mean_squared_error": "dlc.losses.mean_squared_error",
    "mean_squared_logarithmic_error": "dlc.losses.mean_squared_logarithmic_error",
    "poisson": "dlc.losses.poisson",
    "sparse_categorical_accuracy": "dlc.metrics.SparseCategoricalAccuracy()",
    "sparse_categorical_crossentropy": "dlc.losses.sparse_categorical_crossentropy",
    "squared_hinge": "dlc.losses.squared_hinge",
    "top_k_categorical_accuracy": "dlc.metrics.TopKCategoricalAccuracy()",
}  # fmt: skip

# Of linear algebra.
_MATRICES: Final = {
    "block_diag": "dlc.block_diag", "cho_factor": "dlc.linalg.cholesky",
    "cho_solve": "dlc.linalg.cholesky_solve", "cholesky_ex": "dlc.linalg.cholesky",
    "dot": "dlc.dot", "eig": _COMPLEX, "eigvals": _COMPLEX, "einsum": "dlc.einsum",
    "inv_ex": "dlc.linalg.inv", "logdet": "dlc.linalg.slogdet", "matrix_exp": "dlc.linalg.expm",
    "solve_ex": "dlc.linalg.solve", "vander": "dlc.vander",
}  # fmt: skip

# Of random numbers.
_RANDOM: Final = {
    "Generator": "dlc.random.key", "PRNGKey": "dlc.random.key", "RandomState": "dlc.random.key",
    "SeedGenerator": "dlc.nn.RandomState", "default_rng": "dlc.random.key",
    "dropout": "dlc.nn.functional.dropout", "integers": "dlc.random.randint",
    "manual_seed": "dlc.random.seed", "multinomial": "dlc.random.categorical",
    "rand": "dlc.random.uniform", "randn": "dlc.random.normal", "random": "dlc.random.uniform",
    "randperm": "dlc.random.permutation", "standard_normal": "dlc.random.normal",
    "t": "dlc.random.student_t",
    "lognormal": "dlc.exp(dlc.random.normal(key, shape))",
    "pareto": "dlc.exp(dlc.random.exponential(key, shape) / b)",
    "rayleigh": "dlc.sqrt(2 * dlc.random.exponential(key, shape))",
    "weibull": "dlc.random.exponential(key, shape) ** (1 / a)",
    "weibull_min": "dlc.random.exponential(key, shape) ** (1 / concentration)",
}  # fmt: skip

# Of data.
_DATA: Final = {
    "ChainDataset": "dlc.data.ConcatDataset", "Sequence": "dlc.data.PyDataset",
    "collate": "dlc.data.default_collate",
    "from_tensor_slices": "dlc.data.Dataset.from_tensor_slices", "to_categorical": "dlc.one_hot",
}  # fmt: skip

# Of PyTorch's tools for modules.
_UTILS: Final = {
    "clip_grad_norm": "dlc.nn.utils.clip_grad_norm_", "init": "dlc.nn.init",
    "prune": "dlc.nn.utils.parametrize", "rnn": "dlc.data.pad_sequence, and lengths= of nn.LSTM",
    "skip_init": "dlc.nn.initializers.skip_init",
}  # fmt: skip

# Of trees.
_TREES: Final = {
    "all": "all(dlc.tree.leaves(x))", "reduce": "functools.reduce(f, dlc.tree.leaves(x))",
    "tree_flatten": "dlc.tree.flatten", "tree_leaves": "dlc.tree.leaves",
    "tree_map": "dlc.tree.map",
    "tree_reduce": "functools.reduce(f, dlc.tree.leaves(x))",
    "tree_structure": "dlc.tree.structure", "tree_unflatten": "dlc.tree.unflatten",
}  # fmt: skip

_TABLES: Final = {
    "dlc.data": _DATA, "dlc.frontend.linalg": _MATRICES, "dlc.frontend.random": _RANDOM,
    "dlc.metrics": _METRICS, "dlc.nn": _LAYERS, "dlc.nn.functional": _FUNCTIONS,
    "dlc.nn.utils": _UTILS, "dlc.optim": _OPTIMIZERS, "dlc.frontend.tree": _TREES,
}  # fmt: skip


def method(name: str) -> str:
    """What does here what a method of this name does in PyTorch."""
    if name in _METHODS:
        return _METHODS[name]
    if name.endswith("_"):  # values never change
        return f"x = dlc.{name[:-1]}(x, ...)"
    return f"dlc.{name}(x, ...)"


# Where functions are that other frameworks have at the top level, or in modules of their own.
_HOMES: Final = (
    "dlc", "dlc.nn.functional", "dlc.linalg", "dlc.special", "dlc.random", "dlc.losses",
    "dlc.nn.utils",
)  # fmt: skip


def function(name: str) -> str | None:
    """What an error says of a name of another framework's top level; None if it is not known."""
    if name.startswith("complex"):
        return _COMPLEX
    return _said(_NAMES, name) or _at_home(name)


def known(module: str, name: str) -> str | None:
    """What an error says of a name that a module has not; None if nothing."""
    return _said(_TABLES.get(module, {}), name) or _at_home(name)


def _at_home(name: str) -> str | None:
    """Where a function is; PyTorch's names of those that change their argument end in "_"."""
    for home in _HOMES if name[0] != "_" else ():
        for own in (name, name.removesuffix("_")):
            if own and own in _public_names(home):
                return f"; it is {home}.{own} here"
    return None


def _public_names(home: str) -> list[str]:
    _, *path = home.split(".")
    return dir(functools.reduce(getattr, path, importlib.import_module("dlc")))


def _said(names: Mapping[str, str], name: str) -> str | None:
    """What an error says of a name: what it is here, or why it is not (after a colon)."""
    known = names.get(name)
    return known if known is None or known[0] == ":" else f"; it is {known} here"
