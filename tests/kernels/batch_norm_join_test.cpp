// Batch normalisation of a batch in slices against tests/reference/batch_norm.h on the whole batch.
#include "kernels/batch_norm_join.h"

#include "kernels/row_slice.h"
#include "tests/kernels/element_case.h"
#include "tests/reference/batch_norm.h"

namespace swath::kernels::test {
namespace {

constexpr std::int64_t kPositions = 6;

struct Case {
  std::int64_t images = 0, channels = 0;
  DType dtype = DType::f32;
  float offset = 0;
};

struct Slice {
  std::int64_t rows = 0;
  void *x = nullptr, *d_y = nullptr, *d_x = nullptr;
};

std::vector<Slice> upload(CaseMemory& memory, const Case& c, std::int64_t count, const std::vector<float>& x,
                          const std::vector<float>& d_y) {
  std::vector<Slice> slices;
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int64_t begin = slice_begin(c.images, s, count) * kPositions,
                       end = slice_begin(c.images, s + 1, count) * kPositions;
    const auto part = [&](const std::vector<float>& all) {
      return put_elements(memory, {all.begin() + begin * c.channels, all.begin() + end * c.channels}, c.dtype);
    };
    slices.push_back({end - begin, part(x), part(d_y), make_elements(memory, (end - begin) * c.channels, c.dtype)});
  }
  return slices;
}

struct Work {
  void* workspace;
  std::uint32_t* counters;
};
Work work_for(CaseMemory& memory, std::int64_t rows, std::int64_t channels) {
  return {memory.make_workspace(batch_norm_workspace(rows, channels)),
          memory.put(std::vector<std::uint32_t>(static_cast<std::size_t>(batch_norm_counters(channels)), 0))};
}

/// The slices' moments, one after the other.
std::vector<float> moments_of(CaseMemory& memory, const Case& c, const std::vector<Slice>& slices) {
  std::vector<float> all;
  for (const Slice& slice : slices) {
    float* moments = memory.put(std::vector<float>(static_cast<std::size_t>(2 * c.channels), 0.0f));
    const Work work = work_for(memory, slice.rows, c.channels);
    const BatchNormStatisticsArgs args{.rows = slice.rows,
                                       .channels = c.channels,
                                       .dtype = c.dtype,
                                       .x = slice.x,
                                       .running_mean = moments,
                                       .running_var = moments + c.channels,
                                       .mean = memory.make_output<float>(c.channels),
                                       .invstd = memory.make_output<float>(c.channels),
                                       .momentum = 1,
                                       .workspace = work.workspace,
                                       .counters = work.counters};
    memory.run([&](auto exec) { batch_norm_statistics(args, exec); });
    const std::vector<float> got = memory.get(moments, 2 * c.channels);
    all.insert(all.end(), got.begin(), got.end());
  }
  return all;
}

/// d_gamma and d_beta of one slice, whose d_x is written as of that slice alone.
std::vector<float> own_gradients(CaseMemory& memory, const Case& c, const Slice& slice, NormTerm main) {
  float* own = memory.make_output<float>(2 * c.channels);
  const Work work = work_for(memory, slice.rows, c.channels);
  main.x = slice.x;
  const BatchNormBackwardArgs args{.rows = slice.rows,
                                   .channels = c.channels,
                                   .dtype = c.dtype,
                                   .d_y = slice.d_y,
                                   .main = main,
                                   .d_main = {.d_x = slice.d_x, .d_gamma = own, .d_beta = own + c.channels},
                                   .workspace = work.workspace,
                                   .counters = work.counters};
  memory.run([&](auto exec) { batch_norm_backward(args, exec); });
  return memory.get(own, 2 * c.channels);
}

/// d_x of all slices.
std::vector<float> collected(const CaseMemory& memory, const Case& c, const std::vector<Slice>& slices) {
  std::vector<float> all;
  for (const Slice& slice : slices) {
    const std::vector<float> part = get_elements(memory, slice.d_x, slice.rows * c.channels, c.dtype);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// A bf16 gradient is rounded twice: without and with the correction.
void expect_gradient(const std::vector<float>& got, const std::vector<float>& uncorrected, const std::vector<double>& reference,
                     const std::vector<float>& naive, DType dtype) {
  if (dtype == DType::f32) return expect_close(got, reference, naive);
  const double shared = 4 * largest_error(naive, reference) + 1e-7;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double roundings = (std::abs(reference[i]) + std::abs(static_cast<double>(uncorrected[i]))) / 256;
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - reference[i]), shared + roundings) << "element " << i;
  }
}

class BatchNormJoinTest : public KernelTest {
 protected:
  void check(const Case& c, std::int64_t count);
};

void BatchNormJoinTest::check(const Case& c, std::int64_t count) {
  CaseMemory memory(GetParam());
  const std::int64_t rows = c.images * kPositions, n = rows * c.channels;
  reference::BatchNormProblem<float> naive;
  naive.rows = rows;
  naive.channels = c.channels;
  naive.x = random_floats(n, 1, -2, 3);
  for (float& v : naive.x) v += c.offset;
  naive.x = rounded(naive.x, c.dtype);
  naive.gamma = random_floats(c.channels, 2, 0.5f, 1.5f);
  naive.beta = random_floats(c.channels, 3);
  reference::BatchNormProblem<double> exact;
  exact.rows = rows;
  exact.channels = c.channels;
  exact.x = to_double(naive.x);
  exact.gamma = to_double(naive.gamma);
  exact.beta = to_double(naive.beta);
  const std::vector<float> d_y = rounded(random_floats(n, 4, -1, 2), c.dtype), before = random_floats(c.channels, 6, 0.1f, 1);

  const std::vector<Slice> slices = upload(memory, c, count, naive.x, d_y);
  float *running_mean = memory.put(before), *running_var = memory.put(before);
  const BatchNormJoinArgs join{.images = c.images,
                               .positions = kPositions,
                               .slices = count,
                               .channels = c.channels,
                               .moments = memory.put(moments_of(memory, c, slices)),
                               .running_mean = running_mean,
                               .running_var = running_var,
                               .mean = memory.make_output<float>(c.channels),
                               .invstd = memory.make_output<float>(c.channels)};
  memory.run([&](auto exec) { batch_norm_join(join, exec); });
  const auto s = batch_norm_statistics(exact);
  const double magnitude = std::abs(c.offset) + 3;
  expect_close(memory.get(join.mean, c.channels), s.mean, batch_norm_statistics(naive).mean, magnitude);
  const std::vector<float> invstd = memory.get(join.invstd, c.channels), mean_after = memory.get(running_mean, c.channels),
                           var_after = memory.get(running_var, c.channels);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double unbiased = s.variance[i] * static_cast<double>(rows) / static_cast<double>(rows - 1), kept = 0.9 * before[i];
    // A slice's mean arrives rounded to float32; slices' means are less than 1 apart.
    const double wanted = 1 / std::sqrt(s.variance[i] + 1e-5), of_means = std::pow(wanted, 3) * magnitude * 0x1p-24;
    EXPECT_NEAR(invstd[i], wanted, 1e-6 + of_means);
    EXPECT_NEAR(mean_after[i], kept + 0.1 * s.mean[i], 1e-6 * magnitude);
    EXPECT_NEAR(var_after[i], kept + 0.1 * unbiased, 1e-6 * (1 + unbiased));
  }

  const NormTerm main{nullptr, memory.put(naive.gamma), memory.put(naive.beta), join.mean, join.invstd};
  std::vector<std::vector<float>> own;
  std::vector<float> total(static_cast<std::size_t>(2 * c.channels), 0.0f);
  for (const Slice& slice : slices) {
    own.push_back(own_gradients(memory, c, slice, main));
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += own.back()[i];
  }
  const std::vector<float> uncorrected = collected(memory, c, slices);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    NormTerm here = main;
    here.x = slices[i].x;
    const BatchNormJoinBackwardArgs args{.rows = slices[i].rows,
                                         .total_rows = rows,
                                         .channels = c.channels,
                                         .dtype = c.dtype,
                                         .main = here,
                                         .own = memory.put(own[i]),
                                         .total = memory.put(total),
                                         .d_x = slices[i].d_x};
    memory.run([&](auto exec) { batch_norm_join_backward(args, exec); });
  }
  expect_gradient(collected(memory, c, slices), uncorrected, batch_norm_gradients(exact, to_double(d_y)).x,
                  batch_norm_gradients(naive, d_y).x, c.dtype);
}

TEST_P(BatchNormJoinTest, SlicesAreTheWhole) {
  for (const Case& c : std::vector<Case>{{11, 24}, {7, 1}, {9, 65, DType::bf16}, {5, 131}, {11, 12, DType::f32, 500}})
    for (const std::int64_t count : {1, 2, 4}) {
      SCOPED_TRACE(std::to_string(c.images) + " images, " + std::to_string(c.channels) + " channels, " + std::to_string(count));
      check(c, count);
    }
}

SWATH_KERNEL_PLACES(BatchNormJoinTest);

}  // namespace
}  // namespace swath::kernels::test
