// Retrieval metrics and distance overlap by naive loops in double, written from methods.md §8.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace swath::reference {

using LabelSet = std::set<int>;
using Matrix = std::vector<std::vector<float>>;

inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += (double(a[c]) - double(b[c])) * (double(a[c]) - double(b[c]));
  return std::sqrt(sum);
}

/// Neighbours nearest first, ties by the lower index; with `exclude` query i leaves out gallery row i.
inline std::vector<std::vector<std::int64_t>> neighbours(const Matrix& queries, const Matrix& gallery, int k, bool exclude) {
  std::vector<std::vector<std::int64_t>> all;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    std::vector<std::pair<double, std::int64_t>> order;
    for (std::size_t j = 0; j < gallery.size(); ++j)
      if (!exclude || i != j) order.emplace_back(distance(queries[i], gallery[j]), j);
    std::sort(order.begin(), order.end());
    std::vector<std::int64_t> row;
    for (int n = 0; n < k; ++n) row.push_back(order[n].second);
    all.push_back(row);
  }
  return all;
}

inline LabelSet intersection(const LabelSet& a, const LabelSet& b) {
  LabelSet out;
  for (int c : a)
    if (b.count(c)) out.insert(c);
  return out;
}

inline double over(double a, double b) { return b == 0 ? 0 : a / b; }

struct Labels {
  std::vector<LabelSet> queries, gallery;
  int classes = 0;
  bool same = true;  // queries are the gallery's rows
};

/// Metrics of the union of the first k neighbours' labels.
inline void add_union_metrics(const Labels& labels, const std::vector<std::vector<std::int64_t>>& found, int k,
                              std::map<std::string, double>& out) {
  const double n = double(labels.queries.size());
  std::vector<double> tp(labels.classes), truth(labels.classes), guess(labels.classes);
  for (std::size_t i = 0; i < labels.queries.size(); ++i) {
    const LabelSet& y = labels.queries[i];
    LabelSet merged;
    for (int j = 0; j < k; ++j) merged.insert(labels.gallery[found[i][j]].begin(), labels.gallery[found[i][j]].end());
    LabelSet whole = merged;
    whole.insert(y.begin(), y.end());
    const double both = double(intersection(y, merged).size());
    const double recall = over(both, double(y.size())), precision = over(both, double(merged.size()));
    out["recall"] += recall / n;
    out["precision"] += precision / n;
    out["accuracy"] += over(both, double(whole.size())) / n;
    out["hamming_loss"] += (double(whole.size()) - both) / labels.classes / n;
    out["subset_accuracy"] += (y == merged ? 1.0 : 0.0) / n;
    out["f1"] += over(2 * precision * recall, precision + recall) / n;
    out["hit_rate"] += (both > 0 ? 1.0 : 0.0) / n;
    for (int c = 0; c < labels.classes; ++c) {
      tp[c] += y.count(c) && merged.count(c);
      truth[c] += double(y.count(c));
      guess[c] += double(merged.count(c));
    }
  }
  out["f1_of_means"] = over(2 * out["precision"] * out["recall"], out["precision"] + out["recall"]);
  double all_tp = 0, all_truth = 0, all_guess = 0, macro = 0, present = 0;
  for (int c = 0; c < labels.classes; ++c) {
    all_tp += tp[c];
    all_truth += truth[c];
    all_guess += guess[c];
    if (truth[c] == 0 && guess[c] == 0) continue;
    const double p = over(tp[c], guess[c]), r = over(tp[c], truth[c]);
    macro += over(2 * p * r, p + r);
    present += 1;
  }
  const double p = over(all_tp, all_guess), r = over(all_tp, all_truth);
  out["micro_f1"] = over(2 * p * r, p + r);
  out["macro_f1"] = over(macro, present);
}

inline double gain_at(const std::vector<double>& r, int k) {
  double dcg = 0;
  for (int j = 1; j <= k; ++j) dcg += (std::pow(2.0, r[j - 1]) - 1) / std::log2(j + 1.0);
  return dcg;
}

/// Metrics of the order of the first k neighbours.
inline void add_rank_metrics(const Labels& labels, const std::vector<std::vector<std::int64_t>>& found, int k,
                             std::map<std::string, double>& out) {
  const double n = double(labels.queries.size());
  for (const char* name : {"map", "r_precision", "acg", "ndcg", "wmap"}) out[name] = 0;
  for (std::size_t i = 0; i < labels.queries.size(); ++i) {
    const LabelSet& y = labels.queries[i];
    std::vector<double> relevant, shared;
    for (int j = 0; j < k; ++j) {
      const LabelSet& other = labels.gallery[found[i][j]];
      relevant.push_back(!other.empty() && intersection(other, y) == other);
      shared.push_back(double(intersection(other, y).size()));
    }
    double map = 0, r_precision = 0, acg = 0, wmap = 0, hits = 0;
    for (int j = 1; j <= k; ++j) {
      double precision = 0, acg_j = 0;
      for (int l = 0; l < j; ++l) {
        precision += relevant[l] / j;
        acg_j += shared[l] / j;
      }
      map += relevant[j - 1] * precision / k;
      r_precision += relevant[j - 1] / k;
      acg += shared[j - 1] / k;
      if (shared[j - 1] > 0) {
        wmap += acg_j;
        hits += 1;
      }
    }
    std::vector<double> ideal;
    for (std::size_t j = 0; j < labels.gallery.size(); ++j)
      if (!labels.same || i != j) ideal.push_back(double(intersection(labels.gallery[j], y).size()));
    std::sort(ideal.rbegin(), ideal.rend());
    out["map"] += map / n;
    out["r_precision"] += r_precision / n;
    out["acg"] += acg / n;
    out["ndcg"] += over(gain_at(shared, k), gain_at(ideal, k)) / n;
    out["wmap"] += wmap / std::max(1.0, hits) / n;
  }
}

inline std::map<std::string, double> metrics(const Labels& labels, const std::vector<std::vector<std::int64_t>>& found, int k) {
  std::map<std::string, double> out;
  add_union_metrics(labels, found, k, out);
  add_rank_metrics(labels, found, k, out);
  return out;
}

struct Overlap {
  int anchor = 0;
  std::vector<double> intra = std::vector<double>(64), inter = std::vector<double>(64);  // shares
  double intra_pairs = 0, inter_pairs = 0, low = 0, high = 0, area = 0;
};

/// Rows are normalised here.
inline Overlap overlap(const Matrix& rows, const std::vector<LabelSet>& labels, int classes) {
  std::vector<std::vector<double>> unit;
  for (const auto& row : rows) {
    double norm = 0;
    for (float v : row) norm += double(v) * v;
    std::vector<double> u;
    for (float v : row) u.push_back(norm > 0 ? v / std::sqrt(norm) : 0);
    unit.push_back(u);
  }
  Overlap out;
  std::vector<int> counts(classes);
  for (const auto& y : labels)
    for (int c : y) ++counts[c];
  for (int c = 0; c < classes; ++c)
    if (counts[c] > counts[out.anchor]) out.anchor = c;
  std::vector<std::pair<double, bool>> pairs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = i + 1; j < rows.size(); ++j) {
      if (!labels[i].count(out.anchor) && !labels[j].count(out.anchor)) continue;
      double sum = 0;
      for (std::size_t c = 0; c < unit[i].size(); ++c) sum += (unit[i][c] - unit[j][c]) * (unit[i][c] - unit[j][c]);
      pairs.emplace_back(std::sqrt(sum), !intersection(labels[i], labels[j]).empty());
    }
  }
  if (pairs.empty()) return out;
  out.low = std::min_element(pairs.begin(), pairs.end())->first;
  out.high = std::max_element(pairs.begin(), pairs.end())->first;
  for (const auto& [d, share] : pairs) {
    int bin = 0;
    while (bin < 63 && d >= out.low + (out.high - out.low) * (bin + 1) / 64) ++bin;
    (share ? out.intra : out.inter)[bin] += 1;
    (share ? out.intra_pairs : out.inter_pairs) += 1;
  }
  for (int b = 0; b < 64; ++b) {
    out.intra[b] = over(out.intra[b], out.intra_pairs);
    out.inter[b] = over(out.inter[b], out.inter_pairs);
    out.area += std::min(out.intra[b], out.inter[b]);
  }
  return out;
}

}  // namespace swath::reference
