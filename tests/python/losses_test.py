"""Losses and their gradients against reference.py."""
import unittest

import numpy as np

import reference
import swath
from support import SwathTest


def wide(x):
    return np.asarray(x, np.float64)


class MarginTest(SwathTest):
    def check(self, beta, labels=None, **options):
        rows = self.unit_rows(12, 9)
        triplets = self.rng.integers(0, 12, (30, 3))
        named = {"m" if k == "margin" else "fixed" if k == "beta_fixed" else k: v for k, v in options.items()}
        got = swath.margin_loss(rows, triplets, beta, labels, **options)
        loss, active = reference.margin(wide(rows), triplets, beta if np.isscalar(beta) else wide(beta), labels, **named)
        self.assert_close(got["loss"], loss)
        self.assertEqual(got["active"], active)
        self.assert_close(got["d_rows"], reference.gradient(
            lambda x: reference.margin(x, triplets, wide(beta) if labels is not None else beta, labels, **named)[0], rows))
        if not options.get("beta_fixed"):
            slopes = reference.gradient(lambda b: reference.margin(wide(rows), triplets, b if labels is not None else b[()], labels, **named)[0],
                                        wide(beta))
            self.assert_close(got["d_beta"], slopes)
        else:
            self.assertEqual(np.abs(got["d_beta"]).max(), 0)
        self.assertEqual(got["d_rows"].dtype, np.float32)

    def test_scalar_beta(self):
        self.check(1.2)
        self.check(0.7, margin=0.05, nu=0.3)

    def test_fixed_beta(self):
        self.check(1.2, beta_fixed=True)

    def test_beta_per_class(self):
        self.check(np.array([1.2, 0.9, 1.4, 1.1], np.float32), self.rng.integers(0, 4, 12))

    def test_beta_of_numpy_and_array_of_one(self):
        rows, triplets = self.unit_rows(5, 4), np.array([[0, 1, 2]])
        plain = swath.margin_loss(rows, triplets, 1.2)
        self.assertEqual(plain["loss"], swath.margin_loss(rows, triplets, np.float32(1.2))["loss"])
        array = swath.margin_loss(rows, triplets, np.array([1.2], np.float32))
        self.assertEqual(plain["loss"], array["loss"])
        self.assertEqual(array["d_beta"].shape, (1,))

    def test_without_active_triplets(self):
        for triplets in (np.zeros((0, 3), np.int32), np.array([[0, 1, 2]], np.int32)):
            got = swath.margin_loss(np.eye(3, dtype=np.float32), triplets, 1.2, margin=-5)
            self.assertEqual((got["loss"], got["active"], np.abs(got["d_rows"]).max()), (0, 0, 0))


class BinomialTest(SwathTest):
    def check(self, labels, dims=(4, 6, 8), **options):
        rows = np.concatenate([self.unit_rows(len(labels), d) for d in dims], 1)
        named = {"fixed" if k == "beta_fixed" else k: v for k, v in options.items()}
        got = swath.binomial_loss(rows, list(dims), labels, **options)
        f = reference.Binomial(wide(rows), dims, labels, **named)
        beta = options.get("beta", 0.5)
        self.assert_close(got["loss"], f(wide(rows), beta))
        self.assert_close(got["d_rows"], reference.gradient(lambda x: f(x, beta), rows))
        slope = 0 if options.get("beta_fixed") else reference.gradient(lambda b: f(wide(rows), b[()]), beta)[()]
        self.assert_close(got["d_beta"], slope)

    def test_eta(self):
        self.check(self.rng.integers(0, 3, 11))

    def test_additive(self):
        self.check(self.rng.integers(0, 3, 11), eta_style=False)

    def test_options(self):
        self.check(self.rng.integers(0, 3, 11), alpha=1.5, beta=0.3, cost=10.0, nu=0.2)
        self.check(self.rng.integers(0, 3, 11), beta_fixed=True)

    def test_one_class_and_rows_left_out(self):
        self.check(np.zeros(7, np.int64))
        self.check(np.array([0, 1, -1, 0, 1, -1, 2]))

    def test_one_learner(self):
        self.check(self.rng.integers(0, 3, 9), dims=(5,))


class NcaTest(SwathTest):
    def check(self, index, classes=7, **options):
        index = np.array(index)
        e, bank, labels = self.unit_rows(len(index), 9), self.floats(20, 9) * 0.5, self.multi_hot(20, classes)
        got = swath.nca_loss(e, index, labels, bank, **options)
        named = {{"margin": "m"}.get(k, k): v for k, v in options.items() if k != "momentum"}
        f = lambda x: reference.nca(x, index, labels, wide(bank), **named)
        self.assert_close(got["loss"], f(wide(e)))
        self.assert_close(got["d_e"], reference.gradient(f, e))
        self.assert_close(got["bank_after"], reference.bank_after(wide(e), index, bank, options.get("momentum", 0.5)))

    def test_loss_and_bank(self):
        self.check([3, 0, 19, 7])
        self.check([5, -1, 2], classes=130)

    def test_options(self):
        self.check([1, 2, 3], temperature=0.3, margin=0.1, momentum=0.9)

    def test_arguments(self):
        e, bank, labels = self.unit_rows(2, 4), self.floats(5, 4), self.multi_hot(5, 3)
        index = np.array([0, 4])
        self.assert_refused(["index", "5"], lambda: swath.nca_loss(e, np.array([0, 5]), labels, bank))
        self.assert_refused(["labels", "shape"], lambda: swath.nca_loss(e, index, labels[:4], bank))
        self.assert_refused(["bank", "shape"], lambda: swath.nca_loss(e, index, labels, bank[:, :3].copy()))
        self.assert_refused(["temperature"], lambda: swath.nca_loss(e, index, labels, bank, temperature=0.0))
        self.assert_refused(["momentum"], lambda: swath.nca_loss(e, index, labels, bank, momentum=1.5))


class MocoTest(SwathTest):
    def check(self, q, k, queue, **options):
        got = swath.moco_loss(q, k, queue, **options)
        named = {{"lower_cutoff": "lower", "upper_cutoff": "upper"}.get(key, key): v for key, v in options.items()}
        f = reference.Moco(q, k, queue, **named)
        self.assert_close(got["loss"], f(wide(q)))
        self.assert_close(got["d_q"], reference.gradient(f, q))
        return got

    def test_loss_and_queue(self):
        q, k, queue = self.unit_rows(6, 16), self.unit_rows(6, 16), self.unit_rows(20, 16)
        got = self.check(q, k, queue)
        np.testing.assert_array_equal(got["queue_after"], np.concatenate([queue[6:], k]))

    def test_options(self):
        self.check(self.unit_rows(6, 16), self.unit_rows(6, 16), self.unit_rows(20, 16), tau=0.2, lower_cutoff=0.8, upper_cutoff=1.3)

    def test_far_keys_weigh_all_queries_alike(self):
        q = self.unit_rows(5, 8)
        self.check(q, self.unit_rows(5, 8), self.unit_rows(9, 8), upper_cutoff=0.6)

    def test_queue_shorter_than_the_batch(self):
        q, k, queue = self.unit_rows(6, 8), self.unit_rows(6, 8), self.unit_rows(4, 8)
        np.testing.assert_array_equal(self.check(q, k, queue)["queue_after"], k[2:])


class ParameterLossTest(SwathTest):
    def test_bce(self):
        e, y, weight, bias = self.floats(10, 6), self.multi_hot(10, 5), self.floats(5, 6), self.floats(5)
        got = swath.bce_loss(e, y, weight, bias)
        self.assert_close(got["loss"], reference.bce(wide(e), y, wide(weight), wide(bias)))
        slope = (reference.sigmoid(wide(e) @ wide(weight).T + bias) - y) / y.size
        self.assert_close(got["d_e"], slope @ wide(weight))
        self.assert_close(got["d_weight"], slope.T @ wide(e))
        self.assert_close(got["d_bias"], slope.sum(0))

    def test_bce_of_extreme_logits(self):
        got = swath.bce_loss(np.float32([[1e4]]), np.uint8([[0]]), np.float32([[1.0]]), np.float32([0]))
        self.assertAlmostEqual(got["loss"], 1e4)
        self.assertEqual(got["d_e"][0, 0], 1)

    def test_label_types(self):
        e, y, weight, bias = self.floats(4, 3), self.multi_hot(4, 70), self.floats(70, 3), self.floats(70)
        first = swath.bce_loss(e, y, weight, bias)["loss"]
        for kind in (bool, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
            self.assertEqual(swath.bce_loss(e, y.astype(kind), weight, bias)["loss"], first, kind)

    def regressor(self, source, hidden, target):
        return {"W1": self.floats(hidden, source), "b1": self.floats(hidden), "W2": self.floats(target, hidden), "b2": self.floats(target)}

    def test_adversarial(self):
        parts = [self.floats(7, d) for d in (4, 5, 3)]
        directions, weights = [(0, 1), (2, 1), (0, 2)], [1.5, 0.5, 2.0]
        regressors = [self.regressor(4, 6, 5), self.regressor(3, 6, 5), self.regressor(4, 6, 3)]
        got = swath.adversarial_loss(parts, directions, weights, regressors)
        parts64 = [wide(p) for p in parts]
        regressors64 = [{k: wide(v) for k, v in r.items()} for r in regressors]
        self.assert_close(got["loss"], reference.adversarial(parts64, directions, weights, regressors64))
        for i in range(3):
            slopes = reference.gradient(lambda x: reference.adversarial(parts64[:i] + [x] + parts64[i + 1:], directions, weights, regressors64),
                                        parts[i])
            self.assert_close(got["d_parts"][i], -slopes)  # behind the reversal
            for key in ("W1", "b1", "W2", "b2"):
                def of(x):
                    return reference.adversarial(parts64, directions, weights,
                                                 regressors64[:i] + [{**regressors64[i], key: x}] + regressors64[i + 1:])
                self.assert_close(got["d_regressors"][i][key], reference.gradient(of, regressors[i][key]))

    def test_a_part_that_no_direction_reads(self):
        parts = [self.floats(3, 4), self.floats(3, 4), self.floats(3, 2)]
        got = swath.adversarial_loss(parts, [(0, 1)], [1.0], [self.regressor(4, 5, 4)])
        self.assertEqual(np.abs(got["d_parts"][2]).max(), 0)

    def test_weight_norm(self):
        weights = [self.floats(5, 4), self.floats(3, 6), self.floats(2, 2)]
        biases = [2 * self.floats(5), None, np.float32([0.1, 0.2])]
        for owners in (None, [0, 0, 4]):
            got = swath.weight_norm_loss(weights, biases, owners)
            used = owners or [0, 1, 2]
            self.assert_close(got["loss"], reference.weight_norm([wide(w) for w in weights], biases, used))
            for i in range(3):
                count = len(set(used))
                w = wide(weights[i])
                self.assert_close(got["d_weights"][i], 4 * ((w * w).sum(1, keepdims=True) - 1) * w / len(w) / count)
            self.assert_close(got["d_biases"][0], 2 * wide(biases[0]) / count)
            self.assertIsNone(got["d_biases"][1])
            self.assertEqual(np.abs(got["d_biases"][2]).max(), 0)


class ArrayTest(SwathTest):
    def test_read_only_arrays(self):
        rows, triplets = self.unit_rows(5, 4), np.array([[0, 1, 2]], np.int32)
        for array in (rows, triplets):
            array.flags.writeable = False
        kept = rows.copy()
        swath.margin_loss(rows, triplets, 1.2)
        np.testing.assert_array_equal(rows, kept)

    def test_arguments_are_not_changed(self):
        q, k, queue = self.unit_rows(3, 4), self.unit_rows(3, 4), self.unit_rows(5, 4)
        kept = queue.copy()
        swath.moco_loss(q, k, queue)
        np.testing.assert_array_equal(queue, kept)

    def test_zero_rows(self):
        none = np.zeros((0, 4), np.float32)
        self.assertEqual(swath.pairwise_distance(none).shape, (0, 0))
        got = swath.margin_loss(none, np.zeros((0, 3), np.int32), 1.2)
        self.assertEqual((got["loss"], got["d_rows"].shape), (0, (0, 4)))
        got = swath.binomial_loss(none, [2, 2], np.zeros(0, np.int32), beta_fixed=True)
        self.assertEqual((got["loss"], got["d_rows"].shape), (0, (0, 4)))

    def test_results_are_equal_bit_for_bit(self):
        q, k, queue = self.unit_rows(33, 40), self.unit_rows(33, 40), self.unit_rows(70, 40)
        first, second = swath.moco_loss(q, k, queue), swath.moco_loss(q, k, queue)
        self.assertEqual(first["loss"], second["loss"])
        np.testing.assert_array_equal(first["d_q"], second["d_q"])


if __name__ == "__main__":
    unittest.main()
