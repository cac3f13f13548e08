"""Distances and miners: every triplet lies in the sets of methods.md §5, and draws have the right frequencies."""
import collections
import unittest

import numpy as np

import reference
import swath
from support import SwathTest

STEPS = 2000



class DistanceTest(SwathTest):
    def test_distances(self):
        for rows, cols in ((1, 3), (2, 1), (33, 17), (70, 128)):
            e = self.floats(rows, cols)
            got = swath.pairwise_distance(e)
            self.assert_close(got, reference.distances(e))
            self.assertEqual(np.abs(np.diag(got)).max(), 0)
            np.testing.assert_array_equal(got, got.T)

    def test_equal_rows(self):
        self.assertEqual(np.abs(swath.pairwise_distance(np.repeat(self.unit_rows(1, 30), 5, 0))).max(), 0)


class MinerTest(SwathTest):
    def setUp(self):
        super().setUp()
        self.rows = self.unit_rows(10, 6)
        self.labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, -1])
        self.d = reference.distances(self.rows)

    def sets(self, anchor):
        ids = np.arange(len(self.labels))
        same = (self.labels == self.labels[anchor]) & (ids != anchor)
        return ids[same], ids[(self.labels != self.labels[anchor]) & (self.labels >= 0)]

    def draws(self, name, **kwargs):
        found = collections.defaultdict(list)
        for step in range(STEPS):
            for a, p, n in swath.mine(name, self.rows, self.labels, seed=3, step=step, **kwargs):
                found[int(a)].append((int(p), int(n)))
        return found

    def assert_frequencies(self, drawn, expected):
        """expected: probability by value. Five standard deviations."""
        counts = collections.Counter(drawn)
        self.assertLessEqual(set(counts), {k for k, p in expected.items() if p > 0})
        for value, p in expected.items():
            self.assertLessEqual(abs(counts[value] - len(drawn) * p), 5 * np.sqrt(len(drawn) * p * (1 - p)) + 1, value)

    def test_multilabel_semihard(self):
        rows, y = self.unit_rows(12, 5), self.multi_hot(12, 6)
        d = reference.distances(rows)
        wanted = [(i, *step) for i, steps in reference.multilabel_walk(d, y.astype(np.int64)) for step in steps]
        got = iter(swath.mine("multilabel_semihard", rows, y, seed=4, step=9).tolist())
        for anchor, positive, fine, coarse, draws in wanted:
            self.assertEqual([next(got) for _ in fine], [[anchor, positive, n] for n in fine])
            for a, p, n in [next(got) for _ in range(draws)]:
                self.assertEqual((a, p), (anchor, positive))
                self.assertIn(n, coarse)
        self.assertEqual(list(got), [])

    def test_semihard(self):
        found = self.draws("semihard")
        self.assertEqual(sorted(found), list(range(9)))
        for anchor, drawn in found.items():
            self.assertEqual(len(drawn), STEPS)
            positives, negatives = self.sets(anchor)
            d = self.d[anchor]
            hard_p = [p for p in positives if d[p] > d[negatives].min()] or list(positives)
            hard_n = [n for n in negatives if d[n] < d[positives].max()] or list(negatives)
            self.assert_frequencies([p for p, _ in drawn], {int(p): 1 / len(hard_p) for p in hard_p})
            self.assert_frequencies([n for _, n in drawn], {int(n): 1 / len(hard_n) for n in hard_n})

    def check_distance(self, lower, upper):
        found = self.draws("distance", lower_cutoff=lower, upper_cutoff=upper)
        for anchor, drawn in found.items():
            positives, negatives = self.sets(anchor)
            weight = np.exp(reference.minus_log_density(np.maximum(self.d[anchor, negatives], lower), 6))
            if upper:
                weight = np.where(self.d[anchor, negatives] <= upper, weight, 0)
            if weight.sum() == 0:
                weight = np.ones(len(negatives))
            self.assert_frequencies([p for p, _ in drawn], {int(p): 1 / len(positives) for p in positives})
            self.assert_frequencies([n for _, n in drawn], {int(n): w / weight.sum() for n, w in zip(negatives, weight)})

    def test_distance(self):
        self.check_distance(0.5, 0)

    def test_distance_with_cutoffs(self):
        self.check_distance(0.8, 1.2)
        self.check_distance(0.5, 0.2)  # excludes all

    def test_random_distance(self):
        seen = set()
        for step in range(200):
            triplets = swath.mine("random_distance", self.rows, self.labels, seed=3, step=step)
            # Anchors and positives have one permuted label: their groups are no larger than a class, and hold no negative.
            group = list(range(10))
            for a, p, _ in triplets:
                group = [group[a] if g == group[p] else g for g in group]
            sizes = sorted(collections.Counter(group[a] for a in range(9)).values(), reverse=True)
            self.assertLessEqual(sizes[0], 4)
            for a, p, n in triplets:
                self.assertNotEqual(a, p)
                self.assertNotEqual(group[a], group[n])
                self.assertNotIn(9, (a, p, n))
            seen.update((int(a), int(p)) for a, p, _ in triplets)
        self.assertEqual(len(seen), 9 * 8)  # every pair of rows has shared a permuted label

    def test_intra_random(self):
        drawn = []
        for step in range(STEPS):
            triplets = swath.mine("intra_random", self.rows, self.labels, seed=3, step=step)
            self.assertEqual(len(triplets), 9)
            for triplet in triplets:
                self.assertEqual(len(set(self.labels[triplet])), 1)
            drawn += [tuple(map(int, t)) for t in triplets]
        members = {c: np.flatnonzero(self.labels == c) for c in (0, 1, 2)}
        for at in range(3):
            self.assert_frequencies([t[at] for t in drawn], {int(i): 1 / 3 / len(m) for m in members.values() for i in m})

    def test_seed_and_step_fix_the_triplets(self):
        for name in ("semihard", "distance", "random_distance", "intra_random"):
            def mined(seed, step):
                return swath.mine(name, self.rows, self.labels, seed=seed, step=step)
            np.testing.assert_array_equal(mined(1, 2), mined(1, 2))
            self.assertFalse(all(np.array_equal(mined(1, 2), mined(1, 2 + s)) for s in range(1, 20)), name)
            self.assertFalse(all(np.array_equal(mined(1, 2), mined(1 + s, 2)) for s in range(1, 20)), name)

    def test_one_class_and_no_rows(self):
        for name in ("semihard", "distance"):
            self.assertEqual(swath.mine(name, self.rows, np.zeros(10, np.int32)).shape, (0, 3))
            self.assertEqual(swath.mine(name, self.rows, np.full(10, -1)).shape, (0, 3))
        self.assertEqual(swath.mine("semihard", self.rows[:0], self.labels[:0]).shape, (0, 3))
        self.assertEqual(swath.mine("semihard", self.rows, self.labels).dtype, np.int32)

    def test_integer_types_of_labels(self):
        first = swath.mine("semihard", self.rows, self.labels)
        for kind in (np.int8, np.int16, np.int32, np.int64):
            np.testing.assert_array_equal(swath.mine("semihard", self.rows, self.labels.astype(kind)), first)


if __name__ == "__main__":
    unittest.main()
