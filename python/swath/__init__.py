"""swath: every kernel of the engine as a function on arrays. NumPy arrays run on the CPU; arrays of a CUDA device (PyTorch, CuPy,
anything with __dlpack__) run there without a copy. Errors of arguments are ValueErrors that name the argument."""

from ._swath import (
    __version__,
    adversarial_loss,
    bce_loss,
    binomial_loss,
    distance_overlap,
    margin_loss,
    mine,
    moco_loss,
    nca_loss,
    pairwise_distance,
    retrieval_metrics,
    weight_norm_loss,
)

__all__ = [
    "__version__",
    "adversarial_loss",
    "bce_loss",
    "binomial_loss",
    "distance_overlap",
    "margin_loss",
    "mine",
    "moco_loss",
    "nca_loss",
    "pairwise_distance",
    "retrieval_metrics",
    "weight_norm_loss",
]
