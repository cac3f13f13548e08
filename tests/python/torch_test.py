"""Tensors of PyTorch as arguments, and losses against PyTorch and pytorch-metric-learning where these are installed."""
import unittest

import numpy as np

import swath
from support import SwathTest

try:
    import torch
except ImportError:
    torch = None
try:
    from pytorch_metric_learning import losses as peer_losses
except ImportError:
    peer_losses = None


@unittest.skipIf(torch is None, "PyTorch is not installed")
class TorchTest(SwathTest):
    def test_tensors_are_arrays(self):
        e = self.floats(5, 4)
        np.testing.assert_array_equal(swath.pairwise_distance(torch.from_numpy(e)), swath.pairwise_distance(e))

    def test_a_tensor_that_requires_a_gradient(self):
        tensor = torch.ones(3, 4, requires_grad=True)
        self.assert_refused(["e requires a gradient", "e.detach()"], lambda: swath.pairwise_distance(tensor))
        swath.pairwise_distance(tensor.detach())

    def test_bce(self):
        e, y, weight, bias = self.floats(6, 5), self.multi_hot(6, 4), self.floats(4, 5), self.floats(4)
        got = swath.bce_loss(e, y, weight, bias)
        t = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (e, weight, bias)]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(t[0] @ t[1].T + t[2], torch.from_numpy(y).double())
        loss.backward()
        self.assert_close(got["loss"], loss.item())
        for name, tensor in zip(("d_e", "d_weight", "d_bias"), t):
            self.assert_close(got[name], tensor.grad.numpy())

    @unittest.skipIf(peer_losses is None, "pytorch-metric-learning is not installed")
    def test_margin(self):
        rows, triplets = self.unit_rows(20, 8), self.rng.integers(0, 20, (60, 3))
        triplets = triplets[(triplets[:, 0] != triplets[:, 1]) & (triplets[:, 0] != triplets[:, 2])]
        got = swath.margin_loss(rows, triplets, 1.2, nu=0.0)
        tensor = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
        peer = peer_losses.MarginLoss(margin=0.2, nu=0, beta=1.2)
        loss = peer(tensor, torch.zeros(20, dtype=torch.long), tuple(torch.from_numpy(triplets.T.copy())))
        loss.backward()
        # The peer divides by the pairs that contribute, methods.md by the triplets; and the peer normalises rows.
        a, p, n = (rows[column].astype(np.float64) for column in triplets.T)
        pairs = (np.linalg.norm(a - p, axis=1) > 1.0).sum() + (np.linalg.norm(a - n, axis=1) < 1.4).sum()
        self.assert_close(got["loss"] * got["active"], loss.item() * pairs)
        d_rows = got["d_rows"] - rows * (got["d_rows"] * rows).sum(1, keepdims=True)
        self.assert_close(d_rows * got["active"], tensor.grad.numpy() * pairs)


if __name__ == "__main__":
    unittest.main()
