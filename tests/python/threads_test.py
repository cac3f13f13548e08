"""Several threads of Python at once; results outlive their thread and their arguments."""
import gc
import threading
import unittest

import numpy as np

import swath
from support import SwathTest


class ThreadsTest(SwathTest):
    def test_two_threads(self):
        q, k, queue = self.unit_rows(40, 32), self.unit_rows(40, 32), self.unit_rows(200, 32)
        want = swath.moco_loss(q, k, queue)
        wrong = []

        def work():
            for _ in range(50):
                got = swath.moco_loss(q, k, queue)
                if got["loss"] != want["loss"] or not np.array_equal(got["d_q"], want["d_q"]):
                    wrong.append(got["loss"])

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_results_outlive_their_thread(self):
        e = self.floats(64, 16)
        kept = []
        thread = threading.Thread(target=lambda: kept.append(swath.pairwise_distance(e)))
        thread.start()
        thread.join()
        want = kept[0].copy()
        gc.collect()
        for _ in range(20):
            swath.pairwise_distance(self.floats(64, 16))
        np.testing.assert_array_equal(kept[0], want)
        kept.clear()
        gc.collect()

    def test_results_outlive_their_arguments(self):
        got = swath.moco_loss(self.unit_rows(3, 4), self.unit_rows(3, 4), self.unit_rows(5, 4))
        want = got["queue_after"].copy()
        gc.collect()
        np.testing.assert_array_equal(got["queue_after"], want)
        got["d_q"][0, 0] = 7  # results belong to the caller
        self.assertEqual(got["d_q"][0, 0], 7)


if __name__ == "__main__":
    unittest.main()
