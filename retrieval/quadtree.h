// Forces between many points of a plane, summed over the cells of a quadtree (J. Barnes, P. Hut, Nature 1986).
#pragma once
#include <cstdint>
#include <vector>

namespace swath {

struct Point2 {
  double x = 0, y = 0;
};

/// Repulsion of t-SNE (L. van der Maaten, JMLR 2014): for every point i, F_i = Σ_j q_ij² (y_i − y_j) and z_i = Σ_j q_ij with
/// q_ij = 1 / (1 + |y_i − y_j|²) over the other points. A cell of side s whose centre of mass is farther than s / theta
/// counts as one point; theta 0 is exact. The same numbers with any number of threads.
class Quadtree {
 public:
  /// Rebuilds the tree over points [n], which must outlive `repel`. Finite coordinates.
  void build(const std::vector<Point2>& points);
  /// forces [n] and z [n], in the points' order.
  void repel(double theta, std::vector<Point2>& forces, std::vector<double>& z) const;

 private:
  struct Node {
    Point2 centre;           // of mass
    double side2 = 0;        // squared side of the cell
    std::int32_t begin = 0;  // its points in order_
    std::int32_t end = 0;
    std::int32_t next = 0;  // the first node that is not below this one
    bool leaf = true;
  };
  void add_node(std::int32_t begin, std::int32_t end, int level, double side);
  void repel_one(std::int32_t slot, double theta2, Point2& force, double& z) const;

  std::vector<Node> nodes_;           // depth first
  std::vector<std::uint64_t> codes_;  // bits of x and y interleaved, ascending
  std::vector<std::int32_t> order_;   // the points by code
  std::vector<Point2> sorted_;        // points in that order
};

}  // namespace swath
