"""The op rows, in files by family, which the table `dlc.ir.op.OPS` loads by need.

`ROWS` says which rows a file has, so that a program loads the files of its own ops only.
"""

ROWS = {
    "attention": (
        "attention attention_lse attention_lse_low"
        " attention_grad_query attention_grad_key attention_grad_value"
    ),
    "callbacks": "debug_print debug_callback pure_callback",
    "composite": (
        "relu silu gelu gelu_tanh softplus softmax log_softmax logsumexp"
        " reduce_mean reduce_var layer_norm stop_gradient"
    ),
    "contraction": "dot_general",
    "control": "switch while scan",
    "convolution": "convolution convolution_transpose",
    "custom": "custom_vjp custom_jvp checkpoint barrier no_derivative",
    "decompositions": "qr complete_qr eigh eigvalsh svd svdvals full_svd",
    "depthwise": "depthwise_convolution",
    "elementwise": (
        "add sub mul div fma floordiv mod max min neg abs sqrt rsqrt cbrt floor ceil trunc rint"
        " exp exp2 expm1 log log2 log10 log1p pow sin cos tan asin acos atan atan2 hypot"
        " sinh cosh tanh asinh acosh atanh erf erfc sigmoid eq ne lt le gt ge"
        " bit_and bit_or bit_xor bit_not shl shr select convert bitcast"
    ),
    "functions_of_matrices": "symmetric det cofactors slogdet pinv expm expm_tangent",
    "indexing": "take scatter_add take_along scatter_along",
    "layout": "panels from_panels",
    "pooling": "window_max window_sum",
    "random": "random_bits",
    "recurrence": (
        "cumulative_sum cumulative_prod cumulative_max cumulative_min linear_recurrence"
    ),
    "reduction": (
        "reduce_sum reduce_prod reduce_max reduce_min reduce_any reduce_all argmax argmin"
    ),
    "scattering": "scatter_set scatter_mul scatter_min scatter_max",
    "shape": "reshape transpose broadcast_to slice slice_update flip pad concat iota",
    "solving": "cholesky triangular_solve solve inverse",
    "sorting": "sort argsort",
    "structural": "param constant full dim get fusion",
    "windows": "windows spread_windows",
}
"""The names of the rows of each file."""
