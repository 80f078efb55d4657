"""Random statements of functions that are seldom used, one template each.

A line of the tables: the least and the highest rank of `{x}`, and the expression.
"""

from statements_of_values import Unfit

DEFINITE = "{x} @ {x}.mT * 0.1 + 4 * dlc.eye({x}.shape[0], dtype={x}.dtype)"
FLOAT = """
1 1 dlc.polyval({v3}, {x})
1 1 dlc.vander({x}, 4)
1 1 dlc.ediff1d({x})
1 1 dlc.convolve({x}, {v3}, '{mode}')
1 1 dlc.correlate({x}, {v3}, '{mode}')
1 1 dlc.interp({x}, dlc.sort({y}), {y2})
1 1 dlc.outer({x}, {v3})
1 1 dlc.diag({x}, {k})
1 2 dlc.diag_embed({x})
1 1 dlc.unwrap({x})
1 1 dlc.histogram({x}, bins=5, range=(-2.0, 2.0))[0]
1 1 dlc.digitize({x}, dlc.asarray([-1.0, 0.0, 1.5]))
1 1 dlc.piecewise({x}, [{x} < 0, {x} > 1], [-1.0, lambda t: t * t, 0.5])
1 3 dlc.gradient({x}, axis={a})
1 3 dlc.trapezoid({x}, axis={a})
1 3 dlc.cumulative_trapezoid({x}, axis={a})
1 3 dlc.nancumsum({x}, axis={a})
1 3 dlc.nanmean({x}, axis={a})
1 3 dlc.nanstd({x}, axis={a})
1 3 dlc.nanmedian({x}, axis={a})
1 3 dlc.nanquantile({x}, 0.4, axis={a})
1 3 dlc.percentile({x}, dlc.asarray([10.0, 60.0]), axis={a})
1 3 dlc.quantile({x}, 0.7, axis={a}, method='{way}')
1 3 dlc.kthvalue({x}, 1, {a})[{k01}]
1 3 dlc.partition({x}, 0, axis={a})
1 3 dlc.var_mean({x}, axis={a})[{k01}]
1 3 dlc.std_mean({x}, axis={a})[{k01}]
1 3 dlc.average({x}, axis={a})
1 3 dlc.nanargmax(dlc.nan_to_num({x}), axis={a})
2 2 dlc.cov({x})
2 2 dlc.corrcoef({x})
2 2 dlc.cdist({x}, {y})
2 2 dlc.cdist({x}, {y}, p=1.0)
2 2 dlc.trace({x}, {k})
2 2 dlc.pdist({x})
2 2 dlc.kron({x}, {v3})
2 2 dlc.block_diag({x}, {y})
1 2 dlc.tensordot({x}, {y}, axes=1) if {x}.ndim == 1 else dlc.tensordot({x}, {y}, axes=2)
1 3 dlc.vecdot({x}, {y}, axis=-1)
1 3 dlc.inner({x}, {y})
2 3 dlc.matvec({x}, {last})
2 2 dlc.addmm({x}, {x}, {x}.mT @ {x}, beta=0.5)
0 3 dlc.lerp({x}, {y}, 0.3)
0 3 dlc.addcmul({x}, {y}, {y}, value=0.5)
0 3 dlc.addcdiv({x}, {y}, 1 + {y} * {y}, value=0.5)
0 3 dlc.xlogy({x}, {y})
0 3 dlc.logaddexp2({x}, {y})
0 3 dlc.i0({x})
0 3 dlc.frexp({x})[{k01}]
0 3 dlc.modf({x})[{k01}]
0 3 dlc.fix({x})
0 3 dlc.divmod({x}, {y})[{k01}]
0 3 dlc.ldexp({x}, 3)
0 3 dlc.logit({x})
0 3 dlc.float_power({x}, 2)
0 3 dlc.isclose({x}, {y})
0 3 dlc.around({x}, 2)
0 3 dlc.digamma({x})
0 3 dlc.lgamma({x})
0 3 dlc.erfinv({x} * 0.2)
0 3 dlc.polygamma(1, {x})
0 3 dlc.special.ndtri(dlc.sigmoid({x}))
0 3 dlc.special.log_ndtr({x})
0 3 dlc.special.i1e({x})
0 3 dlc.special.zeta(2 + dlc.abs({x}), 1.5)
0 3 dlc.special.entr({x})
0 3 dlc.special.gammainc(dlc.abs({x}) + 0.5, dlc.abs({y}))
0 3 dlc.special.erfcx({x})
1 3 dlc.logcumsumexp({x}, {a})
0 3 dlc.masked_fill({x}, {x} > {y}, 0.25)
0 3 dlc.select([{x} > 0, {y} > 0], [{x}, {y}], 0.0)
1 3 dlc.rot90({x}) if {x}.ndim > 1 else {x}
1 3 dlc.moveaxis({x}, {a}, 0)
1 3 dlc.narrow({x}, {a}, 0, 1)
1 3 dlc.unstack({x}, axis={a})[0]
1 3 dlc.insert({x}, 0, 2.0, axis={a})
1 3 dlc.delete({x}, 0, axis={a})
1 3 dlc.dynamic_slice({x}, [0] * {x}.ndim, [1] * {x}.ndim)
2 3 dlc.trace({x})
1 3 dlc.count_nonzero({x} > {y}, axis={a})
1 3 dlc.argpartition({x}, 0, axis={a})[..., :1]
1 3 dlc.roll({x}, (1, 2), axis=({a}, {a}))
1 3 dlc.nanmax({x}, axis={a})
1 3 dlc.apply_along_axis(lambda r: r * dlc.sum(r), {a}, {x})
3 3 dlc.lp_pool1d({x}, 2.0, 2)
3 4 dlc.local_response_norm({x}, 2)
3 3 dlc.instance_norm({x})
4 4 dlc.pixel_unshuffle({x}[..., :2, :2], 2)
4 4 dlc.channel_shuffle(dlc.concat([{x}, {x}], axis=1), 2)
4 4 dlc.interpolate({x}, scale_factor=1.5, mode='nearest')
4 4 dlc.interpolate({x}, scale_factor=0.5, mode='bilinear', align_corners=True)
4 4 dlc.interpolate({x}, size=3, mode='area')
4 4 dlc.interpolate({x}, scale_factor=2, mode='nearest-exact')
4 4 dlc.grid_sample({x}, dlc.tanh(dlc.stack([{x}[:, 0], {x}[:, -1]], axis=-1)))
4 4 dlc.fold(dlc.unfold({x}, 2), {x}.shape[2:], 2)
2 3 dlc.linalg.norm({x}, axis={a})
2 2 dlc.linalg.matrix_norm({x})
2 2 dlc.linalg.matrix_norm({x}, ord=1)
1 3 dlc.linalg.vector_norm({x}, axis={a}, ord={ord})
3 3 dlc.bmm({x}, {x}.mT)
2 2 dlc.linalg.multi_dot([{x}, {x}.mT, {x}])
1 3 dlc.ptp({x}, axis={a})
2 2 dlc.linalg.matrix_power({x} @ {x}.mT * 0.1, 3)
2 2 dlc.linalg.solve({spd}, {x})
2 2 dlc.linalg.cholesky({spd})
2 2 dlc.linalg.inv({spd})
2 2 dlc.linalg.slogdet({spd})[1]
2 2 dlc.linalg.solve_triangular(dlc.tril({spd}), {x}, lower=True)
2 3 F.glu(dlc.concat([{x}, {y}], axis=-1))
0 3 F.celu({x})
0 3 F.softshrink({x})
0 3 F.hardtanh({x})
0 3 F.relu6({x})
0 3 F.threshold({x}, 0.1, 2.0)
2 2 F.cosine_similarity({x}, {y})
1 3 F.smooth_l1_loss({x}, {y})
1 3 F.huber_loss({x}, {y})
1 3 F.kl_div({x}, dlc.softmax({y}), reduction='sum')
1 3 F.binary_cross_entropy_with_logits({x}, dlc.sigmoid({y}))
2 2 F.pairwise_distance({x}, {y})
1 3 dlc.checkpoint(lambda t: dlc.tanh(t) * t)({x})
0 3 dlc.compile(lambda t: dlc.sin(t) * 2 - t)({x})
0 3 dlc.jvp(lambda t: dlc.exp(-t * t), ({x},), ({y},))[1]
0 3 dlc.vjp(lambda t: dlc.tanh(t) * {y}, {x})[1]({y})
1 1 dlc.jacobian(lambda t: dlc.sin(t[:3]) * dlc.sum(t))({x})
1 1 dlc.hessian(lambda t: dlc.sum(dlc.tanh(t[:3]) ** 2))({x})
1 3 dlc.switch(1, [lambda t: t + 1, lambda t: t * {y}, dlc.negative], {x})
1 3 dlc.scan(lambda c, r: (c + dlc.sum(r), c * r), 0.5, {x})[1]
1 3 dlc.map(lambda r: dlc.cumsum(r.reshape(-1), 0) * 2, {x})
2 3 dlc.vmap(dlc.vmap(lambda r: r * 2 - dlc.sum(r)))({x})
2 3 dlc.vmap(lambda p, q: p @ q, in_axes=(0, None))({x}, {last})
2 2 dlc.vmap(lambda r: dlc.fori_loop(0, 3, lambda i, c: c * 0.5 + r, r))({x})
2 2 dlc.vmap(lambda r: dlc.cond(dlc.sum(r) > 0, lambda t: t * 2, lambda t: t - 1, r))({x})
2 2 dlc.vmap(dlc.grad(lambda r: dlc.sum(dlc.sin(r) * r)))({x})
2 2 dlc.vmap(lambda r: dlc.while_loop(lambda c: dlc.sum(c) > 1, lambda c: c * 0.4, r))({bounded})
1 2 dlc.grad(lambda t: dlc.sum(dlc.scan(lambda c, r: (dlc.tanh(c + r), c * r), t[0], t)[1]))({x})
1 2 dlc.grad(lambda t: dlc.sum(dlc.sort(t, axis=-1) * {y}))({x})
1 2 dlc.grad(lambda t: dlc.sum(dlc.cumprod(t, -1)))({x})
1 2 dlc.grad(lambda t: dlc.sum(dlc.fori_loop(0, 3, lambda i, c: dlc.sin(c) * t, t)))({x})
"""
INTEGER = """
1 1 dlc.bincount(dlc.astype({x} % 7, dlc.int64), minlength=9, length=9)
1 3 dlc.cumsum({x}, {a})
1 3 dlc.diff({x}, axis={a})
0 3 dlc.lcm({x} % 9, {y} % 9)
1 3 dlc.nonzero({x}, size=3)[0]
0 3 dlc.divmod({x}, {y})[{k01}]
0 3 dlc.clip({x}, 1, 3)
1 1 dlc.unique({x}, size=4)
1 1 dlc.isin({x}, {v3})
1 1 dlc.bincount({x} % 5, length=5)
1 3 dlc.argsort({x}, axis={a}, stable=True)
1 3 dlc.median({x}, axis={a})
0 3 dlc.sqrt({x})
0 3 {x} / {y}
0 3 {x} ** 2 - {y}
0 3 -{x} // 3
0 3 {x} % -3
0 3 {x} << 3
0 3 {x} >> 1
1 2 dlc.matmul({x}, {x}.mT) if {x}.ndim == 2 else {x}
0 3 dlc.bitwise_count({x})
1 3 dlc.searchsorted(dlc.sort({x}.reshape(-1)), {y})
0 3 dlc.abs({x}) + abs({y})
1 3 dlc.prod({x}, axis={a})
1 3 dlc.mean({x}, axis={a})
1 3 dlc.var({x}, axis={a})
1 1 dlc.convolve({x}, {v3}, '{mode}')
0 3 dlc.where({x} > {y}, {x}, 1)
1 3 dlc.topk({x}, 1, axis={a})[0]
1 1 dlc.unravel_index({x} % 6, (2, 3))[{k01}]
0 3 dlc.heaviside({x}, 0.5)
0 3 dlc.float_power({x}, 2)
"""


class SeldomStatements:
    """Functions that are seldom used."""

    def seldom(self):
        kinds, pool = ("iu", INTEGER) if not self.wide and self.chance(0.25) else ("f", FLOAT)
        low, high, text = self.pick(pool.strip().split("\n")).split(" ", 2)
        x = self.value(kinds, int(low), int(high))
        if any(d == 0 for d in x.shape) and not self.chance(0.1):
            raise Unfit
        settings = {
            "mode": self.pick(("full", "same", "valid")), "k": self.pick((0, 1, -1)),
            "k01": self.pick((0, 1)), "ord": self.pick(("1", "2", "3", "float('inf')", "0")),
            "way": self.pick(("linear", "lower", "higher", "nearest", "midpoint")),
            "x": x.name, "a": self.axis(x) if x.rank else 0, "spd": DEFINITE.format(x=x.name),
            "bounded": f"dlc.clip(dlc.nan_to_num({x.name}), -9, 9)",
        }  # fmt: skip
        for name in ("y", "y2"):
            if f"{{{name}}}" in text:
                settings[name] = self.like(x.dtype, x.shape).name
        if "{v3}" in text:
            settings["v3"] = self.like(x.dtype, (3,)).name
        if "{last}" in text:
            settings["last"] = self.like(x.dtype, (x.shape[-1],)).name
        return text.format(**settings)
