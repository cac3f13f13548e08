// Written by tests/peers/optimizer_golden.py with torch 2.15.0.
#pragma once
#include <array>

namespace swath::golden {

inline constexpr std::array<float, 4> kValues = {0.5f, -1.25f, 3.0f, 0.0f};
inline constexpr float kGrads[3][4] = {{0.1f, -0.2f, 0.3f, 0.0001f}, {-0.05f, 0.4f, 0.25f, 0.0f}, {0.2f, 0.1f, -2.0f, -0.001f}};
inline constexpr std::array<float, 4> kAdam = {0.47999072074890137f, -1.2470545768737793f, 2.9846715927124023f,
                                               -0.003085729666054249f};
inline constexpr std::array<float, 4> kAdamw = {0.4806077778339386f, -1.2474441528320312f, 2.9839940071105957f,
                                                -0.010854445397853851f};
inline constexpr std::array<float, 4> kSgd = {0.4959598481655121f, -1.252479076385498f, 3.0054385662078857f,
                                              7.29037992641679e-06f};

}  // namespace swath::golden
