// Adam, AdamW, SGD and the moving average against tests/reference/optimizer.h and against numbers of PyTorch.
#include "tests/reference/optimizer.h"
#include "kernels/adam.h"
#include "kernels/ema.h"
#include "kernels/sgd.h"
#include "tests/half_arrays.h"
#include "tests/kernels/kernel_case.h"
#include "tests/kernels/optimizer_golden.h"

namespace swath::kernels::test {
namespace {

class OptimizerTest : public KernelTest {};

constexpr float kRate = 1e-2f, kDecay = 1e-2f;

/// Gradients of a step; some are 0, and they differ in size.
std::vector<float> gradients(std::int64_t n, int step) {
  auto g = random_floats(n, static_cast<std::uint64_t>(100 + step));
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = i % 5 == 0 ? 0.0f : g[i] * (i % 3 == 0 ? 1e-4f : 1.0f);
  return g;
}

TEST_P(OptimizerTest, AdamAndAdamWFollowTheReference) {
  for (const std::int64_t n : {0, 1, 3, 31, 32, 33, 1025, 20001})
    for (const WeightDecay decay : {WeightDecay::coupled, WeightDecay::decoupled})
      for (const std::size_t misalign : {0, 1}) {
        SCOPED_TRACE(::testing::Message() << n << " misaligned by " << misalign);
        CaseMemory memory(GetParam());
        const auto start = random_floats(n, 1);
        const std::vector<float> zero(static_cast<std::size_t>(n), 0.0f);
        AdamArgs args{.value = memory.put(start, misalign),
                      .m = memory.put(zero, misalign),
                      .v = memory.put(zero, misalign),
                      .decay = decay};
        args.stretches[0] = {0, n, memory.put_one(kRate), static_cast<double>(kDecay)};
        std::vector<double> value = to_double(start), m(start.size(), 0), v(start.size(), 0);
        std::vector<float> naive = start, naive_m = zero, naive_v = zero;
        const reference::AdamOptions options{.rate = static_cast<double>(kRate),
                                             .decay = static_cast<double>(kDecay),
                                             .decoupled = decay == WeightDecay::decoupled};
        for (int step = 1; step <= 4; ++step) {
          const auto grad = gradients(n, step);
          args.stretches[0].grad = memory.put(grad, misalign);
          args.step = memory.put_one<std::uint64_t>(static_cast<std::uint64_t>(step));
          memory.run([&](auto exec) { adam(args, exec); });
          for (std::size_t i = 0; i < value.size(); ++i) {
            reference::adam_step(options, step, static_cast<double>(grad[i]), value[i], m[i], v[i]);
            reference::adam_step(options, step, grad[i], naive[i], naive_m[i], naive_v[i]);
          }
        }
        expect_close(memory.get(args.value, n), value, naive);
        expect_close(memory.get(args.m, n), m, naive_m);
        expect_close(memory.get(args.v, n), v, naive_v);
      }
}

TEST_P(OptimizerTest, AdamLeavesWhatLiesBetweenStretches) {
  for (const std::int64_t shift : {0, 1}) {
    CaseMemory memory(GetParam());
    const auto start = random_floats(2000, 1), grad = random_floats(2000, 2);
    const std::vector<float> zero(2000, 0.0f);
    AdamArgs together{.count = 3,
                      .value = memory.put(start),
                      .m = memory.put(zero),
                      .v = memory.put(zero),
                      .step = memory.put_one<std::uint64_t>(1)};
    const float* gradients = memory.put(grad);
    const std::array<UpdateStretch, 3> stretches{{{4 + shift, 1500, memory.put_one(kRate), 0.1, gradients},
                                                  {1504, 1504, memory.put_one(kRate), 0, gradients},
                                                  {1600 + shift, 1603 + shift, memory.put_one(2 * kRate), 0, gradients}}};
    std::copy(stretches.begin(), stretches.end(), together.stretches.begin());
    memory.run([&](auto exec) { adam(together, exec); });
    std::vector<double> value = to_double(start), m(2000, 0), v(2000, 0);
    std::vector<float> naive = start, naive_m = zero, naive_v = zero;
    for (const UpdateStretch& s : stretches) {
      const reference::AdamOptions options{.rate = static_cast<double>(s.begin < 1500 ? kRate : 2 * kRate),
                                           .decay = s.weight_decay};
      for (auto i = static_cast<std::size_t>(s.begin); i < static_cast<std::size_t>(s.end); ++i) {
        reference::adam_step(options, 1, static_cast<double>(grad[i]), value[i], m[i], v[i]);
        reference::adam_step(options, 1, grad[i], naive[i], naive_m[i], naive_v[i]);
      }
    }
    expect_close(memory.get(together.value, 2000), value, naive);
    expect_close(memory.get(together.m, 2000), m, naive_m);
    const std::vector<float> after = memory.get(together.value, 2000);
    for (const std::size_t i : {0u, 3u, 1500u, 1504u, 1599u, 1604u, 1999u}) EXPECT_EQ(after[i], start[i]) << i;
  }
}

TEST_P(OptimizerTest, SgdLeavesWhatLiesBetweenStretches) {
  for (const std::int64_t shift : {0, 1}) {
    CaseMemory memory(GetParam());
    const auto start = random_floats(2000, 1), before = random_floats(2000, 3), grad = random_floats(2000, 2);
    SgdArgs together{.count = 3, .value = memory.put(start), .buffer = memory.put(before), .momentum = 0.9f};
    const float* gradients = memory.put(grad);
    const std::array<UpdateStretch, 3> stretches{{{4 + shift, 1500, memory.put_one(kRate), 0.1, gradients},
                                                  {1504, 1504, memory.put_one(kRate), 0, gradients},
                                                  {1600 + shift, 1603 + shift, memory.put_one(2 * kRate), 0, gradients}}};
    std::copy(stretches.begin(), stretches.end(), together.stretches.begin());
    memory.run([&](auto exec) { sgd(together, exec); });
    std::vector<double> value = to_double(start), buffer = to_double(before);
    std::vector<float> naive = start, naive_buffer = before;
    for (const UpdateStretch& s : stretches) {
      const float rate = s.begin < 1500 ? kRate : 2 * kRate, decay = static_cast<float>(s.weight_decay);
      for (auto i = static_cast<std::size_t>(s.begin); i < static_cast<std::size_t>(s.end); ++i) {
        reference::sgd_step<double>(static_cast<double>(rate), static_cast<double>(0.9f), static_cast<double>(decay), 2,
                                    static_cast<double>(grad[i]), value[i], buffer[i]);
        reference::sgd_step<float>(rate, 0.9f, decay, 2, grad[i], naive[i], naive_buffer[i]);
      }
    }
    expect_close(memory.get(together.value, 2000), value, naive);
    expect_close(memory.get(together.buffer, 2000), buffer, naive_buffer);
    const std::vector<float> after = memory.get(together.value, 2000);
    for (const std::size_t i : {0u, 3u, 1500u, 1504u, 1599u, 1604u, 1999u}) EXPECT_EQ(after[i], start[i]) << i;
  }
}

TEST_P(OptimizerTest, SgdFollowsTheReference) {
  for (const std::int64_t n : {0, 1, 3, 31, 32, 33, 1025, 20001})
    for (const float momentum : {0.0f, 0.9f})
      for (const std::size_t misalign : {0, 1}) {
        SCOPED_TRACE(::testing::Message() << n << " momentum " << momentum << " misaligned by " << misalign);
        CaseMemory memory(GetParam());
        const auto start = random_floats(n, 2);
        const std::vector<float> zero(static_cast<std::size_t>(n), 0.0f);
        SgdArgs args{.value = memory.put(start, misalign),
                     .buffer = momentum > 0 ? memory.put(zero, misalign) : nullptr,
                     .momentum = momentum};
        args.stretches[0] = {0, n, memory.put_one(kRate), static_cast<double>(kDecay)};
        std::vector<double> value = to_double(start), buffer(start.size(), 0);
        std::vector<float> naive = start, naive_buffer = zero;
        for (int step = 1; step <= 4; ++step) {
          const auto grad = gradients(n, step);
          args.stretches[0].grad = memory.put(grad, misalign);
          memory.run([&](auto exec) { sgd(args, exec); });
          for (std::size_t i = 0; i < value.size(); ++i) {
            reference::sgd_step<double>(static_cast<double>(kRate), static_cast<double>(momentum), static_cast<double>(kDecay),
                                        step, static_cast<double>(grad[i]), value[i], buffer[i]);
            reference::sgd_step<float>(kRate, momentum, kDecay, step, grad[i], naive[i], naive_buffer[i]);
          }
        }
        expect_close(memory.get(args.value, n), value, naive);
        if (args.buffer) expect_close(memory.get(args.buffer, n), buffer, naive_buffer);
      }
}

TEST_P(OptimizerTest, ThreeStepsOfPyTorch) {
  const auto expect_golden = [](const std::vector<float>& got, const std::array<float, 4>& golden) {
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(got[i], golden[i], 1.2e-7f * std::max(1.0f, std::abs(golden[i]))) << i;
  };
  CaseMemory memory(GetParam());
  const std::vector<float> start(golden::kValues.begin(), golden::kValues.end()), zero(4, 0.0f);
  const float* rate = memory.put_one(kRate);
  AdamArgs coupled{.value = memory.put(start), .m = memory.put(zero), .v = memory.put(zero), .decay = WeightDecay::coupled};
  coupled.stretches[0] = {0, 4, rate, 1e-2};
  AdamArgs decoupled = coupled;
  decoupled.value = memory.put(start);
  decoupled.m = memory.put(zero);
  decoupled.v = memory.put(zero);
  decoupled.decay = WeightDecay::decoupled;
  SgdArgs momentum{.value = memory.put(start), .buffer = memory.put(zero), .momentum = 0.9f};
  momentum.stretches[0] = {0, 4, rate, static_cast<double>(kDecay)};
  for (std::uint64_t step = 1; step <= 3; ++step) {
    coupled.stretches[0].grad = decoupled.stretches[0].grad = momentum.stretches[0].grad =
        memory.put(std::vector<float>(golden::kGrads[step - 1], golden::kGrads[step - 1] + 4));
    coupled.step = decoupled.step = memory.put_one(step);
    memory.run([&](auto exec) {
      adam(coupled, exec);
      adam(decoupled, exec);
      sgd(momentum, exec);
    });
  }
  expect_golden(memory.get(coupled.value, 4), golden::kAdam);
  expect_golden(memory.get(decoupled.value, 4), golden::kAdamw);
  expect_golden(memory.get(momentum.value, 4), golden::kSgd);
}

/// Two stretches of one launch, float32 gradients and `Half` ones, all times a factor, which the reference multiplies before.
template <class Half>
void expect_halves_times_a_factor(Place place, DType type, std::int64_t begin) {
  constexpr std::int64_t kCount = 1100, kFirst = 520;
  constexpr float kFactor = 0.125f, kMomentum = 0.5f;
  constexpr double kRateOf = static_cast<double>(kRate), kMomentumOf = static_cast<double>(kMomentum);
  CaseMemory memory(place);
  const auto start = random_floats(kCount, 6), wide = random_floats(kCount, 8);
  const auto half = testing::narrowed<Half>(random_floats(kCount, 7));
  const float *rate = memory.put_one(kRate), *factor = memory.put_one(kFactor);
  const std::vector<float> squares(static_cast<std::size_t>(kCount), 0.5f);
  std::array<UpdateStretch, kUpdateStretches> stretches{};
  stretches[0] = {0, kFirst, rate, 0.125, memory.put(wide), DType::f32};
  stretches[1] = {begin, kCount, rate, 0, memory.put(half), type};
  const AdamArgs adam_args{.stretches = stretches,
                           .count = 2,
                           .value = memory.put(start),
                           .m = memory.put(start),
                           .v = memory.put(squares),
                           .step = memory.put_one<std::uint64_t>(3),
                           .grad_factor = factor};
  const SgdArgs sgd_args{.stretches = stretches,
                         .count = 2,
                         .value = memory.put(start),
                         .buffer = memory.put(start),
                         .grad_factor = factor,
                         .momentum = kMomentum};
  memory.run([&](auto exec) { adam(adam_args, exec), sgd(sgd_args, exec); });

  std::vector<double> by_adam = to_double(start), by_sgd = by_adam;
  std::vector<float> naive_adam = start, naive_sgd = start;
  for (std::int64_t at = 0; at < kCount; ++at) {
    if (at >= kFirst && at < begin) continue;
    const auto i = static_cast<std::size_t>(at);
    const float g = (at < kFirst ? wide[i] : to_float(half[i])) * kFactor;
    const double decay = at < kFirst ? 0.125 : 0, exact = static_cast<double>(g);
    double m = static_cast<double>(start[i]), v = 0.5, buffer = m;
    float naive_m = start[i], naive_v = 0.5f, naive_buffer = start[i];
    const reference::AdamOptions options{.rate = kRateOf, .decay = decay};
    reference::adam_step(options, 3, exact, by_adam[i], m, v);
    reference::adam_step(options, 3, g, naive_adam[i], naive_m, naive_v);
    reference::sgd_step<double>(kRateOf, kMomentumOf, decay, 2, exact, by_sgd[i], buffer);
    reference::sgd_step<float>(kRate, kMomentum, static_cast<float>(decay), 2, g, naive_sgd[i], naive_buffer);
  }
  expect_close(memory.get(adam_args.value, kCount), by_adam, naive_adam);
  expect_close(memory.get(sgd_args.value, kCount), by_sgd, naive_sgd);
}

TEST_P(OptimizerTest, ReadsGradientsOf16BitsTimesAFactor) {
  for (const std::int64_t begin : {520, 521, 524}) {
    SCOPED_TRACE(begin);
    expect_halves_times_a_factor<bf16>(GetParam(), DType::bf16, begin);
    expect_halves_times_a_factor<f16>(GetParam(), DType::f16, begin);
  }
}

TEST_P(OptimizerTest, FoundInfinitySkipsTheUpdate) {
  CaseMemory memory(GetParam());
  const auto start = random_floats(9, 3);
  float *value = memory.put(start), *m = memory.put(start), *v = memory.put(start);
  const float *grad = memory.put(start), *rate = memory.put_one(kRate);
  const auto* step = memory.put_one<std::uint64_t>(1);
  for (const std::int32_t found : {2, 0}) {
    const std::int32_t* flag = memory.put_one(found);
    memory.run([&](auto exec) {
      adam({.stretches = {{{0, 9, rate, 0, grad}}}, .value = value, .m = m, .v = v, .step = step, .found_inf = flag}, exec);
    });
    EXPECT_EQ(memory.get(value, 9) == start, found != 0);
    value = memory.put(start);
    memory.run([&](auto exec) { sgd({.stretches = {{{0, 9, rate, 0, grad}}}, .value = value, .found_inf = flag}, exec); });
    EXPECT_EQ(memory.get(value, 9) == start, found != 0);
  }
}

TEST_P(OptimizerTest, MovingAverage) {
  for (const std::int64_t n : {0, 1, 31, 32, 33, 1025, 40000})
    for (const std::size_t misalign : {0, 1}) {
      CaseMemory memory(GetParam());
      const auto source = random_floats(n, 4), target = random_floats(n, 5);
      EmaArgs args{
          .n = n, .source = memory.put(source, misalign), .target = memory.put(target, misalign), .mu = memory.put_one(0.9f)};
      memory.run([&](auto exec) { ema(args, exec); });
      std::vector<double> expected(source.size());
      std::vector<float> naive(source.size());
      for (std::size_t i = 0; i < source.size(); ++i) {
        const double mu = static_cast<double>(0.9f);
        expected[i] = mu * static_cast<double>(target[i]) + (1 - mu) * static_cast<double>(source[i]);
        naive[i] = 0.9f * target[i] + (1 - 0.9f) * source[i];
      }
      expect_close(memory.get(args.target, n), expected, naive);
    }
}

SWATH_KERNEL_PLACES(OptimizerTest);

}  // namespace
}  // namespace swath::kernels::test
