// FAISS on a CUDA device, real or simulated, against FAISS on the CPU: the same neighbours and distances (methods.md §8).
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "engine/core/error.h"
#include "retrieval/kmeans.h"
#include "retrieval/retriever.h"
#include "tests/cuda_device.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

class CudaRetriever : public ::testing::Test {
 protected:
  void SetUp() override {
    SWATH_NEEDS_CUDA_DEVICE();
    gpu = make_gpu_retriever();
    cpu = make_cpu_retriever();
  }
  std::unique_ptr<Retriever> gpu, cpu;
};

void expect_equal(const Neighbours& a, const Neighbours& b) {
  EXPECT_EQ(a.queries, b.queries);
  EXPECT_EQ(a.k, b.k);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.distances, b.distances);
}

TEST_F(CudaRetriever, NamesItself) {
  EXPECT_NE(gpu->name().find(", GPU"), std::string::npos) << gpu->name();
  EXPECT_EQ(make_retriever({.faiss = "auto"})->name(), gpu->name());
}

TEST_F(CudaRetriever, SearchesOnTheDeviceAskedFor) {
  int devices = 0;
  ASSERT_EQ(cudaGetDeviceCount(&devices), cudaSuccess);
  const test::Rows data = test::gaussian_rows(40, 8, 7);
  for (int device = 0; device < devices; ++device) {
    const auto chosen = make_gpu_retriever({.gpu = device});
    EXPECT_NE(chosen->name().find(", GPU cuda:" + std::to_string(device)), std::string::npos) << chosen->name();
    expect_equal(chosen->search_all(data.view(), 5), cpu->search_all(data.view(), 5));
    int current = -1;
    ASSERT_EQ(cudaGetDevice(&current), cudaSuccess);
    EXPECT_EQ(current, 0);
  }
  try {
    make_retriever({.faiss = "gpu", .gpu = devices});
    FAIL() << "a device that is not there was taken";
  } catch (const DeviceError& e) {
    EXPECT_NE(std::string(e.what()).find("there is no GPU"), std::string::npos) << e.what();
  }
}

TEST_F(CudaRetriever, RandomRowsHaveTheNeighboursOfTheCpu) {
  for (const auto& [rows, dim, k] :
       std::vector<std::array<int, 3>>{{2, 1, 1}, {19, 7, 18}, {33, 64, 8}, {130, 512, 9}, {300, 3, 16}, {184, 16, 8}}) {
    SCOPED_TRACE(rows);
    const test::Rows data = test::gaussian_rows(rows, dim, 7);
    expect_equal(gpu->search_all(data.view(), k), cpu->search_all(data.view(), k));
  }
}

TEST_F(CudaRetriever, TiesAndEqualRowsAreThoseOfTheCpu) {
  for (const int dim : {1, 3, 8, 16}) {
    SCOPED_TRACE(dim);
    const test::Rows data = test::integer_rows(200, dim, 2, 3);
    expect_equal(gpu->search_all(data.view(), 8), cpu->search_all(data.view(), 8));
  }
}

TEST_F(CudaRetriever, QueriesOfAnotherSetAreSearchedAgain) {
  const test::Rows gallery = test::gaussian_rows(150, 32, 1), queries = test::gaussian_rows(40, 32, 2);
  for (int turn = 0; turn < 2; ++turn)
    expect_equal(gpu->search(queries.view(), gallery.view(), 10), cpu->search(queries.view(), gallery.view(), 10));
}

TEST_F(CudaRetriever, ClustersAsTheCpu) {
  const test::Rows rows = test::tight_clusters(60, 6, 3, 0.05f, 3);
  KMeansOptions options;
  options.clusters = 3;
  options.iterations = 4;
  options.retriever = {.faiss = "gpu", .gpu_memory = 0.01};
  const Clusters found = kmeans(rows.view(), options, 2);
  options.retriever = {.faiss = "cpu"};
  const Clusters wanted = kmeans(rows.view(), options, 2);
  EXPECT_EQ(found.retriever, gpu->name());
  EXPECT_EQ(wanted.retriever, cpu->name());
  EXPECT_EQ(found.assignment, wanted.assignment);
  for (std::size_t i = 0; i < wanted.centroids.size(); ++i) EXPECT_NEAR(found.centroids[i], wanted.centroids[i], 1e-5);
}

}  // namespace
}  // namespace swath
