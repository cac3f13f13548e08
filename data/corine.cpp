#include "data/corine.h"

#include <algorithm>

namespace swath {

namespace {

struct Entry {
  const char* name;
  std::int64_t of_19;
};

constexpr Entry kEntries[] = {
    {"Continuous urban fabric", 0},
    {"Discontinuous urban fabric", 0},
    {"Industrial or commercial units", 1},
    {"Road and rail networks and associated land", -1},
    {"Port areas", -1},
    {"Airports", -1},
    {"Mineral extraction sites", -1},
    {"Dump sites", -1},
    {"Construction sites", -1},
    {"Green urban areas", -1},
    {"Sport and leisure facilities", -1},
    {"Non-irrigated arable land", 2},
    {"Permanently irrigated land", 2},
    {"Rice fields", 2},
    {"Vineyards", 3},
    {"Fruit trees and berry plantations", 3},
    {"Olive groves", 3},
    {"Pastures", 4},
    {"Annual crops associated with permanent crops", 3},
    {"Complex cultivation patterns", 5},
    {"Land principally occupied by agriculture, with significant areas of natural vegetation", 6},
    {"Agro-forestry areas", 7},
    {"Broad-leaved forest", 8},
    {"Coniferous forest", 9},
    {"Mixed forest", 10},
    {"Natural grassland", 11},
    {"Moors and heathland", 12},
    {"Sclerophyllous vegetation", 12},
    {"Transitional woodland/shrub", 13},
    {"Beaches, dunes, sands", 14},
    {"Bare rock", -1},
    {"Sparsely vegetated areas", 11},
    {"Burnt areas", -1},
    {"Inland marshes", 15},
    {"Peatbogs", 15},
    {"Salt marshes", 16},
    {"Salines", 16},
    {"Intertidal flats", -1},
    {"Water courses", 17},
    {"Water bodies", 17},
    {"Coastal lagoons", 18},
    {"Estuaries", 18},
    {"Sea and ocean", 18},
};

}  // namespace

const std::vector<std::string>& corine_43() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& e : kEntries) list.emplace_back(e.name);
    return list;
  }();
  return names;
}

const std::vector<std::string>& corine_19() {
  static const std::vector<std::string> names = {
      "Urban fabric",
      "Industrial or commercial units",
      "Arable land",
      "Permanent crops",
      "Pastures",
      "Complex cultivation patterns",
      "Land principally occupied by agriculture, with significant areas of natural vegetation",
      "Agro-forestry areas",
      "Broad-leaved forest",
      "Coniferous forest",
      "Mixed forest",
      "Natural grassland and sparsely vegetated areas",
      "Moors, heathland and sclerophyllous vegetation",
      "Transitional woodland, shrub",
      "Beaches, dunes, sands",
      "Inland wetlands",
      "Coastal wetlands",
      "Inland waters",
      "Marine waters",
  };
  return names;
}

std::int64_t corine_index(const std::string& name) {
  const auto& names = corine_43();
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : found - names.begin();
}

const std::vector<std::int64_t>& corine_43_to_19() {
  static const std::vector<std::int64_t> map = [] {
    std::vector<std::int64_t> list;
    for (const Entry& e : kEntries) list.push_back(e.of_19);
    return list;
  }();
  return map;
}

}  // namespace swath
