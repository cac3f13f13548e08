"""Metrics of scikit-learn where it defines them as docs/methods.md §8 does. Reads the JSON file argv[1]
{classes, truth: [[class]], neighbours: [[row]], ks}; prints {metric: {K: value}}."""
import json
import sys

import numpy as np
from sklearn import metrics

case = json.load(open(sys.argv[1]))
n, classes = len(case["truth"]), case["classes"]
truth = np.zeros((n, classes), int)
for row, labels in enumerate(case["truth"]):
    truth[row, labels] = 1
neighbours = np.array(case["neighbours"])

shared = truth @ truth.T
others = ~np.eye(n, dtype=bool)
gains = (2.0 ** shared - 1)[others].reshape(n, n - 1)
scores = np.zeros((n, n))
for rank in range(neighbours.shape[1]):
    scores[np.arange(n), neighbours[:, rank]] = n - rank
scores = scores[others].reshape(n, n - 1)

out = {}
for k in case["ks"]:
    guess = truth[neighbours[:, :k]].max(axis=1)
    present = [c for c in range(classes) if truth[:, c].any() or guess[:, c].any()]
    each = dict(average="samples", zero_division=0)
    values = {
        "recall": metrics.recall_score(truth, guess, **each),
        "precision": metrics.precision_score(truth, guess, **each),
        "f1": metrics.f1_score(truth, guess, **each),
        "accuracy": metrics.jaccard_score(truth, guess, **each),
        "hamming_loss": metrics.hamming_loss(truth, guess),
        "subset_accuracy": metrics.accuracy_score(truth, guess),
        "micro_f1": metrics.f1_score(truth, guess, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(truth, guess, average="macro", labels=present, zero_division=0),
        "ndcg": metrics.ndcg_score(gains, scores, k=k),
    }
    for name, value in values.items():
        out.setdefault(name, {})[str(k)] = float(value)
print(json.dumps(out))
