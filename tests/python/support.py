"""What the tests share."""
import unittest

import numpy as np


class SwathTest(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(7)

    def unit_rows(self, rows, cols):
        x = self.rng.standard_normal((rows, cols))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def floats(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def multi_hot(self, rows, classes):
        y = (self.rng.random((rows, classes)) < 0.3).astype(np.uint8)
        y[np.arange(rows), self.rng.integers(0, classes, rows)] = 1
        return y

    def assert_close(self, got, reference, scale=None):
        """float32 results of sums of up to some thousand terms: 2e-5 of the largest value, or of the terms' size."""
        got, reference = np.asarray(got, np.float64), np.asarray(reference, np.float64)
        self.assertEqual(got.shape, reference.shape)
        if reference.size:
            limit = 2e-5 * max(np.abs(reference).max(), scale or 0, 1e-30)
            self.assertLessEqual(np.abs(got - reference).max(), limit)

    def assert_refused(self, words, call):
        """call ends with a ValueError whose text has these words."""
        with self.assertRaises(ValueError) as caught:
            call()
        for word in words:
            self.assertIn(word, str(caught.exception))
