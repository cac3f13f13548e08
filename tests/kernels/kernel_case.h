// What the cases of all kernels share: memory with guard words on the host or on a CUDA device, the call on that executor,
// and comparison with a double-precision reference. Design: verification, kernel cases.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/exec.h"
#include "kernels/philox.h"
#if defined(SWATH_WITH_CUDA)
#include <cuda_runtime.h>

#include "tests/cuda_device.h"
#endif

namespace swath::kernels::test {

/// Where a case runs.
enum class Place { cpu, cuda };

inline std::string name_of(Place place) { return place == Place::cpu ? "cpu" : "cuda"; }

#if defined(SWATH_WITH_CUDA)
inline void expect_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}
#endif

/// The memory of one case. Every block has kGuardBytes before and behind it, filled with a pattern that check() verifies, and
/// starts filled with 0xFF (a NaN, −1 as an integer), so that an output that was never written shows. Blocks are 256-byte
/// aligned, or off by `misalign` elements when a case wants rows that are not aligned.
class CaseMemory {
 public:
  static constexpr std::size_t kGuardBytes = 256;

  explicit CaseMemory(Place place) : place_(place) {}
  CaseMemory(const CaseMemory&) = delete;
  CaseMemory& operator=(const CaseMemory&) = delete;
  ~CaseMemory() {
    for (Block& block : blocks_) release(block);
  }

  Place place() const { return place_; }

  /// A copy of `values`, for inputs and for outputs that are added to.
  template <class T>
  T* put(const std::vector<T>& values, std::size_t misalign = 0) {
    T* p = static_cast<T*>(make(values.size() * sizeof(T), misalign * sizeof(T)));
    if (!values.empty()) copy(p, values.data(), values.size() * sizeof(T));
    return p;
  }
  template <class T>
  T* put_one(T value) {
    return put(std::vector<T>{value});
  }

  /// An output of `count` elements, not initialised (0xFF).
  template <class T>
  T* make_output(std::int64_t count, std::size_t misalign = 0) {
    return static_cast<T*>(make(static_cast<std::size_t>(count) * sizeof(T), misalign * sizeof(T)));
  }

  /// A workspace of exactly `bytes`, not initialised.
  void* make_workspace(std::size_t bytes) { return make(bytes, 0); }

  template <class T>
  std::vector<T> get(const T* p, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count > 0) copy(values.data(), p, values.size() * sizeof(T));
    return values;
  }
  template <class T>
  T get_one(const T* p) const {
    return get(p, 1)[0];
  }

  /// Calls f(Cpu{}) or f(CudaStream{}), waits for it, and checks every guard word.
  template <class F>
  void run(const F& f) {
    if (place_ == Place::cpu) {
      f(Cpu{});
    } else {
#if defined(SWATH_WITH_CUDA)
      cudaStream_t stream = nullptr;
      expect_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      expect_cuda(cudaDeviceSynchronize());
      f(CudaStream{stream});
      const cudaError_t status = cudaStreamSynchronize(stream);
      cudaStreamDestroy(stream);
      expect_cuda(status);
#endif
    }
    check();
  }

  /// Fails the test when something was written before or behind a block.
  void check() const {
    for (const Block& block : blocks_) {
      std::vector<unsigned char> bytes(block.total);
      copy(bytes.data(), block.base, block.total);
      const auto is_guard = [](unsigned char b) { return b == kGuard; };
      const auto body = bytes.begin() + static_cast<std::ptrdiff_t>(block.offset);
      EXPECT_TRUE(std::all_of(bytes.begin(), body, is_guard)) << "written before a block of " << block.size << " bytes";
      EXPECT_TRUE(std::all_of(body + static_cast<std::ptrdiff_t>(block.size), bytes.end(), is_guard))
          << "written behind a block of " << block.size << " bytes";
    }
  }

 private:
  static constexpr unsigned char kGuard = 0xA5;
  struct Block {
    unsigned char* base;
    std::size_t offset, size, total;
  };

  void* make(std::size_t size, std::size_t misalign) {
    Block block{nullptr, kGuardBytes + misalign, size, 0};
    block.total = (block.offset + size + kGuardBytes + 255) / 256 * 256;
    if (place_ == Place::cpu) {
      block.base = static_cast<unsigned char*>(::operator new (block.total, std::align_val_t{256}));
    } else {
#if defined(SWATH_WITH_CUDA)
      void* p = nullptr;
      expect_cuda(cudaMalloc(&p, block.total));
      block.base = static_cast<unsigned char*>(p);
#endif
    }
    std::vector<unsigned char> bytes(block.total, kGuard);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(block.offset), size, static_cast<unsigned char>(0xFF));
    copy(block.base, bytes.data(), block.total);
    blocks_.push_back(block);
    return block.base + block.offset;
  }

  void copy(void* to, const void* from, std::size_t bytes) const {
    if (place_ == Place::cpu) {
      std::memcpy(to, from, bytes);
    } else {
#if defined(SWATH_WITH_CUDA)
      expect_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDefault));
#endif
    }
  }

  void release(Block& block) {
    if (place_ == Place::cpu) {
      ::operator delete (block.base, std::align_val_t{256});
    } else {
#if defined(SWATH_WITH_CUDA)
      cudaFree(block.base);
#endif
    }
  }

  Place place_;
  std::vector<Block> blocks_;
};

/// A kernel's cases, once per place: `class XTest : public KernelTest {};`, `TEST_P(XTest, …)` with a
/// `CaseMemory memory(GetParam());`, and SWATH_KERNEL_PLACES(XTest).
class KernelTest : public ::testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
#if defined(SWATH_WITH_CUDA)
    if (GetParam() == Place::cuda) {
      SWATH_NEEDS_CUDA_DEVICE();
    }
#endif
  }
};

#if defined(SWATH_WITH_CUDA)
#define SWATH_KERNEL_PLACE_VALUES Place::cpu, Place::cuda
#else
#define SWATH_KERNEL_PLACE_VALUES Place::cpu
#endif
#define SWATH_KERNEL_PLACES(suite)                                                \
  INSTANTIATE_TEST_SUITE_P(, suite, ::testing::Values(SWATH_KERNEL_PLACE_VALUES), \
                           [](const ::testing::TestParamInfo<Place>& place_info) { return name_of(place_info.param); })

/// Numbers in [low, high), fixed by the seed.
inline std::vector<float> random_floats(std::int64_t count, std::uint64_t seed, float low = -1.0f, float high = 1.0f) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = low + (high - low) * uniform01(philox(seed, 0, RandomStream::scenes, i).v[0]);
  }
  return values;
}

/// Integers in [0, below), fixed by the seed.
inline std::vector<std::int32_t> random_ints(std::int64_t count, std::uint64_t seed, std::uint32_t below) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::int32_t>(uniform_below(philox(seed, 1, RandomStream::scenes, i).v[0], below));
  }
  return values;
}

/// The largest |a − b|; NaN when either holds a NaN.
template <class A, class B>
double largest_error(const std::vector<A>& a, const std::vector<B>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(error)) return error;
    worst = std::max(worst, error);
  }
  return worst;
}

/// v with each element moved by one ulp up, down or not at all; in run 0 none.
inline std::vector<float> nudged(std::vector<float> v, std::uint64_t run) {
  for (std::size_t i = 0; run > 0 && i < v.size(); ++i) {
    const std::uint32_t way = uniform_below(philox(run, 2, RandomStream::scenes, i).v[0], 3);
    if (way > 0) v[i] = std::nextafter(v[i], way == 1 ? -INFINITY : INFINITY);
  }
  return v;
}

/// Of naive(run), a float loop over inputs that are nudged(…, run), the result farthest from the reference. Where exponents are
/// large, one loop may come close to the reference by luck.
template <class Naive>
std::vector<float> farthest(const std::vector<double>& reference, const Naive& naive) {
  std::vector<float> worst = naive(0);
  for (std::uint64_t run = 1; run < 6; ++run) {
    std::vector<float> other = naive(run);
    if (largest_error(other, reference) > largest_error(worst, reference)) worst = std::move(other);
  }
  return worst;
}

/// Every |got − reference| ≤ 4 × the largest error of a naive float loop + 1e-7 × scale, with scale the largest |reference|
/// unless a case states the size of the terms that a sum is made of.
inline void expect_close(const std::vector<float>& got, const std::vector<double>& reference, const std::vector<float>& naive,
                         double scale = 0) {
  ASSERT_EQ(got.size(), reference.size());
  ASSERT_EQ(naive.size(), reference.size());
  for (const double r : reference) scale = std::max(scale, std::abs(r));
  const double bound = 4 * largest_error(naive, reference) + 1e-7 * scale;
  const double error = largest_error(got, reference);
  EXPECT_TRUE(error <= bound) << "error " << error << ", allowed " << bound << ", scale " << scale;
}

/// The gradient of `value` by central differences: (value(x + h) − value(x − h)) / 2h for every element of x.
template <class Value>
std::vector<double> central_differences(std::vector<double> x, const Value& value, double h = 1e-5) {
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double kept = x[i];
    x[i] = kept + h;
    const double above = value(x);
    x[i] = kept - h;
    const double below = value(x);
    x[i] = kept;
    gradient[i] = (above - below) / (2 * h);
  }
  return gradient;
}

inline std::vector<double> to_double(const std::vector<float>& values) { return {values.begin(), values.end()}; }
inline std::vector<float> to_float_vector(const std::vector<double>& values) {
  std::vector<float> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](double v) { return static_cast<float>(v); });
  return out;
}

}  // namespace swath::kernels::test
