// Cases of nca_loss. methods.md §6 "NCA with memory bank".
#include "kernels/nca_loss.h"

#include <bit>
#include <optional>

#include "kernels/label_mask.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/nca.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class NcaLossTest : public KernelTest {};

struct NcaCase {
  std::int64_t batch = 0, rows = 0, cols = 0, classes = 19;
  std::int64_t ld = 0;
  std::size_t misalign = 0;  // elements, of the bank
  DType bank_type = DType::f32;
  NcaMath math = NcaMath::full;
  float temperature = 0.05f, margin = 0.0f;
  float density = 0.2f;  // of labels
  std::optional<float> loss_scale = {};
  GradMode mode = GradMode::overwrite;
  std::int64_t blocks = 528;
  std::vector<std::int64_t> slices = {};  // rows of each; empty: the whole bank in one call
};

struct NcaInput {
  NcaCase c;
  std::vector<float> embeddings, bank, start;
  reference::Nca reference;
};

NcaInput make_input(const NcaCase& c) {
  NcaInput in{c, {}, {}, {}, {}};
  in.embeddings = reference::unit_rows(random_floats(c.batch * c.cols, 81), c.batch, c.cols);
  const float limit = std::sqrt(3.0f / static_cast<float>(c.cols));
  in.bank = random_floats(c.rows * c.cols, 82, -limit, limit);
  if (c.bank_type == DType::bf16) {
    for (float& v : in.bank) v = to_float(from_float<bf16>(v));
  }
  in.start = random_floats(c.batch * c.cols, 83);
  reference::Nca& n = in.reference;
  n.rows = c.rows;
  n.cols = c.cols;
  n.classes = c.classes;
  n.temperature = static_cast<double>(c.temperature);
  n.margin = static_cast<double>(c.margin);
  n.index = random_ints(c.batch, 84, static_cast<std::uint32_t>(c.rows));
  for (std::int64_t i = 5; i < c.batch; i += 11) n.index[i] = -1;
  const std::vector<float> draws = random_floats(c.rows * c.classes, 85, 0.0f, 1.0f);
  for (std::int64_t j = 0; j < c.rows; ++j) {
    n.labels.emplace_back();
    // Every ninth row of the bank has no label, and so no positive.
    for (std::int64_t k = 0; k < c.classes; ++k)
      n.labels.back().push_back(j % 9 != 4 && (draws[j * c.classes + k] < c.density || k == j % c.classes) ? 1 : 0);
  }
  return in;
}

struct NcaOutput {
  float loss = 0;
  std::vector<float> d_embeddings;
};

std::vector<float> spread_rows(const std::vector<float>& x, const NcaCase& c) {
  const std::int64_t ld = std::max(c.ld, c.cols);
  std::vector<float> wide(static_cast<std::size_t>(c.batch * ld), NAN);
  for (std::int64_t i = 0; i < c.batch; ++i) std::copy_n(x.begin() + i * c.cols, c.cols, wide.begin() + i * ld);
  return wide;
}

std::vector<std::uint64_t> masks(const reference::Nca& n) {
  const std::int64_t words = label_words(n.classes);
  std::vector<std::uint64_t> masks(static_cast<std::size_t>(n.rows * words));
  for (std::int64_t j = 0; j < n.rows; ++j) {
    for (std::int64_t c = 0; c < n.classes; ++c)
      masks[j * words + c / 64] |= static_cast<std::uint64_t>(n.labels[j][c]) << (c % 64);
  }
  return masks;
}

void* put_bank(CaseMemory& memory, const std::vector<float>& bank, const NcaCase& c) {
  if (c.bank_type == DType::f32) return memory.put(bank, c.misalign);
  std::vector<bf16> rounded(bank.size());
  std::transform(bank.begin(), bank.end(), rounded.begin(), [](float v) { return from_float<bf16>(v); });
  return memory.put(rounded, c.misalign);
}

/// The loss from slices of the bank, as devices that hold one each compute it; the parts of the gradient add up in
/// `d_embeddings`.
void run_slices(CaseMemory& memory, const NcaInput& in, NcaLossArgs args) {
  const NcaCase& c = in.c;
  args.all_rows = c.rows;
  args.slices = static_cast<std::int64_t>(c.slices.size());
  args.slice_sums = memory.make_output<float>(args.slices * c.batch * 4);
  std::vector<NcaLossArgs> each;
  for (const std::int64_t rows : c.slices) {
    args.slice = static_cast<std::int64_t>(each.size());
    args.rows = rows;
    const std::int64_t begin = args.first * c.cols;
    args.bank = put_bank(memory, {in.bank.begin() + begin, in.bank.begin() + begin + rows * c.cols}, c);
    args.part = NcaPart::sums;
    args.workspace = memory.make_workspace(nca_loss_workspace(args));
    memory.run([&](auto exec) { nca_loss(args, exec); });
    each.push_back(args);
    args.first += rows;
  }
  for (NcaLossArgs& slice : each) {
    slice.part = NcaPart::loss;
    const bool first = slice.slice == 0;
    if (!first && c.mode == GradMode::overwrite) slice.d_embeddings_mode = GradMode::accumulate;
    float* const loss = slice.loss;
    if (!first) slice.loss = memory.make_output<float>(1);
    memory.run([&](auto exec) { nca_loss(slice, exec); });
    // Every device has the same.
    EXPECT_EQ(std::bit_cast<std::uint32_t>(memory.get_one(slice.loss)), std::bit_cast<std::uint32_t>(memory.get_one(loss)));
  }
}

NcaOutput run(Place place, const NcaInput& in) {
  const NcaCase& c = in.c;
  CaseMemory memory(place);
  // What is not in use must not matter.
  std::vector<float> embeddings = in.embeddings;
  std::vector<std::int32_t> index = in.reference.index;
  for (std::int64_t i = 0; i < c.batch; ++i) {
    if (index[i] >= 0) continue;
    std::fill_n(embeddings.begin() + i * c.cols, c.cols, NAN);
    if (i % 2 == 0) index[i] = static_cast<std::int32_t>(c.rows);
  }
  float* loss = memory.make_output<float>(1);
  float* d_embeddings = c.mode == GradMode::overwrite ? memory.make_output<float>(c.batch * c.cols) : memory.put(in.start);
  NcaLossArgs args{.embeddings = memory.put(spread_rows(embeddings, c)),
                   .index = memory.put(index),
                   .bank = put_bank(memory, in.bank, c),
                   .labels = memory.put(masks(in.reference)),
                   .loss_scale = c.loss_scale ? memory.put_one(*c.loss_scale) : nullptr,
                   .loss = loss,
                   .d_embeddings = d_embeddings,
                   .batch = c.batch,
                   .rows = c.rows,
                   .cols = c.cols,
                   .classes = c.classes,
                   .embeddings_ld = std::max(c.ld, c.cols),
                   .d_embeddings_ld = c.cols,
                   .bank_type = c.bank_type,
                   .temperature = c.temperature,
                   .margin = c.margin,
                   .math = c.math,
                   .blocks = c.blocks,
                   .d_embeddings_mode = c.mode};
  if (c.slices.empty()) {
    args.workspace = memory.make_workspace(nca_loss_workspace(args));
    memory.run([&](auto exec) { nca_loss(args, exec); });
  } else {
    run_slices(memory, in, args);
  }
  return {memory.get_one(loss), memory.get(d_embeddings, c.batch * c.cols)};
}

/// The gradient as the kernel should leave it: scaled, added to what was there.
template <class T>
std::vector<T> left(const NcaInput& in, std::vector<T> gradient) {
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    gradient[k] *= T(in.c.loss_scale.value_or(1.0f));
    if (in.c.mode == GradMode::accumulate) gradient[k] += T(in.start[k]);
  }
  return gradient;
}

/// v rounded to so many bits, 24 being float's own.
float round_to(float v, int bits) {
  int exponent = 0;
  const float fraction = std::frexp(v, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

/// Bits of the operands where tensor cores take fewer than float has.
struct Bits {
  int embeddings = 24, bank = 24, weights = 24;
};
Bits bits_of(Place place, const NcaCase& c) {
  if (place == Place::cpu) return {};
  if (c.bank_type == DType::bf16) return {16, 24, 16};
  return c.math == NcaMath::tf32 ? Bits{11, 11, 11} : Bits{};
}

/// The largest |log P_i| or |log Z'_i|: the loss is a difference of these.
double largest_logarithm(const NcaInput& in, const std::vector<double>& e, const std::vector<double>& bank) {
  double largest = 0;
  for (std::int64_t i = 0; i < in.c.batch; ++i) {
    if (in.reference.index[i] < 0) continue;
    const reference::NcaRow<double> row = reference::nca_row(in.reference, e, bank, i);
    if (reference::takes_part(row)) largest = std::max({largest, std::abs(row.positive), std::abs(row.total)});
  }
  return largest;
}

/// The largest term of the gradient's sums, which may cancel.
double largest_term(const NcaInput& in, const std::vector<double>& e, const std::vector<double>& bank) {
  double largest = 0;
  for (std::int64_t i = 0; i < in.c.batch; ++i) {
    if (in.reference.index[i] < 0) continue;
    const reference::NcaRow<double> row = reference::nca_row(in.reference, e, bank, i);
    for (std::int64_t j = 0; j < in.c.rows && reference::takes_part(row); ++j) {
      const double share = std::max(std::exp(row.log_total[j] - row.total), std::exp(row.log_positive[j] - row.positive));
      for (std::int64_t k = 0; k < in.c.cols; ++k) largest = std::max(largest, share * std::abs(bank[j * in.c.cols + k]));
    }
  }
  const double factor = static_cast<double>(in.c.loss_scale.value_or(1.0f)) / in.reference.temperature;
  return largest * factor / static_cast<double>(std::max<std::int64_t>(1, in.reference.used()));
}

void check(Place place, const NcaInput& in) {
  const NcaCase& c = in.c;
  SCOPED_TRACE(::testing::Message() << c.batch << " of " << c.rows << " x " << c.cols << ", " << c.classes << " classes, "
                                    << kernels::name_of(c.bank_type) << ", T " << c.temperature << ", margin " << c.margin);
  const NcaOutput got = run(place, in);
  const Bits bits = bits_of(place, c);
  const auto rounded = [](std::vector<float> x, int to) {
    for (float& v : x) v = round_to(v, to);
    return x;
  };
  const auto naive = [&](std::uint64_t run, const auto& of) {
    return of(rounded(nudged(in.embeddings, run), bits.embeddings), rounded(nudged(in.bank, run), bits.bank));
  };
  const std::vector<double> e = to_double(in.embeddings), bank = to_double(in.bank);
  const std::vector<double> loss{reference::nca_loss(in.reference, e, bank)};
  const std::vector<float> naive_loss = farthest(loss, [&](std::uint64_t run) {
    return naive(run, [&](const auto&... x) { return std::vector{reference::nca_loss(in.reference, x...)}; });
  });
  expect_close({got.loss}, loss, naive_loss, largest_logarithm(in, e, bank));
  if (c.mode == GradMode::skip) {
    EXPECT_EQ(got.d_embeddings, in.start);
    return;
  }
  const std::vector<double> gradient = left(in, reference::nca_gradient(in.reference, e, bank, [](double w) { return w; }));
  const std::vector<float> naive_gradient = farthest(gradient, [&](std::uint64_t run) {
    return naive(run, [&](const auto&... x) {
      return left(in, reference::nca_gradient(in.reference, x..., [&](float w) { return round_to(w, bits.weights); }));
    });
  });
  expect_close(got.d_embeddings, gradient, naive_gradient, largest_term(in, e, bank));
}

void check(Place place, const NcaCase& c) { check(place, make_input(c)); }

TEST_P(NcaLossTest, SizesOfBatchBankAndRows) {
  for (const NcaCase& c : std::vector<NcaCase>{{.batch = 0, .rows = 20, .cols = 8},
                                               {.batch = 1, .rows = 1, .cols = 1},
                                               {.batch = 3, .rows = 2, .cols = 3},
                                               {.batch = 31, .rows = 15, .cols = 31, .ld = 33},
                                               {.batch = 32, .rows = 16, .cols = 32, .ld = 40},
                                               {.batch = 33, .rows = 17, .cols = 33},
                                               {.batch = 63, .rows = 63, .cols = 36},
                                               {.batch = 64, .rows = 64, .cols = 64},
                                               {.batch = 65, .rows = 65, .cols = 70, .misalign = 1},
                                               {.batch = 5, .rows = 300, .cols = 128},
                                               {.batch = 2, .rows = 129, .cols = 128, .misalign = 1}}) {
    check(GetParam(), c);
  }
}

TEST_P(NcaLossTest, RowsWiderThanABlock) {
  for (const std::int64_t cols : {512, 513, 516, 1100}) check(GetParam(), {.batch = 7, .rows = 40, .cols = cols});
}

TEST_P(NcaLossTest, ManyTilesOfABlock) {
  for (const std::int64_t blocks : {1, 2, 5}) {
    for (const DType type : {DType::f32, DType::bf16}) {
      check(GetParam(), {.batch = 37, .rows = 150, .cols = 40, .bank_type = type, .blocks = blocks});
      check(GetParam(), {.batch = 3, .rows = 90, .cols = 1032, .bank_type = type, .blocks = blocks});
    }
  }
  check(GetParam(), {.batch = 33, .rows = 81, .cols = 512, .blocks = 1});
}

TEST_P(NcaLossTest, SlicesOfTheBank) {
  for (const std::vector<std::int64_t>& slices : std::vector<std::vector<std::int64_t>>{
           {40}, {1, 39}, {39, 1}, {20, 20}, {0, 40}, {16, 1, 15, 8}, {17, 0, 1, 22}, std::vector<std::int64_t>(40, 1)}) {
    for (const DType type : {DType::f32, DType::bf16})
      check(GetParam(), {.batch = 33, .rows = 40, .cols = 24, .classes = 3, .bank_type = type, .slices = slices});
  }
  check(GetParam(), {.batch = 1, .rows = 2, .cols = 1, .slices = {1, 1}});
  check(GetParam(), {.batch = 0, .rows = 5, .cols = 4, .slices = {2, 3}});
  check(GetParam(), {.batch = 70, .rows = 300, .cols = 40, .blocks = 2, .slices = {130, 100, 70}});
  check(GetParam(), {.batch = 5, .rows = 50, .cols = 520, .slices = {25, 25}});
  for (const GradMode mode : {GradMode::skip, GradMode::accumulate})
    check(GetParam(), {.batch = 20, .rows = 50, .cols = 24, .loss_scale = 4.0f, .mode = mode, .slices = {30, 20}});
}

// Rows of the batch that share labels with one slice alone, and of one, with none.
TEST_P(NcaLossTest, ASliceInWhichNoRowSharesALabel) {
  NcaInput in = make_input({.batch = 30, .rows = 48, .cols = 12, .classes = 4, .slices = {20, 12, 16}});
  for (std::int64_t j = 20; j < 32; ++j) in.reference.labels[j].assign(4, 0);
  check(GetParam(), in);
  // No slice but the rows' own: its one row is what a row of the batch leaves out.
  for (std::int64_t j = 0; j < 48; ++j) in.reference.labels[j].assign(4, j == 0 ? 1 : 0);
  in.reference.index.assign(30, 0);
  const NcaOutput got = run(GetParam(), in);
  EXPECT_EQ(got.loss, 0.0f);
  EXPECT_EQ(got.d_embeddings, std::vector<float>(360, 0.0f));
}

TEST_P(NcaLossTest, BankInBf16) {
  for (const std::int64_t cols : {1, 8, 31, 64, 72, 520}) {
    check(GetParam(), {.batch = 34, .rows = 50, .cols = cols, .bank_type = DType::bf16});
  }
  check(GetParam(), {.batch = 9, .rows = 33, .cols = 40, .misalign = 1, .bank_type = DType::bf16});
}

TEST_P(NcaLossTest, Tf32) {
  for (const std::int64_t cols : {5, 64, 160})
    check(GetParam(), {.batch = 34, .rows = 80, .cols = cols, .math = NcaMath::tf32});
}

TEST_P(NcaLossTest, Classes) {
  for (const std::int64_t classes : {1, 2, 43, 64, 65, 128, 130, 192, 193, 256}) {
    check(GetParam(), {.batch = 12, .rows = 40, .cols = 16, .classes = classes, .density = 4.0f / static_cast<float>(classes)});
  }
}

TEST_P(NcaLossTest, MarginAndTemperature) {
  for (const float margin : {0.0f, 0.1f, 0.5f}) {
    for (const float temperature : {0.01f, 0.05f, 1.0f}) {
      check(GetParam(), {.batch = 20, .rows = 70, .cols = 24, .classes = 4, .temperature = temperature, .margin = margin});
    }
  }
  // All rows of one class: Z' is P', whatever the margin.
  check(GetParam(), {.batch = 20, .rows = 30, .cols = 24, .classes = 1, .margin = 0.3f});
}

TEST_P(NcaLossTest, SaturatedExponents) {
  // Positives e^100 and more below what surrounds them; the sums of both must stay.
  NcaInput in = make_input({.batch = 18, .rows = 60, .cols = 12, .classes = 3, .temperature = 0.004f, .density = 0.0f});
  check(GetParam(), in);
  for (std::int64_t i = 0; i < 18; ++i) {
    for (std::int64_t j = 0; j < 60; ++j) {
      if (in.reference.index[i] < 0 || j == in.reference.index[i] || in.reference.similarity(i, j) > 0) continue;
      if (j % 7 == i % 7) std::copy_n(in.embeddings.begin() + i * 12, 12, in.bank.begin() + j * 12);
    }
  }
  check(GetParam(), in);
  in.c.bank_type = DType::bf16;
  for (float& v : in.bank) v = to_float(from_float<bf16>(v));
  check(GetParam(), in);
}

TEST_P(NcaLossTest, RowsWithoutPositivesCountInTheMeanOnly) {
  NcaInput in = make_input({.batch = 10, .rows = 30, .cols = 8, .classes = 5});
  for (std::int64_t i = 0; i < 10; ++i) in.reference.index[i] = i % 2 == 0 ? 4 : static_cast<std::int32_t>(i);
  ASSERT_FALSE(reference::takes_part(reference::nca_row(in.reference, to_double(in.embeddings), to_double(in.bank), 0)));
  check(GetParam(), in);
  // None has one, none is in use.
  for (const std::int32_t only : {4, -1}) {
    in.reference.index.assign(10, only);
    const NcaOutput got = run(GetParam(), in);
    EXPECT_EQ(got.loss, 0.0f);
    EXPECT_EQ(got.d_embeddings, std::vector<float>(80, 0.0f));
  }
}

TEST_P(NcaLossTest, ScaleAndModes) {
  for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
    check(GetParam(), {.batch = 20, .rows = 50, .cols = 24, .loss_scale = 64.0f, .mode = mode});
  }
}

TEST_P(NcaLossTest, ValuesThatAreNotFiniteReachTheLoss) {
  for (const float bad : {NAN, INFINITY, -NAN}) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const bool in_bank : {false, true}) {
        NcaInput in = make_input({.batch = 8, .rows = 20, .cols = 5, .classes = 2, .bank_type = type});
        (in_bank ? in.bank : in.embeddings)[7] = bad;
        EXPECT_FALSE(std::isfinite(run(GetParam(), in).loss)) << bad << (in_bank ? " in the bank" : " in a row");
      }
    }
  }
}

TEST_P(NcaLossTest, GradientMatchesCentralDifferences) {
  for (const float margin : {0.0f, 0.2f}) {
    const NcaInput in = make_input({.batch = 7, .rows = 25, .cols = 6, .classes = 3, .temperature = 0.1f, .margin = margin});
    const std::vector<double> bank = to_double(in.bank);
    const auto value = [&](const std::vector<double>& e) { return reference::nca_loss(in.reference, e, bank); };
    expect_close(run(GetParam(), in).d_embeddings, central_differences(to_double(in.embeddings), value),
                 reference::nca_gradient(in.reference, in.embeddings, in.bank, [](float w) { return w; }));
  }
}

TEST_P(NcaLossTest, TheSameBitsEveryTime) {
  for (const DType type : {DType::f32, DType::bf16}) {
    const NcaInput in = make_input({.batch = 70, .rows = 200, .cols = 40, .bank_type = type});
    const NcaOutput first = run(GetParam(), in), second = run(GetParam(), in);
    EXPECT_EQ(first.loss, second.loss);
    EXPECT_EQ(first.d_embeddings, second.d_embeddings);
  }
}

TEST_P(NcaLossTest, RefusesWhatItCannotDo) {
  CaseMemory memory(GetParam());
  memory.run([](auto exec) {
    EXPECT_THROW(nca_loss({.classes = 257}, exec), std::invalid_argument);
    EXPECT_THROW(nca_loss({.classes = 3, .bank_type = DType::f16}, exec), std::invalid_argument);
  });
}

TEST_P(NcaLossTest, ABatchOfTheRecipe) { check(GetParam(), {.batch = 120, .rows = 130, .cols = 512}); }

/// Many tiles, runs and blocks of the batch, on the CPU.
TEST(NcaLossLarge, ManyTilesAndBlocksOfTheBatch) {
  check(Place::cpu, {.batch = 120, .rows = 3001, .cols = 64, .classes = 43});
  check(Place::cpu, {.batch = 300, .rows = 1000, .cols = 20, .bank_type = DType::bf16});
}

SWATH_KERNEL_PLACES(NcaLossTest);

}  // namespace
}  // namespace swath::kernels::test
