// Stands for the GPU retriever in a build without FAISS for the GPU.
#include "retrieval/retriever.h"

namespace swath {

std::unique_ptr<Retriever> make_gpu_retriever(const RetrieverOptions&) { return nullptr; }

}  // namespace swath
