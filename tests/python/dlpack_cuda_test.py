"""Every function on arrays of a CUDA device, handed over by DLPack without any framework: results lie on the device and equal those
of NumPy arrays."""
import ctypes
import gc
import unittest

import numpy as np

import swath
from cuda_array import CudaArray, Runtime, handed_over, to_numpy
from support import SwathTest


class CudaTest(SwathTest):
    called = set()

    @classmethod
    def setUpClass(cls):
        cls.runtime = Runtime()

    def move(self, value):
        """NumPy arrays, also those in tuples, lists and dicts, to the device; the rest as it is."""
        if isinstance(value, np.ndarray):
            return CudaArray(self.runtime, value)
        if isinstance(value, (list, tuple)):
            return type(value)(self.move(v) for v in value)
        if isinstance(value, dict):
            return {k: self.move(v) for k, v in value.items()}
        return value

    def assert_same(self, got, want, exact):
        if isinstance(want, dict):
            self.assertEqual(set(got), set(want))
            for key in want:
                with self.subTest(key=key):
                    self.assert_same(got[key], want[key], exact)
        elif isinstance(want, list):
            self.assertEqual(len(got), len(want))
            for g, w in zip(got, want):
                self.assert_same(g, w, exact)
        elif isinstance(want, np.ndarray):
            host = got if isinstance(got, np.ndarray) else to_numpy(self.runtime, got)
            self.assertEqual(host.dtype, want.dtype)
            np.testing.assert_array_equal(host, want) if exact else self.assert_close(host, want)
        elif isinstance(want, float) and not exact:
            self.assert_close(got, want)
        else:
            self.assertEqual(got, want)

    def check(self, name, *arguments, exact=False, on_host=False, **options):
        """Calls the function on both devices. `on_host`: it returns NumPy's arrays in any case."""
        function = getattr(swath, name)
        want = function(*arguments, **options)
        moved, moved_options = self.move(arguments), self.move(options)
        got = function(*moved, **moved_options)
        self.assert_same(got, want, exact)
        for result in got.values() if isinstance(got, dict) else [got]:
            if hasattr(result, "__dlpack__"):
                self.assertEqual(isinstance(result, np.ndarray), on_host)
        for before, after in zip(arguments, moved):
            if isinstance(before, np.ndarray):
                np.testing.assert_array_equal(after.numpy(), before)
        self.called.add(name)
        return got

    def ids(self, *values):
        return np.array(values, np.int32)

    def test_pairwise_distance(self):
        self.check("pairwise_distance", self.floats(33, 17), exact=True)
        self.check("pairwise_distance", self.floats(1, 3), exact=True)

    def test_mine(self):
        rows, labels = self.unit_rows(12, 6), self.ids(0, 0, 0, 0, 1, 1, 1, 2, 2, -1, 2, 1)
        for name in ("semihard", "distance", "random_distance", "intra_random"):
            with self.subTest(name=name):
                self.check("mine", name, rows, labels, seed=3, step=5, exact=True)
        for kind in (np.uint8, np.bool_, np.float32, np.int64):
            self.check("mine", "multilabel_semihard", rows, self.multi_hot(12, 6).astype(kind), seed=4, exact=True)

    def test_margin_loss(self):
        rows, triplets = self.unit_rows(12, 9), self.rng.integers(0, 12, (30, 3)).astype(np.int32)
        self.check("margin_loss", rows, triplets, 1.2)
        self.check("margin_loss", rows, triplets, np.array([1.2, 0.9, 1.4], np.float32), self.ids(*[0, 1, 2] * 4))
        self.check("margin_loss", rows, triplets, 1.2, beta_fixed=True)

    def test_binomial_loss(self):
        rows = np.concatenate([self.unit_rows(8, d) for d in (4, 6)], 1)
        for eta_style in (True, False):
            self.check("binomial_loss", rows, [4, 6], self.ids(0, 0, 1, 1, 2, 2, 1, 0), eta_style=eta_style)

    def test_moco_loss(self):
        self.check("moco_loss", self.unit_rows(6, 8), self.unit_rows(6, 8), self.unit_rows(20, 8))

    def test_nca_loss(self):
        self.check("nca_loss", self.unit_rows(4, 8), self.ids(3, 0, -1, 7), self.multi_hot(9, 5), self.unit_rows(9, 8), margin=0.1)

    def test_bce_loss(self):
        self.check("bce_loss", self.floats(6, 5), self.multi_hot(6, 4), self.floats(4, 5), self.floats(4))

    def test_adversarial_loss(self):
        parts = [self.unit_rows(5, 4), self.unit_rows(5, 3)]
        regressor = {"W1": self.floats(6, 4), "b1": self.floats(6), "W2": self.floats(3, 6), "b2": self.floats(3)}
        self.check("adversarial_loss", parts, [(0, 1)], [0.7], [regressor])

    def test_weight_norm_loss(self):
        self.check("weight_norm_loss", [self.floats(3, 4), self.floats(2, 4)], [self.floats(3), None], [0, 1])

    def test_retrieval(self):
        e, y = self.floats(12, 4), self.multi_hot(12, 5)
        self.check("retrieval_metrics", e, y, (1, 3), on_host=True)
        self.check("retrieval_metrics", e, y, (1,), gallery=(self.floats(7, 4), self.multi_hot(7, 5)), on_host=True)
        self.check("distance_overlap", e, y, on_host=True)

    def test_results_are_arguments(self):
        rows, labels = self.unit_rows(10, 6), self.ids(0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
        want = swath.margin_loss(rows, swath.mine("semihard", rows, labels), 1.0)
        moved = self.move(rows)
        triplets = swath.mine("semihard", moved, self.move(labels))
        self.assert_same(swath.margin_loss(moved, triplets, 1.0), want, exact=False)

    def test_results_outlive_arguments_and_arguments_are_released(self):
        q, k, queue = self.unit_rows(3, 4), self.unit_rows(3, 4), self.unit_rows(5, 4)
        want = swath.moco_loss(q, k, queue)["queue_after"]
        got = swath.moco_loss(*self.move((q, k, queue)))["queue_after"]
        gc.collect()
        self.assertEqual(handed_over, {})
        self.move(self.floats(5, 4))
        np.testing.assert_array_equal(to_numpy(self.runtime, got), want)

    def test_a_stream_of_the_caller(self):
        stream = ctypes.c_void_p()
        self.runtime.call("cudaStreamCreate", ctypes.byref(stream))
        e = self.floats(9, 5)
        got = swath.pairwise_distance(self.move(e), stream=stream.value)
        np.testing.assert_array_equal(to_numpy(self.runtime, got), swath.pairwise_distance(e))

    def test_refusals(self):
        rows, labels = self.unit_rows(6, 4), self.ids(0, 0, 1, 1, 2, 2)
        on_device = self.move(rows)
        spoilt = rows.copy()
        spoilt[5, 3] = np.nan
        for words, call in (
                (["e holds 1 values", "NaN"], lambda: swath.pairwise_distance(self.move(spoilt))),
                (["e must hold float32"], lambda: swath.pairwise_distance(self.move(rows.astype(np.float64)))),
                (["e has the shape (6)"], lambda: swath.pairwise_distance(self.move(rows[:, 0]))),
                (["labels lies on cpu", "cuda:0"], lambda: swath.mine("semihard", on_device, labels)),
                (["labels must hold int32"], lambda: swath.mine("semihard", on_device, self.move(labels.astype(np.int64)))),
                (["row 0 of rows", "unit rows"], lambda: swath.mine("distance", self.move(2 * rows), self.move(labels))),
                (["triplets names the row 6"], lambda: swath.margin_loss(on_device, self.move(self.ids([0, 1, 6])), 1.2)),
                (["y holds 2", "0 and 1"], lambda: swath.distance_overlap(on_device, self.move(2 * self.multi_hot(6, 3))))):
            self.assert_refused(words, call)

    @classmethod
    def tearDownClass(cls):
        # Every function of the package ran on the device.
        missing = {name for name in swath.__all__ if not name.startswith("_")} - cls.called
        if missing:
            raise AssertionError(f"never called on a device: {sorted(missing)}")


if __name__ == "__main__":
    unittest.main()
