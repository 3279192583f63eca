"""Which heavy PyTorch operations a piece of code runs, read from its syntax tree without executing it.

Heavy are operations that a kernel would be written for: matrix products, convolutions, pooling, reductions, softmax,
normalisation, attention, sorting, losses. Elementwise arithmetic, activations, views, casts and allocation are not.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

from stages.shared.code.reachable import Reached
from stages.shared.code.syntax import last_name, root_name

KINDS: dict[str, tuple[str, ...]] = {
    "matmul": (
        *("mm", "bmm", "addmm", "addbmm", "baddbmm", "matmul", "mv", "dot", "vdot", "inner", "einsum", "linear"),
        *("bilinear", "tensordot"),
    ),
    "convolution": tuple(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)),
    "pooling": (
        *(f"{a}{kind}_pool{n}d" for a in ("", "adaptive_") for kind in ("avg", "max") for n in (1, 2, 3)),
        *(f"lp_pool{n}d" for n in (1, 2, 3)),
        *(f"fractional_max_pool{n}d" for n in (2, 3)),
    ),
    "reduction": (
        *("sum", "mean", "prod", "norm", "vector_norm", "var", "std", "var_mean", "std_mean", "max", "min", "amax"),
        *("amin", "aminmax", "argmax", "argmin", "logsumexp", "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"),
        *("median", "nansum", "nanmean", "nanmedian", "quantile", "nanquantile", "cdist", "pairwise_distance"),
    ),
    "softmax": ("softmax", "log_softmax", "softmin", "gumbel_softmax"),
    "normalisation": (
        "layer_norm",
        "batch_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "local_response_norm",
        "normalize",
    ),
    "attention": ("scaled_dot_product_attention", "multi_head_attention_forward"),
    "sort": ("sort", "argsort", "topk", "kthvalue"),
    "loss": (
        *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "cross_entropy", "nll_loss", "binary_cross_entropy"),
        *("binary_cross_entropy_with_logits", "kl_div", "cosine_embedding_loss", "cosine_similarity"),
        *("triplet_margin_loss", "triplet_margin_with_distance_loss", "hinge_embedding_loss", "margin_ranking_loss"),
        *("poisson_nll_loss", "gaussian_nll_loss", "soft_margin_loss", "multi_margin_loss", "multilabel_margin_loss"),
        *("multilabel_soft_margin_loss", "ctc_loss"),
    ),
    "recurrent": ("lstm", "gru", "rnn", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}

# Other names of the same operations: of Python's operators, and of what torch calls them inside.
_ALIASES = {
    "__matmul__": "matmul",
    "__rmatmul__": "matmul",
    "__imatmul__": "matmul",
    "multi_dot": "matmul",
    "chain_matmul": "matmul",
    "addmv": "mv",
    "convolution": "conv2d",
    "msort": "sort",
    "rnn_tanh": "rnn",
    "rnn_relu": "rnn",
    "embedding_bag": "sum",
}
_BEFORE = re.compile(r"_*(linalg_|special_|native_|cudnn_|mkldnn_|fused_|safe_|masked_|thnn_)*")
_AFTER = re.compile(r"(_with_indices|_forward)?_?$")

# Layers of torch.nn, as the function that a call of them is.
_LAYERS = {
    "Linear": "linear",
    "LazyLinear": "linear",
    "Bilinear": "bilinear",
    "Softmax2d": "softmax",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Softmin": "softmin",
    "LayerNorm": "layer_norm",
    "GroupNorm": "group_norm",
    "RMSNorm": "rms_norm",
    "LocalResponseNorm": "local_response_norm",
    "LSTM": "lstm",
    "GRU": "gru",
    "RNN": "rnn",
    **{f"Conv{n}d": f"conv{n}d" for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": f"conv_transpose{n}d" for n in (1, 2, 3)},
    **{f"{kind}Pool{n}d": f"{kind.lower()}_pool{n}d" for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pool{n}d": f"adaptive_{kind.lower()}_pool{n}d" for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"LPPool{n}d": f"lp_pool{n}d" for n in (1, 2)},
    **{f"BatchNorm{n}d": "batch_norm" for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": "instance_norm" for n in (1, 2, 3)},
    "MultiheadAttention": "multi_head_attention_forward",
    "CosineSimilarity": "cosine_similarity",
    "MSELoss": "mse_loss",
    "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "BCELoss": "binary_cross_entropy",
    "KLDivLoss": "kl_div",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "TripletMarginLoss": "triplet_margin_loss",
    "CosineEmbeddingLoss": "cosine_embedding_loss",
    "MarginRankingLoss": "margin_ranking_loss",
}
# What these names hold is not a tensor library, or runs inside a kernel.
_OTHER_LIBRARIES = frozenset({"math", "np", "numpy", "tl", "triton", "itertools", "operator", "random", "statistics"})


@cache
def heavy_name(name: str) -> str | None:
    """The name in KINDS of an operation, whatever torch calls it; None where it is not heavy.

    `addmm_` and `aten::addmm` are `addmm`, `linalg_vector_norm` is `vector_norm`, `_safe_softmax` is `softmax`,
    `max_pool2d_with_indices` is `max_pool2d`.
    """
    if "scaled_dot_product" in name:
        return "scaled_dot_product_attention"
    without = _BEFORE.sub("", name, count=1)
    names = (_ALIASES.get(found, found) for found in (name, without, _AFTER.sub("", without)))
    return next((found for found in names if found in KIND_OF), None)


def torch_ops(reached: list[Reached]) -> list[str]:
    """The heavy operations that the reached functions call, one entry per place in the code, outer calls first.

    A function or class of the code that is named like one of torch is entered instead of counted.
    """
    own = {item.owner.name if item.owner else item.function.name for item in reached}
    layers = {id(item.owner): _layers(item.owner, own) for item in reached if item.owner}
    return [name for item in reached for name in _calls(item.function, layers.get(id(item.owner), {}), own)]


def _calls(function: ast.FunctionDef, layers: dict[str, list[str]], own: set[str]) -> Iterator[str]:
    for node in _in_order(function):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield "matmul"
        elif isinstance(node, ast.Call):
            yield from _operations(node, layers, own)


def _operations(call: ast.Call, layers: dict[str, list[str]], own: set[str]) -> list[str]:
    function = call.func
    if (isinstance(function, ast.Name) and function.id in own) or _is_made_of_own(function, own):
        return []
    if isinstance(function, ast.Attribute):
        if _is_self(function.value):
            return layers.get(function.attr, [])
        if root_name(function) in _OTHER_LIBRARIES:
            return []
        return [function.attr] if function.attr in KIND_OF and not _is_elementwise(call, function.attr) else []
    if (
        isinstance(function, ast.Subscript)
        and isinstance(function.value, ast.Attribute)
        and _is_self(function.value.value)
    ):
        return layers.get(function.value.attr, [])
    if isinstance(function, ast.Call) and (layer := _LAYERS.get(last_name(function.func))):
        return [layer]  # nn.Softmax(dim=1)(x)
    if isinstance(function, ast.Name) and function.id in KIND_OF and function.id not in {"sum", "max", "min"}:
        return [function.id]  # from torch.nn.functional import softmax
    return []


def _is_elementwise(call: ast.Call, name: str) -> bool:
    """`torch.max(a, b)`, `a.max(b)` and `list.sort(key=...)` do not reduce or sort a tensor."""
    function = call.func
    assert isinstance(function, ast.Attribute)
    tensors = (
        call.args
        if isinstance(function.value, ast.Name) and function.value.id == "torch"
        else [function.value, *call.args]
    )
    if name in {"max", "min"} and len(tensors) > 1:
        return not isinstance(tensors[1], ast.Constant | ast.UnaryOp)
    return name == "sort" and any(keyword.arg == "key" for keyword in call.keywords)


def _is_made_of_own(function: ast.expr, own: set[str]) -> bool:
    """Whether what is called is an instance made in the same expression: `Softmax()(x)`."""
    return isinstance(function, ast.Call) and isinstance(function.func, ast.Name) and function.func.id in own


def _layers(owner: ast.ClassDef, own: set[str]) -> dict[str, list[str]]:
    """For each attribute that the class sets on itself, the heavy layers of torch.nn that it is built of."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(owner):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            made = [part.func for part in _in_order(node.value) if isinstance(part, ast.Call)]
            calls = [last_name(what) for what in made if not (isinstance(what, ast.Name) and what.id in own)]
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and _is_self(target.value):
                    found.setdefault(target.attr, []).extend(_LAYERS[name] for name in calls if name in _LAYERS)
    return found


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """Depth first, as the code reads; `ast.walk` goes breadth first."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
