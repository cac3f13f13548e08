// cuDNN's graph of one convolution and of what is fused with it. Only conv_graph.cpp and conv_plan.cpp see cudnn-frontend.
#pragma once
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include "engine/device/cuda/conv_plan.h"

namespace swath::cuda {

/// Adds the operations of `problem`; its tensors have the numbers of ConvArray. Throws UserError for another type than f32,
/// bf16 and f16.
void describe_graph(cudnn_frontend::graph::Graph& graph, const ConvProblem& problem);

}  // namespace swath::cuda
