from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

# What goes in: a NumPy array, or an array with __dlpack__ (PyTorch, CuPy). What comes out: NumPy's where the arguments lay on the
# CPU, else an array with __dlpack__ on their CUDA device. The types below name the first kind.
Array = Any
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Doubles = NDArray[np.float64]
Miner = Literal["semihard", "distance", "random_distance", "intra_random", "multilabel_semihard"]

__version__: str

class MarginResult(TypedDict):
    loss: float
    active: int
    d_rows: Floats
    d_beta: float | Floats

class BinomialResult(TypedDict):
    loss: float
    d_rows: Floats
    d_beta: float

class MocoResult(TypedDict):
    loss: float
    d_q: Floats
    queue_after: Floats

class NcaResult(TypedDict):
    loss: float
    d_e: Floats
    bank_after: Floats

class BceResult(TypedDict):
    loss: float
    d_e: Floats
    d_weight: Floats
    d_bias: Floats

class Regressor(TypedDict):
    W1: Array
    b1: Array
    W2: Array
    b2: Array

class AdversarialResult(TypedDict):
    loss: float
    d_parts: list[Floats]
    d_regressors: list[Regressor]

class WeightNormResult(TypedDict):
    loss: float
    d_weights: list[Floats]
    d_biases: list[Floats | None]

class OverlapResult(TypedDict):
    overlap: float
    anchor_class: int
    intra_pairs: int
    inter_pairs: int
    intra: Doubles
    inter: Doubles
    edges: Doubles

def pairwise_distance(e: Array, stream: int | None = None) -> Floats: ...
def mine(
    name: Miner,
    rows: Array,
    labels: Array,
    seed: int = 0,
    step: int = 0,
    stream: int | None = None,
    **options: float | bool,
) -> Integers: ...
def margin_loss(
    rows: Array,
    triplets: Array,
    beta: float | Array,
    labels: Array | None = None,
    margin: float = 0.2,
    nu: float = 0.1,
    beta_fixed: bool = False,
    stream: int | None = None,
) -> MarginResult: ...
def binomial_loss(
    rows: Array,
    dims: Sequence[int],
    labels: Array,
    alpha: float = 2.0,
    beta: float = 0.5,
    cost: float = 25.0,
    nu: float = 0.1,
    eta_style: bool = True,
    beta_fixed: bool = False,
    stream: int | None = None,
) -> BinomialResult: ...
def moco_loss(
    q: Array,
    k: Array,
    queue: Array,
    tau: float = 0.07,
    lower_cutoff: float = 0.5,
    upper_cutoff: float = 1.4,
    stream: int | None = None,
) -> MocoResult: ...
def nca_loss(
    e: Array,
    index: Array,
    labels: Array,
    bank: Array,
    temperature: float = 0.05,
    margin: float = 0.0,
    momentum: float = 0.5,
    stream: int | None = None,
) -> NcaResult: ...
def bce_loss(e: Array, y: Array, weight: Array, bias: Array, stream: int | None = None) -> BceResult: ...
def adversarial_loss(
    parts: Sequence[Array],
    directions: Sequence[tuple[int, int]],
    weights: Sequence[float],
    regressors: Sequence[Regressor | dict[str, Array]],
    stream: int | None = None,
) -> AdversarialResult: ...
def weight_norm_loss(
    weights: Sequence[Array],
    biases: Sequence[Array | None] | None = None,
    owners: Sequence[int] | None = None,
    stream: int | None = None,
) -> WeightNormResult: ...
def retrieval_metrics(
    e: Array, y: Array, ks: Sequence[int] = (1, 2, 4, 8), gallery: tuple[Array, Array] | None = None
) -> dict[str, Doubles]: ...
def distance_overlap(e: Array, y: Array) -> OverlapResult: ...
