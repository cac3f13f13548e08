// Cases of moco_loss. methods.md §6 "Fast MoCo".
#include "kernels/moco_loss.h"

#include <optional>

#include "tests/kernels/kernel_case.h"
#include "tests/reference/moco.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class MocoLossTest : public KernelTest {};

struct MocoCase {
  std::int64_t rows = 0, cols = 0, capacity = 0;
  std::optional<std::int32_t> used = {};     // rows in use
  std::optional<std::uint64_t> pushed = {};  // keys ever pushed
  std::int64_t ld = 0;
  float tau = 0.07f, upper_cutoff = 1.4f;
  std::optional<float> loss_scale = {};
  GradMode mode = GradMode::overwrite;
};

struct MocoInput {
  MocoCase c;
  std::vector<float> queries, keys, queue, start;
  reference::Moco reference;
};

/// Unit rows that scatter around a few directions, so that distances from 0.3 to 1.7 occur in every width.
std::vector<float> clustered_rows(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  const std::vector<float> centres = reference::unit_rows(random_floats(4 * cols, 900), 4, cols);
  std::vector<float> x = reference::unit_rows(random_floats(rows * cols, seed), rows, cols);
  for (std::int64_t i = 0; i < rows; ++i) {
    const float noise = 0.3f + 0.3f * static_cast<float>(i % 5);
    for (std::int64_t k = 0; k < cols; ++k) x[i * cols + k] = noise * x[i * cols + k] + centres[i * 7 % 4 * cols + k];
  }
  return reference::unit_rows(x, rows, cols);
}

MocoInput make_input(const MocoCase& c) {
  MocoInput in{c, {}, {}, {}, {}, {}};
  in.queries = clustered_rows(c.rows, c.cols, 71);
  in.keys = clustered_rows(c.rows, c.cols, 72);
  in.queue = clustered_rows(c.capacity, c.cols, 73);
  in.start = random_floats(c.rows * c.cols, 74);
  in.reference.rows = c.used ? std::clamp<std::int64_t>(*c.used, 0, c.rows) : c.rows;
  in.reference.keys = c.pushed ? static_cast<std::int64_t>(std::min<std::uint64_t>(*c.pushed, c.capacity)) : c.capacity;
  in.reference.cols = c.cols;
  in.reference.tau = c.tau;
  in.reference.lower_cutoff = 0.5f;
  in.reference.upper_cutoff = c.upper_cutoff;
  return in;
}

struct MocoOutput {
  float loss = 0;
  std::vector<float> d_queries;
};

std::vector<float> spread_rows(const std::vector<float>& x, std::int64_t rows, std::int64_t cols, std::int64_t ld) {
  std::vector<float> wide(static_cast<std::size_t>(rows * ld), NAN);
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(x.begin() + i * cols, cols, wide.begin() + i * ld);
  return wide;
}

MocoOutput run(Place place, const MocoInput& in) {
  const MocoCase& c = in.c;
  const std::int64_t ld = std::max(c.ld, c.cols);
  CaseMemory memory(place);
  float* loss = memory.make_output<float>(1);
  float* d_queries = c.mode == GradMode::overwrite ? memory.make_output<float>(c.rows * c.cols) : memory.put(in.start);
  // Rows and keys that are not in use must not be read.
  std::vector<float> queries = in.queries, keys = in.keys, queue = in.queue;
  std::fill(queries.begin() + in.reference.rows * c.cols, queries.end(), NAN);
  std::fill(keys.begin() + in.reference.rows * c.cols, keys.end(), NAN);
  std::fill(queue.begin() + in.reference.keys * c.cols, queue.end(), NAN);
  MocoLossArgs args{.queries = memory.put(spread_rows(queries, c.rows, c.cols, ld)),
                    .keys = memory.put(spread_rows(keys, c.rows, c.cols, ld)),
                    .queue = memory.put(queue),
                    .row_count = c.used ? memory.put_one(*c.used) : nullptr,
                    .pushed = c.pushed ? memory.put_one(*c.pushed) : nullptr,
                    .loss_scale = c.loss_scale ? memory.put_one(*c.loss_scale) : nullptr,
                    .loss = loss,
                    .d_queries = d_queries,
                    .rows = c.rows,
                    .cols = c.cols,
                    .capacity = c.capacity,
                    .queries_ld = ld,
                    .keys_ld = ld,
                    .d_queries_ld = c.cols,
                    .tau = c.tau,
                    .upper_cutoff = c.upper_cutoff,
                    .d_queries_mode = c.mode};
  args.workspace = memory.make_workspace(moco_loss_workspace(args));
  memory.run([&](auto exec) { moco_loss(args, exec); });
  return {memory.get_one(loss), memory.get(d_queries, c.rows * c.cols)};
}

/// The gradient of the rows in use as the kernel should leave it: scaled, added to what was there, zero behind.
template <class T>
std::vector<T> expected_gradient(const MocoInput& in, std::vector<T> gradient) {
  gradient.resize(in.start.size(), T(0));
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    gradient[k] *= T(in.c.loss_scale.value_or(1.0f));
    if (in.c.mode == GradMode::accumulate) gradient[k] += T(in.start[k]);
  }
  return gradient;
}

void check(Place place, const MocoInput& in) {
  const MocoCase& c = in.c;
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.cols << ", queue " << c.capacity << ", in use " << in.reference.rows
                                    << " and " << in.reference.keys << ", tau " << c.tau);
  const MocoOutput got = run(place, in);
  const std::vector<double> q = to_double(in.queries), k = to_double(in.keys), queue = to_double(in.queue);
  const std::vector<double> weights = reference::moco_weights(in.reference, q, queue);
  const std::vector<float> naive_weights = reference::moco_weights(in.reference, in.queries, in.queue);
  expect_close({got.loss}, {reference::moco_loss(in.reference, q, k, queue, weights)},
               {reference::moco_loss(in.reference, in.queries, in.keys, in.queue, naive_weights)});
  if (c.mode == GradMode::skip) {
    EXPECT_EQ(got.d_queries, in.start);
  } else {
    expect_close(got.d_queries, expected_gradient(in, reference::moco_gradient(in.reference, q, k, queue, weights)),
                 expected_gradient(in, reference::moco_gradient(in.reference, in.queries, in.keys, in.queue, naive_weights)));
  }
}

void check(Place place, const MocoCase& c) { check(place, make_input(c)); }

TEST_P(MocoLossTest, SizesOfRowsColumnsAndQueue) {
  for (const MocoCase& c : std::vector<MocoCase>{{.rows = 0, .cols = 8, .capacity = 5},
                                                 {.rows = 1, .cols = 1, .capacity = 1},
                                                 {.rows = 1, .cols = 2, .capacity = 3},
                                                 {.rows = 2, .cols = 3, .capacity = 63},
                                                 {.rows = 31, .cols = 31, .capacity = 65, .ld = 33},
                                                 {.rows = 32, .cols = 32, .capacity = 64, .ld = 40},
                                                 {.rows = 33, .cols = 33, .capacity = 31},
                                                 {.rows = 63, .cols = 16, .capacity = 127},
                                                 {.rows = 64, .cols = 17, .capacity = 129},
                                                 {.rows = 65, .cols = 65, .capacity = 33, .ld = 66},
                                                 {.rows = 5, .cols = 130, .capacity = 300},
                                                 {.rows = 3, .cols = 513, .capacity = 8}}) {
    check(GetParam(), c);
  }
}

TEST_P(MocoLossTest, RowsAndKeysInUse) {
  for (const std::int32_t used : {0, 1, 20, 40, 1000}) {
    for (const std::uint64_t pushed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{70}, std::uint64_t{1} << 40}) {
      check(GetParam(), {.rows = 40, .cols = 12, .capacity = 90, .used = used, .pushed = pushed});
    }
  }
}

TEST_P(MocoLossTest, ScaleAndModes) {
  for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
    check(GetParam(), {.rows = 20, .cols = 24, .capacity = 70, .used = 18, .loss_scale = 64.0f, .mode = mode});
  }
}

TEST_P(MocoLossTest, SaturatedLogits) {
  for (const float tau : {0.001f, 0.01f, 100.0f}) check(GetParam(), {.rows = 33, .cols = 16, .capacity = 80, .tau = tau});
  // Keys opposite to their queries: the positive is the smallest logit by far.
  MocoInput in = make_input({.rows = 10, .cols = 8, .capacity = 40, .tau = 0.001f});
  for (std::size_t k = 0; k < in.keys.size(); ++k) in.keys[k] = -in.queries[k];
  check(GetParam(), in);
}

TEST_P(MocoLossTest, QueriesEqualToTheirKeysAndToTheQueue) {
  MocoInput in = make_input({.rows = 24, .cols = 20, .capacity = 48});
  in.keys = in.queries;
  std::copy(in.queries.begin(), in.queries.end(), in.queue.begin());
  check(GetParam(), in);
  std::copy(in.queries.begin(), in.queries.end(), in.queue.begin() + 24 * 20);
  for (std::int64_t i = 1; i < 24; ++i) std::copy_n(in.queries.begin(), 20, in.queries.begin() + i * 20);
  check(GetParam(), in);
}

TEST_P(MocoLossTest, WithoutAPairWithinTheCutoffWeightsAreUniform) {
  MocoInput in = make_input({.rows = 20, .cols = 6, .capacity = 70});
  for (std::int64_t i = 0; i < 20; ++i) std::copy_n(in.queries.begin(), 6, in.queries.begin() + i * 6);
  for (std::int64_t j = 0; j < 70; ++j) {
    for (std::int64_t k = 0; k < 6; ++k) in.queue[j * 6 + k] = j % 3 == 0 ? in.queue[j * 6 + k] : -in.queries[k];
  }
  const std::vector<double> weights = reference::moco_weights(in.reference, to_double(in.queries), to_double(in.queue));
  ASSERT_EQ(weights[1], 1.0 / 20);
  ASSERT_EQ(weights[70 * 19 + 1], 1.0 / 20);
  check(GetParam(), in);
  // A cutoff at the far end of the sphere leaves nobody out.
  in = make_input({.rows = 20, .cols = 6, .capacity = 70, .upper_cutoff = 2.0f});
  check(GetParam(), in);
}

TEST_P(MocoLossTest, ValuesThatAreNotFiniteReachTheLoss) {
  for (const float bad : {NAN, INFINITY}) {
    for (int where = 0; where < 3; ++where) {
      MocoInput in = make_input({.rows = 8, .cols = 5, .capacity = 20});
      (where == 0 ? in.queries : where == 1 ? in.keys : in.queue)[7] = bad;
      EXPECT_FALSE(std::isfinite(run(GetParam(), in).loss)) << bad << " in " << where;
    }
  }
}

TEST_P(MocoLossTest, GradientMatchesCentralDifferences) {
  const MocoInput in = make_input({.rows = 7, .cols = 9, .capacity = 25, .used = 6, .pushed = 22});
  const std::vector<double> k = to_double(in.keys), queue = to_double(in.queue), q = to_double(in.queries);
  const std::vector<double> weights = reference::moco_weights(in.reference, q, queue);
  const auto value = [&](const std::vector<double>& x) { return reference::moco_loss(in.reference, x, k, queue, weights); };
  const std::vector<float> naive_weights = reference::moco_weights(in.reference, in.queries, in.queue);
  expect_close(run(GetParam(), in).d_queries, central_differences(q, value),
               expected_gradient(in, reference::moco_gradient(in.reference, in.queries, in.keys, in.queue, naive_weights)));
}

TEST_P(MocoLossTest, TheSameBitsEveryTime) {
  const MocoInput in = make_input({.rows = 70, .cols = 40, .capacity = 300, .used = 65});
  const MocoOutput first = run(GetParam(), in), second = run(GetParam(), in);
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.d_queries, second.d_queries);
}

/// A batch of the recipe against its queue, on the CPU: many groups of tiles.
TEST(MocoLossLarge, ABatchAgainstAWholeQueue) {
  check(Place::cpu, {.rows = 112, .cols = 128, .capacity = 3360});
  check(Place::cpu, {.rows = 300, .cols = 20, .capacity = 3001, .used = 299, .pushed = 2999});
}

SWATH_KERNEL_PLACES(MocoLossTest);

}  // namespace
}  // namespace swath::kernels::test
