"""Every complaint is a ValueError that names its argument."""
import unittest

import numpy as np

import swath
from support import SwathTest


class ArgumentsTest(SwathTest):
    def setUp(self):
        super().setUp()
        self.rows = self.unit_rows(6, 4)
        self.triplets = np.array([[0, 1, 2]], np.int32)
        self.labels = np.array([0, 0, 1, 1, 2, 2], np.int32)
        self.y = self.multi_hot(6, 3)
        self.regressor = {"W1": self.floats(5, 4), "b1": self.floats(5), "W2": self.floats(4, 5), "b2": self.floats(4)}
        # Every argument that is an array of floats: its name, and a call with another value for it.
        self.float_arguments = {
            "e": (self.rows, [swath.pairwise_distance, lambda v: swath.bce_loss(v, self.y, self.floats(3, 4), self.floats(3)),
                              lambda v: swath.retrieval_metrics(v, self.y, (1,)), lambda v: swath.distance_overlap(v, self.y)]),
            "rows": (self.rows, [lambda v: swath.mine("semihard", v, self.labels), lambda v: swath.margin_loss(v, self.triplets, 1.2),
                                 lambda v: swath.binomial_loss(v, [4], self.labels)]),
            "q": (self.rows, [lambda v: swath.moco_loss(v, self.rows, self.rows)]),
            "k": (self.rows, [lambda v: swath.moco_loss(self.rows, v, self.rows)]),
            "queue": (self.rows, [lambda v: swath.moco_loss(self.rows, self.rows, v)]),
            "weight": (self.floats(3, 4), [lambda v: swath.bce_loss(self.rows, self.y, v, self.floats(3))]),
            "bias": (self.floats(3), [lambda v: swath.bce_loss(self.rows, self.y, self.floats(3, 4), v)]),
            "beta": (self.floats(3), [lambda v: swath.margin_loss(self.rows, self.triplets, v, self.labels)]),
            "parts[1]": (self.rows, [lambda v: swath.adversarial_loss([self.rows, v], [(0, 1)], [1.0], [self.regressor])]),
            "weights[0]": (self.rows, [lambda v: swath.weight_norm_loss([v])]),
            "biases[0]": (self.floats(6), [lambda v: swath.weight_norm_loss([self.rows], [v])]),
            "regressors[0]['W2']": (self.floats(4, 5), [
                lambda v: swath.adversarial_loss([self.rows, self.rows], [(0, 1)], [1.0], [{**self.regressor, "W2": v}])]),
            "gallery e": (self.rows, [lambda v: swath.retrieval_metrics(self.rows, self.y, (1,), (v, self.y))]),
        }

    def each(self, spoil, words):
        for name, (good, calls) in self.float_arguments.items():
            for call in calls:
                with self.subTest(name=name):
                    call(good)
                    self.assert_refused([name, *words], lambda: call(spoil(good)))

    def test_float64(self):
        self.each(lambda good: good.astype(np.float64), ["float32"])

    def test_integers_for_floats(self):
        self.each(lambda good: np.ones(good.shape, np.int32), ["float32"])

    def test_shape(self):
        self.each(lambda good: good[None], ["shape"])

    def test_not_finite(self):
        for value in (np.nan, np.inf):
            def spoil(good, value=value):
                bad = good.copy()
                bad.reshape(-1)[-1] = value
                return bad
            self.each(spoil, ["NaN or infinite"])

    def test_not_contiguous(self):
        self.each(lambda good: np.repeat(good, 2, axis=-1)[..., ::2], ["C-contiguous"])
        for name, (good, calls) in self.float_arguments.items():
            if good.ndim == 2:
                self.assert_refused([name, "C-contiguous"], lambda: calls[0](np.asfortranarray(good)))

    def test_no_array(self):
        for name, (_, calls) in self.float_arguments.items():
            if name != "beta":
                self.assert_refused([name, "array"], lambda: calls[0]("text"))
            self.assert_refused([name], lambda: calls[0]([[1.0, 2.0]]))

    def test_rows_not_of_unit_length(self):
        long = 1.01 * self.rows
        for name in ("q", "k", "queue"):
            self.assert_refused([name, "row 0", "unit rows"], lambda: self.float_arguments[name][1][0](long))
        for name in ("distance", "random_distance"):
            self.assert_refused(["row 0 of rows", "unit rows"], lambda: swath.mine(name, long, self.labels))
        self.assert_refused(["rows", "length"], lambda: swath.binomial_loss(long, [4], self.labels))
        self.assert_refused(["rows", "length"], lambda: swath.binomial_loss(self.rows, [2, 2], self.labels))

    def test_shapes_that_disagree(self):
        self.assert_refused(["labels", "shape"], lambda: swath.mine("semihard", self.rows, self.labels[:5]))
        self.assert_refused(["k", "shape"], lambda: swath.moco_loss(self.rows, self.rows[:3], self.rows))
        self.assert_refused(["queue", "shape"], lambda: swath.moco_loss(self.rows, self.rows, self.unit_rows(3, 5)))
        self.assert_refused(["y", "shape"], lambda: swath.distance_overlap(self.rows, self.y[:3]))
        self.assert_refused(["weight", "shape"], lambda: swath.bce_loss(self.rows, self.y, self.floats(4, 4), self.floats(3)))
        self.assert_refused(["gallery"], lambda: swath.retrieval_metrics(self.rows, self.y, (1,), (self.floats(4, 5), self.y[:4])))
        self.assert_refused(["gallery"], lambda: swath.retrieval_metrics(self.rows, self.y, (1,), (self.rows, self.multi_hot(6, 4))))
        self.assert_refused(["dims"], lambda: swath.binomial_loss(self.rows, [2, 3], self.labels))
        self.assert_refused(["dims"], lambda: swath.binomial_loss(self.rows, [], self.labels))
        self.assert_refused(["dims"], lambda: swath.binomial_loss(self.rows, [4, 0], self.labels))

    def test_triplets_and_labels(self):
        for bad in (6, -1):
            self.assert_refused(["triplets", str(bad)], lambda: swath.margin_loss(self.rows, np.array([[0, 1, bad]]), 1.2))
        self.assert_refused(["triplets", "shape"], lambda: swath.margin_loss(self.rows, self.triplets[:, :2].copy(), 1.2))
        self.assert_refused(["triplets", "integers"], lambda: swath.margin_loss(self.rows, self.triplets.astype(np.float32), 1.2))
        self.assert_refused(["triplets"], lambda: swath.margin_loss(self.rows, np.array([[0, 1, 2 ** 40]]), 1.2))
        beta = np.ones(2, np.float32)
        self.assert_refused(["labels"], lambda: swath.margin_loss(self.rows, self.triplets, beta))
        self.assert_refused(["labels", "2"], lambda: swath.margin_loss(self.rows, self.triplets, beta, self.labels))
        self.assert_refused(["y", "0 and 1"], lambda: swath.distance_overlap(self.rows, 2 * self.y))
        self.assert_refused(["y", "classes"], lambda: swath.distance_overlap(self.rows, np.zeros((6, 257), np.uint8)))
        self.assert_refused(["y", "classes"], lambda: swath.distance_overlap(self.rows, np.zeros((6, 0), np.uint8)))

    def test_names_and_options(self):
        self.assert_refused(["name", "easy", "semihard"], lambda: swath.mine("easy", self.rows, self.labels))
        self.assert_refused(["cutoff", "lower_cutoff"], lambda: swath.mine("distance", self.rows, self.labels, cutoff=1))
        self.assert_refused(["lower_cutoff"], lambda: swath.mine("distance", self.rows, self.labels, lower_cutoff="x"))
        self.assert_refused(["lower_cutoff"], lambda: swath.mine("distance", self.rows, self.labels, lower_cutoff=0))
        self.assert_refused(["name"], lambda: swath.mine("", self.rows, self.labels))

    def test_numbers(self):
        for name in ("margin", "nu"):
            self.assert_refused([name], lambda: swath.margin_loss(self.rows, self.triplets, 1.2, **{name: np.nan}))
        for name in ("alpha", "beta", "cost", "nu"):
            self.assert_refused([name], lambda: swath.binomial_loss(self.rows, [4], self.labels, **{name: np.inf}))
        for name in ("tau", "lower_cutoff"):
            self.assert_refused([name], lambda: swath.moco_loss(self.rows, self.rows, self.rows, **{name: 0.0}))
        self.assert_refused(["beta"], lambda: swath.margin_loss(self.rows, self.triplets, np.nan))
        with self.assertRaisesRegex(TypeError, "margin"):
            swath.margin_loss(self.rows, self.triplets, 1.2, margin="x")

    def test_ks(self):
        for ks in ((6,), (0,), (-1,), ()):
            self.assert_refused(["ks"], lambda: swath.retrieval_metrics(self.rows, self.y, ks))
        swath.retrieval_metrics(self.rows, self.y, (5,))
        self.assert_refused(["ks", "7"], lambda: swath.retrieval_metrics(self.rows, self.y, (7,), (self.rows, self.y)))
        swath.retrieval_metrics(self.rows, self.y, (6,), (self.rows, self.y))

    def test_lists(self):
        parts, directions, weights, regressors = [self.rows, self.rows], [(0, 1)], [1.0], [self.regressor]
        for name, call in {
            "parts": lambda: swath.adversarial_loss([], directions, weights, regressors),
            "directions": lambda: swath.adversarial_loss(parts, [], weights, regressors),
            "weights": lambda: swath.adversarial_loss(parts, directions, [], regressors),
            "regressors": lambda: swath.adversarial_loss(parts, directions, weights, []),
            "directions[0]": lambda: swath.adversarial_loss(parts, [(0, 2)], weights, regressors),
            "regressors[0]": lambda: swath.adversarial_loss(parts, directions, weights, [{"W1": self.regressor["W1"]}]),
            "biases": lambda: swath.weight_norm_loss([self.rows], []),
            "owners": lambda: swath.weight_norm_loss([self.rows], None, []),
            "weights is empty": lambda: swath.weight_norm_loss([]),
        }.items():
            self.assert_refused([name], call)


if __name__ == "__main__":
    unittest.main()
