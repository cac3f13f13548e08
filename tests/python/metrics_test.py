"""Metrics against the formulas of methods.md §8, those that scikit-learn has against scikit-learn."""
import unittest

import numpy as np
from sklearn import metrics as sk

import reference
import swath
from support import SwathTest

KS = (1, 3, 8)


def neighbours(e, gallery, self_excluded):
    d = np.linalg.norm(e[:, None] - gallery[None], axis=-1)
    if self_excluded:
        np.fill_diagonal(d, np.inf)
    return np.argsort(d, axis=1, kind="stable")


def expected(y, gallery_y, order, k, self_excluded):
    """Every metric at k, by the formulas."""
    rows = len(y)
    r = y @ gallery_y.T
    near = order[:, :k]
    union = (gallery_y[near].sum(1) > 0).astype(int)
    present = [c for c in range(y.shape[1]) if y[:, c].any() or union[:, c].any()]
    each = {"average": "samples", "zero_division": 0}
    precision, recall = sk.precision_score(y, union, **each), sk.recall_score(y, union, **each)
    found = {
        "recall": recall,
        "precision": precision,
        "accuracy": sk.jaccard_score(y, union, **each),
        "hamming_loss": sk.hamming_loss(y, union),
        "subset_accuracy": sk.accuracy_score(y, union),
        "f1": sk.f1_score(y, union, **each),
        "f1_of_means": 2 * precision * recall / (precision + recall),
        "micro_f1": sk.f1_score(y, union, average="micro", zero_division=0),
        "macro_f1": sk.f1_score(y, union, average="macro", labels=present, zero_division=0),
    }
    totals = dict.fromkeys(("map", "r_precision", "acg", "ndcg", "wmap", "hit_rate"), 0.0)
    discount = 1 / np.log2(np.arange(2, k + 2))
    for i in range(rows):
        graded = r[i, near[i]]
        relevant = np.array([gallery_y[j].any() and not (gallery_y[j] & ~y[i].astype(bool)).any() for j in near[i]], float)
        rank = np.arange(1, k + 1)
        totals["map"] += (relevant * np.cumsum(relevant) / rank).sum() / k
        totals["r_precision"] += relevant.mean()
        totals["acg"] += graded.mean()
        others = np.delete(r[i], i) if self_excluded else r[i]
        ideal = ((2.0 ** np.sort(others)[::-1][:k] - 1) * discount).sum()
        totals["ndcg"] += ((2.0 ** graded - 1) * discount).sum() / ideal if ideal > 0 else 0
        hits = graded > 0
        totals["wmap"] += (hits * np.cumsum(graded) / rank).sum() / max(1, hits.sum())
        totals["hit_rate"] += hits.any()
    found.update({name: total / rows for name, total in totals.items()})
    return found


class RetrievalTest(SwathTest):
    def check(self, e, y, gallery=None):
        got = swath.retrieval_metrics(e, y, KS, gallery)
        unit = reference.unit(e.astype(np.float64))
        other, other_y = (unit, y) if gallery is None else (reference.unit(gallery[0].astype(np.float64)), gallery[1])
        order = neighbours(unit, other, gallery is None)
        for at, k in enumerate(KS):
            want = expected(y.astype(int), other_y.astype(int), order, k, gallery is None)
            self.assertEqual(set(got), set(want))
            for name, value in want.items():
                self.assertAlmostEqual(got[name][at], value, places=6, msg=f"{name} at {k}")

    def test_within_one_set(self):
        self.check(self.floats(60, 12), self.multi_hot(60, 7))

    def test_against_a_gallery(self):
        self.check(self.floats(20, 12), self.multi_hot(20, 7), (self.floats(50, 12), self.multi_hot(50, 7)))

    def test_rows_without_labels_and_many_classes(self):
        y = self.multi_hot(40, 130)
        y[::5] = 0
        self.check(self.floats(40, 8), y)

    def test_order_of_ks(self):
        e, y = self.floats(30, 8), self.multi_hot(30, 5)
        np.testing.assert_array_equal(swath.retrieval_metrics(e, y, (8, 1))["map"], swath.retrieval_metrics(e, y, (1, 8))["map"][::-1])


class OverlapTest(SwathTest):
    def test_overlap(self):
        e, y = self.floats(50, 10), self.multi_hot(50, 6)
        got = swath.distance_overlap(e, y)
        d = reference.distances(reference.unit(e.astype(np.float64)))
        c = int(y.sum(0).argmax())
        i, j = np.triu_indices(50, 1)
        chosen = (y[i, c] | y[j, c]) > 0
        i, j = i[chosen], j[chosen]
        share = (y[i].astype(int) * y[j]).sum(1) > 0
        edges = np.linspace(d[i, j].min(), d[i, j].max(), 65)
        intra = np.histogram(d[i, j][share], edges)[0] / share.sum()
        inter = np.histogram(d[i, j][~share], edges)[0] / (~share).sum()
        self.assertEqual((got["anchor_class"], got["intra_pairs"], got["inter_pairs"]), (c, share.sum(), (~share).sum()))
        np.testing.assert_allclose(got["edges"], edges, atol=1e-6)
        np.testing.assert_allclose(got["intra"], intra, atol=1e-9)
        np.testing.assert_allclose(got["inter"], inter, atol=1e-9)
        self.assertAlmostEqual(got["overlap"], np.minimum(intra, inter).sum(), places=9)


if __name__ == "__main__":
    unittest.main()
