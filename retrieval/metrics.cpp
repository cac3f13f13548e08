// Retrieval metrics, one pass over the queries (methods.md §8).
#include "retrieval/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "kernels/parallel.h"
#include "retrieval/ideal_gain.h"
#include "retrieval/label_bits.h"

namespace swath {
namespace {

constexpr std::int64_t kMaxClassesOfNdcg = 1000;  // 2^r stays a double

double ratio(double a, double b) { return b == 0 ? 0 : a / b; }
double ratio(std::int64_t a, std::int64_t b) { return ratio(static_cast<double>(a), static_cast<double>(b)); }

/// Sums over queries, of which the metrics are means.
enum Sum { kRecall, kPrecision, kAccuracy, kHamming, kSubset, kF1, kMap, kRPrecision, kAcg, kNdcg, kWmap, kHit, kSums };

/// Sums of a run of queries at one K, and per class the queries with it in truth, prediction, and both.
struct Totals {
  std::array<double, kSums> sums{};
  std::vector<std::int64_t> truth, predicted, both;  // [classes]

  explicit Totals(std::int64_t classes) : truth(classes), predicted(classes), both(classes) {}
  void add(const Totals& other) {
    for (int s = 0; s < kSums; ++s) sums[s] += other.sums[s];
    for (std::size_t c = 0; c < truth.size(); ++c) {
      truth[c] += other.truth[c];
      predicted[c] += other.predicted[c];
      both[c] += other.both[c];
    }
  }
};

/// Running values of one query over its neighbours.
struct Ranking {
  std::int64_t relevant = 0;  // neighbours whose labels are all the query's
  std::int64_t hits = 0;      // neighbours that share a label
  std::int64_t shared = 0;    // Σ r
  double precisions = 0;      // Σ rel · prec@j
  double weighted = 0;        // Σ [r > 0] ACG@j
  double gain = 0;            // DCG
};

class Scorer {
 public:
  Scorer(const MetricInput& input, const std::vector<std::int64_t>& ks, const IdealGain* ideal)
      : in_(input), ks_(ks), ideal_(ideal), words_(input.query_labels.words()) {
    for (std::int64_t j = 1; j <= ks.back(); ++j) discount_.push_back(1 / std::log2(static_cast<double>(j) + 1));
  }

  void score(std::int64_t i, std::vector<std::uint64_t>& merged, std::vector<Totals>& totals) const {
    const std::uint64_t* truth = in_.query_labels.row(i);
    std::fill(merged.begin(), merged.end(), 0);
    Ranking ranking;
    std::size_t k = 0;
    for (std::int64_t j = 1; j <= ks_.back(); ++j) {
      const std::uint64_t* labels = in_.gallery_labels.row(in_.neighbours->row(i)[j - 1]);
      step(truth, labels, j, ranking);
      for (std::int64_t w = 0; w < words_; ++w) merged[w] |= labels[w];
      if (j != ks_[k]) continue;
      add_union(truth, merged.data(), totals[k]);
      add_ranking(i, k, ranking, totals[k]);
      ++k;
    }
  }

 private:
  void step(const std::uint64_t* truth, const std::uint64_t* labels, std::int64_t j, Ranking& ranking) const {
    const double rank = static_cast<double>(j);
    const std::int64_t r = label_bits::shared(truth, labels, words_);
    const bool relevant = r > 0 && label_bits::subset(labels, truth, words_);
    ranking.relevant += relevant;
    ranking.hits += r > 0;
    ranking.shared += r;
    if (relevant) ranking.precisions += static_cast<double>(ranking.relevant) / rank;
    if (r > 0) ranking.weighted += static_cast<double>(ranking.shared) / rank;
    ranking.gain += (std::exp2(static_cast<double>(r)) - 1) * discount_[j - 1];
  }

  void add_union(const std::uint64_t* truth, const std::uint64_t* merged, Totals& t) const {
    const std::int64_t both = label_bits::shared(truth, merged, words_);
    const std::int64_t labels = label_bits::count(truth, words_), predicted = label_bits::count(merged, words_);
    const std::int64_t wrong = labels + predicted - 2 * both;
    t.sums[kRecall] += ratio(both, labels);
    t.sums[kPrecision] += ratio(both, predicted);
    t.sums[kAccuracy] += ratio(both, labels + predicted - both);
    t.sums[kHamming] += ratio(wrong, in_.query_labels.classes);
    t.sums[kSubset] += wrong == 0;
    t.sums[kF1] += ratio(2 * both, labels + predicted);
    t.sums[kHit] += both > 0;
    label_bits::for_each(truth, words_, [&](std::int64_t c) { ++t.truth[c]; });
    label_bits::for_each(merged, words_, [&](std::int64_t c) {
      ++t.predicted[c];
      t.both[c] += (truth[c / 64] >> (c % 64)) & 1;
    });
  }

  void add_ranking(std::int64_t i, std::size_t k, const Ranking& ranking, Totals& t) const {
    const double depth = static_cast<double>(ks_[k]);
    t.sums[kMap] += ranking.precisions / depth;
    t.sums[kRPrecision] += static_cast<double>(ranking.relevant) / depth;
    t.sums[kAcg] += static_cast<double>(ranking.shared) / depth;
    t.sums[kWmap] += ranking.weighted / static_cast<double>(std::max<std::int64_t>(1, ranking.hits));
    if (ideal_) t.sums[kNdcg] += ratio(ranking.gain, ideal_->at(i, k));
  }

  const MetricInput& in_;
  const std::vector<std::int64_t>& ks_;
  const IdealGain* ideal_;
  std::int64_t words_;
  std::vector<double> discount_;  // [largest K], 1 / log2(j + 1)
};

/// Totals per K. Chunks depend on the number of queries alone, so the sums do not depend on the number of threads.
std::vector<Totals> total(const MetricInput& input, const std::vector<std::int64_t>& ks, const IdealGain* ideal) {
  constexpr std::int64_t kMaxChunks = 64;
  const std::int64_t n = input.neighbours->queries, classes = input.query_labels.classes;
  const std::int64_t chunk = std::max<std::int64_t>(256, (n + kMaxChunks - 1) / kMaxChunks);
  const std::vector<Totals> zero(ks.size(), Totals(classes));
  std::vector<std::vector<Totals>> parts((n + chunk - 1) / chunk, zero);
  const Scorer scorer(input, ks, ideal);
  kernels::parallel_chunks(n, chunk, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint64_t> merged(input.query_labels.words());
    for (std::int64_t i = begin; i < end; ++i) scorer.score(i, merged, parts[begin / chunk]);
  });
  std::vector<Totals> sum = zero;
  for (const auto& part : parts)
    for (std::size_t k = 0; k < ks.size(); ++k) sum[k].add(part[k]);
  return sum;
}

double micro_f1(const Totals& t) {
  std::int64_t both = 0, all = 0;
  for (std::size_t c = 0; c < t.truth.size(); ++c) {
    both += t.both[c];
    all += t.truth[c] + t.predicted[c];
  }
  return ratio(2 * both, all);
}

double macro_f1(const Totals& t) {
  double sum = 0, classes = 0;
  for (std::size_t c = 0; c < t.truth.size(); ++c) {
    if (t.truth[c] + t.predicted[c] == 0) continue;
    sum += ratio(2 * t.both[c], t.truth[c] + t.predicted[c]);
    ++classes;
  }
  return ratio(sum, classes);
}

double value(const std::string& name, const Totals& t, std::int64_t queries) {
  const auto mean = [&](Sum s) { return ratio(t.sums[s], static_cast<double>(queries)); };
  if (name == "f1_of_means") return ratio(2 * mean(kPrecision) * mean(kRecall), mean(kPrecision) + mean(kRecall));
  if (name == "micro_f1") return micro_f1(t);
  if (name == "macro_f1") return macro_f1(t);
  static const std::vector<std::pair<std::string, Sum>> means = {{"recall", kRecall},
                                                                 {"precision", kPrecision},
                                                                 {"accuracy", kAccuracy},
                                                                 {"hamming_loss", kHamming},
                                                                 {"subset_accuracy", kSubset},
                                                                 {"f1", kF1},
                                                                 {"map", kMap},
                                                                 {"r_precision", kRPrecision},
                                                                 {"acg", kAcg},
                                                                 {"ndcg", kNdcg},
                                                                 {"wmap", kWmap},
                                                                 {"hit_rate", kHit}};
  const auto found = std::find_if(means.begin(), means.end(), [&](const auto& m) { return m.first == name; });
  SWATH_CHECK(found != means.end(), "metric {}", name);
  return mean(found->second);
}

void check_labels(LabelView labels, std::int64_t rows, const char* what) {
  if (labels.rows != rows)
    throw UserError(
        fmt::format("the {} have {} rows of labels for {} embeddings; give one label row each", what, labels.rows, rows));
  if (labels.classes < 1) throw UserError(fmt::format("the labels of the {} have no classes; give at least one", what));
  const std::int64_t last = labels.classes % 64;
  for (std::int64_t i = 0; last != 0 && i < rows; ++i)
    if (labels.row(i)[labels.words() - 1] >> last)
      throw UserError(fmt::format("label row {} of the {} has a label beyond the {} classes; check the class count", i, what,
                                  labels.classes));
}

std::vector<std::int64_t> sorted_ks(std::vector<std::int64_t> ks) {
  std::sort(ks.begin(), ks.end());
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  return ks;
}

const std::vector<std::string>& names_of(const MetricInput& in) { return in.metrics.empty() ? metric_names() : in.metrics; }

bool wants_ndcg(const MetricInput& in) {
  const auto& names = names_of(in);
  return std::find(names.begin(), names.end(), "ndcg") != names.end();
}

void check_ks(const MetricInput& in) {
  const std::int64_t available = std::max<std::int64_t>(0, in.gallery_labels.rows - (in.queries_are_gallery ? 1 : 0));
  if (in.ks.empty()) throw UserError("no K was given; name at least one, for example ks = [1, 2, 4, 8]");
  const auto [low, high] = std::minmax_element(in.ks.begin(), in.ks.end());
  if (*low < 1 || *high > available)
    throw UserError(fmt::format("K = {} is not between 1 and the {} rows there are to retrieve; choose another K",
                                *low < 1 ? *low : *high, available));
  if (*high > in.neighbours->k)
    throw UserError(fmt::format("K = {} needs more than the {} neighbours that were searched", *high, in.neighbours->k));
}

void check_names(const MetricInput& in) {
  for (const std::string& name : names_of(in)) {
    if (std::find(metric_names().begin(), metric_names().end(), name) != metric_names().end()) continue;
    const std::string nearest = nearest_name(name, metric_names());
    throw UserError(fmt::format("there is no metric '{}'{}; choose from {}", name,
                                nearest.empty() ? "" : fmt::format(", did you mean '{}'", nearest),
                                fmt::join(metric_names(), ", ")));
  }
  if (wants_ndcg(in) && in.query_labels.classes > kMaxClassesOfNdcg)
    throw UserError(fmt::format("ndcg takes at most {} classes, there are {}; name the metrics without it", kMaxClassesOfNdcg,
                                in.query_labels.classes));
}

}  // namespace

void check_metric_input(const MetricInput& in) {
  SWATH_CHECK(in.neighbours != nullptr);
  check_labels(in.query_labels, in.neighbours->queries, "queries");
  check_labels(in.gallery_labels, in.gallery_labels.rows, "gallery");
  if (in.query_labels.classes != in.gallery_labels.classes)
    throw UserError(fmt::format("queries have {} classes, the gallery has {}; use one list of classes for both",
                                in.query_labels.classes, in.gallery_labels.classes));
  check_ks(in);
  check_names(in);
}

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {"recall",      "precision",   "accuracy", "hamming_loss", "subset_accuracy",
                                                 "f1",          "f1_of_means", "micro_f1", "macro_f1",     "map",
                                                 "r_precision", "acg",         "ndcg",     "wmap",         "hit_rate"};
  return names;
}

MetricTable compute_metrics(const MetricInput& input) {
  check_metric_input(input);
  for (const std::int64_t id : input.neighbours->ids)
    SWATH_CHECK(id >= 0 && id < input.gallery_labels.rows, "neighbour {} of {}", id, input.gallery_labels.rows);
  MetricTable table;
  table.ks = sorted_ks(input.ks);
  std::optional<IdealGain> ideal;
  if (wants_ndcg(input)) ideal.emplace(input.query_labels, input.gallery_labels, table.ks, input.queries_are_gallery);
  const std::vector<Totals> totals = total(input, table.ks, ideal ? &*ideal : nullptr);
  for (const std::string& name : names_of(input)) {
    std::vector<double> values;
    for (const Totals& t : totals) values.push_back(value(name, t, input.neighbours->queries));
    table.rows.emplace_back(name, std::move(values));
  }
  return table;
}

}  // namespace swath
