"""t-SNE maps judged by scikit-learn. Reads the JSON file argv[1] {rows, dim, maps, perplexity}; prints for each of the maps
("ours") and for as many of scikit-learn's own of the same rows ("sklearn", from principal components with a little noise) the
trustworthiness over 10 neighbours, and the divergence from scikit-learn's affinities summed over all pairs."""
import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # teams that wait for one another lose more than they gain on so few rows

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _joint_probabilities_nn
from sklearn.neighbors import NearestNeighbors

case = json.load(open(sys.argv[1]))
rows = np.array(case["rows"], np.float32).reshape(-1, case["dim"])
perplexity = case["perplexity"]
count = min(len(rows) - 1, int(3 * perplexity + 1))
distances = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors_graph(mode="distance")
distances.data **= 2
joint = np.asarray(_joint_probabilities_nn(distances, perplexity, 0).todense(), np.float64)


def judge(points):
    points = np.asarray(points, np.float64)
    q = 1 / (1 + ((points[:, None] - points[None]) ** 2).sum(-1))
    np.fill_diagonal(q, 0)
    q /= q.sum()
    some = joint > 0
    return {"trustworthiness": trustworthiness(rows, points, n_neighbors=10),
            "kl": float((joint[some] * np.log(joint[some] / q[some])).sum())}


def fit(seed):
    start = PCA(2, svd_solver="full").fit_transform(rows)
    start = start / start[:, 0].std() * 1e-4 + np.random.RandomState(seed).randn(*start.shape) * 1e-6
    return TSNE(perplexity=perplexity, init=start.astype(np.float32)).fit_transform(rows)


print(json.dumps({"ours": [judge(np.array(points).reshape(-1, 2)) for points in case["maps"]],
                  "sklearn": [judge(fit(seed)) for seed in range(len(case["maps"]))]}))
