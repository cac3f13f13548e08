// What the logs say of where and when.
#pragma once
#include <string>

namespace swath {

/// Seconds since 1970.
double unix_time();
/// The machine's name; empty where it has none.
std::string host_name();

}  // namespace swath
