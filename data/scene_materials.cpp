#include "data/scene_materials.h"

namespace swath::scenes {

const CoverNames& names_of(Cover cover) {
  static constexpr CoverNames kNames[kCovers] = {
      {"bare-rock", "Bare rock"},
      {"beach", "Beaches, dunes, sands"},
      {"broadleaf-forest", "Broad-leaved forest"},
      {"conifer-forest", "Coniferous forest"},
      {"field", "Non-irrigated arable land"},
      {"grass", "Pastures"},
      {"houses", "Discontinuous urban fabric"},
      {"industry", "Industrial or commercial units"},
      {"lake", "Water bodies"},
      {"marsh", "Inland marshes"},
      {"orchard", "Fruit trees and berry plantations"},
      {"river", "Water courses"},
      {"road", "Road and rail networks and associated land"},
      {"scrub", "Moors and heathland"},
      {"sea", "Sea and ocean"},
  };
  return kNames[static_cast<std::size_t>(cover)];
}

const std::array<float, 12>& spectrum_of(Material material) {
  // Typical shapes of published surface-reflectance spectra: water falls towards the infrared, vegetation has the red edge
  // between B04 and B07 and the water absorption in B11 and B12, soils and roofs rise steadily.
  static constexpr std::array<float, 12> kSpectra[kMaterials] = {
      {450, 400, 300, 180, 150, 120, 110, 100, 90, 80, 60, 40},                  // sea
      {500, 480, 500, 350, 320, 250, 230, 200, 180, 150, 90, 60},                // lake
      {650, 700, 850, 750, 700, 520, 500, 430, 380, 300, 150, 100},              // river
      {1400, 1700, 2200, 2600, 2750, 2850, 2950, 3050, 3150, 3200, 3800, 3400},  // sand
      {250, 300, 550, 320, 900, 2500, 3200, 3500, 3700, 3700, 1800, 850},        // broadleaf
      {200, 220, 350, 220, 550, 1450, 1800, 1950, 2100, 2100, 1000, 450},        // conifer
      {300, 400, 750, 450, 1200, 3200, 4200, 4500, 4700, 4600, 2000, 1050},      // green crop
      {600, 850, 1300, 1650, 2050, 2400, 2600, 2800, 2950, 3000, 3300, 2400},    // ripe crop
      {700, 900, 1250, 1600, 1800, 1950, 2100, 2250, 2400, 2450, 3000, 2600},    // soil
      {350, 450, 850, 600, 1350, 2800, 3300, 3500, 3700, 3700, 2400, 1350},      // grass
      {280, 350, 620, 420, 1000, 2300, 2800, 3050, 3200, 3200, 2000, 1100},      // orchard
      {900, 1000, 1250, 1900, 2050, 2150, 2250, 2300, 2400, 2400, 2700, 2500},   // red roof
      {1300, 1400, 1500, 1550, 1600, 1650, 1700, 1700, 1750, 1750, 1900, 1800},  // grey roof
      {2800, 3000, 3200, 3300, 3350, 3400, 3400, 3450, 3450, 3400, 3000, 2700},  // white roof
      {800, 850, 950, 1000, 1050, 1100, 1150, 1150, 1200, 1250, 1400, 1350},     // asphalt
      {350, 420, 650, 550, 900, 1500, 1800, 1900, 2000, 1950, 1200, 700},        // marsh
      {1100, 1250, 1450, 1600, 1700, 1750, 1800, 1850, 1900, 1950, 2200, 2000},  // rock
      {350, 420, 620, 650, 1000, 1600, 1850, 2000, 2150, 2150, 2200, 1450},      // scrub
  };
  return kSpectra[static_cast<std::size_t>(material)];
}

}  // namespace swath::scenes
