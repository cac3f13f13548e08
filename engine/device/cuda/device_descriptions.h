// What cuDNN wants to know of a device that is not there, as its JSON of device properties (h100.json, a100.json).
#pragma once
#include <string_view>

namespace swath::cuda {

/// Of "h100" (SXM5 80 GB) or "a100" (SXM4 80 GB); null for another name.
const char* device_description(std::string_view name);

}  // namespace swath::cuda
