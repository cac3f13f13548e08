"""The losses of docs/methods.md in NumPy and float64, written from the formulas. Each returns the loss alone; gradient() finds
slopes by central differences."""
import numpy as np


def gradient(f, x, step=1e-6):
    """Slopes of f, a function of an array of x's shape."""
    x = np.array(x, np.float64)
    slopes = np.zeros_like(x)
    flat, out = x.reshape(-1), slopes.reshape(-1)
    for i in range(flat.size):
        kept = flat[i]
        flat[i] = kept + step
        above = f(x)
        flat[i] = kept - step
        out[i] = (above - f(x)) / (2 * step)
        flat[i] = kept
    return slopes


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def distances(e):
    e = np.asarray(e, np.float64)
    return np.linalg.norm(e[:, None] - e[None], axis=-1)


def softplus(x):
    return np.logaddexp(0, x)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))


def minus_log_density(d, width):
    return -((width - 2) * np.log(d) + (width - 3) / 2 * np.log(np.maximum(1 - d * d / 4, 1e-8)))


def margin(rows, triplets, beta, labels=None, m=0.2, nu=0.1, fixed=False):
    """Returns the loss and the number of active triplets."""
    a, p, n = np.asarray(triplets).T
    d_ap = np.sqrt(((rows[a] - rows[p]) ** 2).sum(1) + 1e-8)
    d_an = np.sqrt(((rows[a] - rows[n]) ** 2).sum(1) + 1e-8)
    b = np.full(len(a), beta) if labels is None else np.asarray(beta)[np.asarray(labels)[a]]
    above, below = np.maximum(0, d_ap - b + m), np.maximum(0, b - d_an + m)
    active = int(((above > 0) | (below > 0)).sum())
    if active == 0:
        return 0.0, 0
    norm = np.abs(beta) if labels is None else np.abs(b).sum()
    return (above.sum() + below.sum() + (0 if fixed else nu * norm)) / active, active


class Binomial:
    """Boosting weights are those of the arguments of the constructor: constants to the gradient."""

    def __init__(self, rows, dims, labels, alpha=2.0, beta=0.5, cost=25.0, nu=0.1, eta_style=True, fixed=False):
        self.dims, self.alpha, self.nu, self.fixed = dims, alpha, nu, fixed
        self.used = np.asarray(labels) >= 0
        labels = np.asarray(labels)[self.used]
        same = labels[:, None] == labels[None]
        self.m = np.where(same, 1.0, -cost)
        self.w = np.where(same, 1 / max(same.sum(), 1), 1 / max((~same).sum(), 1))  # over all pairs, the diagonal with them
        np.fill_diagonal(self.w, 0)
        self.boost = [np.ones_like(self.m)]
        ensemble = 0.0 if eta_style else 0.5
        for k, a in enumerate(self.scores(rows, beta), 1):
            if eta_style:
                eta = 2 / (k + 1)
                ensemble = (1 - eta) * ensemble + eta * a
                self.boost.append(sigmoid(-ensemble))
            else:
                ensemble = ensemble + 0.06 * a
                self.boost.append(sigmoid(-ensemble) * np.where(same, 1, 2))

    def scores(self, rows, beta):
        begin = 0
        for d in self.dims:
            f = np.asarray(rows, np.float64)[self.used, begin:begin + d]
            begin += d
            yield self.alpha * (f @ f.T - beta) * self.m

    def __call__(self, rows, beta):
        total = 0.0
        for a, boost in zip(self.scores(rows, beta), self.boost):
            total += (softplus(-a) * boost * self.w).sum() / len(self.dims)
            total += 0 if self.fixed else self.nu * abs(beta)
        return total


class Moco:
    """The weights of the queue's keys are those of the constructor's queries: constants to the gradient."""

    def __init__(self, q, k, queue, tau=0.07, lower=0.5, upper=1.4):
        self.k, self.queue, self.tau = (np.asarray(x, np.float64) for x in (k, queue, tau))
        d = np.maximum(np.sqrt(np.maximum(0, 2 - 2 * np.asarray(q, np.float64) @ self.queue.T)), lower)
        weight = np.where(d <= upper, minus_log_density(d, q.shape[1]), -np.inf)
        top = weight.max(0, keepdims=True)
        none = np.isinf(top)
        share = np.where(none, 1.0, np.exp(weight - np.where(none, 0, top)))
        self.omega = share / share.sum(0, keepdims=True)

    def __call__(self, q):
        logits = np.concatenate([(q * self.k).sum(1, keepdims=True), self.omega * (q @ self.queue.T)], 1) / self.tau
        top = logits.max(1)
        return (np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[:, 0]).mean()


def nca(e, index, labels, bank, temperature=0.05, m=0.0):
    total, used = 0.0, 0
    labels = np.asarray(labels, np.float64)
    for row, t in zip(e, index):
        if t < 0:
            continue
        used += 1
        others = np.arange(len(bank)) != t
        s = bank[others] @ row / temperature
        similar = labels[others] @ labels[t] / labels.shape[1]
        terms = np.exp(s - s.max())
        p = (terms * similar).sum()
        moved = p * np.exp(-m / temperature)
        if p > 0:
            total -= np.log(moved / (terms.sum() - p + moved))
    return total / max(used, 1)


def bank_after(e, index, bank, momentum=0.5):
    after = np.array(bank, np.float64)
    for row, t in zip(e, index):
        if t >= 0:
            after[t] = unit(momentum * np.asarray(bank, np.float64)[t] + (1 - momentum) * row)
    return after


def bce(e, y, weight, bias):
    logits = e @ np.asarray(weight).T + bias
    return (softplus(logits) - y * logits).mean()


def adversarial(parts, directions, weights, regressors):
    total = 0.0
    for (source, target), w, r in zip(directions, weights, regressors):
        hidden = np.maximum(0, unit(parts[source]) @ r["W1"].T + r["b1"])
        predicted = unit(hidden @ r["W2"].T + r["b2"])
        total -= w * ((unit(parts[target]) * predicted) ** 2).mean()
    return total


def weight_norm(weights, biases, owners):
    total = 0.0
    for w, b in zip(weights, biases):
        total += (((w * w).sum(1) - 1) ** 2).mean()
        if b is not None:
            total += max(0.0, (b * b).sum() - 1)
    return total / len(set(owners))


def multilabel_walk(d, y, max_negatives=3, max_trips=3):
    """For each anchor the steps of its walk: (positive, fine negatives, candidates for coarse ones, how many are drawn)."""
    s = y @ y.T
    for i in range(len(y)):
        order = sorted((j for j in range(len(y)) if j != i), key=lambda j: (d[i, j], j))
        found, steps = 0, []
        for at in range(len(order) - 1, -1, -1):
            p = order[at]
            if s[i, p] == 0:
                continue
            fine = sorted(n for n in order[:at] if 0 < s[i, n] < s[i, p])
            coarse = [n for n in order[:at] if s[i, n] == 0]
            draws = min(max_negatives, len(coarse))
            steps.append((p, fine, coarse, draws))
            found += len(fine) + draws
            if coarse and found >= max_trips:
                break
        yield i, steps
