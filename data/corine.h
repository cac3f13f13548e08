// The 43 CORINE level-3 names of BigEarthNet and the 19-class nomenclature of G. Sumbul et al. 2021 (methods.md §1).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace swath {

/// In the order of the CORINE codes.
const std::vector<std::string>& corine_43();
const std::vector<std::string>& corine_19();
/// Index into corine_43, or −1 for another name.
std::int64_t corine_index(const std::string& name);
/// For each of the 43 its index into corine_19, or −1 for the 11 that have no place in it.
const std::vector<std::int64_t>& corine_43_to_19();

}  // namespace swath
