#pragma once

#include <algorithm>
#include <vector>

namespace bolide {

// The line that recent points lie on, neither falling nor beginning below 0, as what costs time does not:
// least squares under these two conditions, in which a point's weight falls by 2 % with each that follows. A
// little of it stays, so that the slope is still known after however many points of one x. y >= 0.
class LineFit {
 public:
  void add(double x, double y) {
    for (Point& point : points_) point.weight = std::max(0.98 * point.weight, kLeast);
    auto same =
        std::find_if(points_.begin(), points_.end(), [&](const Point& point) { return point.x == x; });
    if (same == points_.end()) {
      if (points_.size() == kMax) points_.erase(std::min_element(points_.begin(), points_.end(), lighter));
      same = points_.insert(points_.end(), {.x = x});
    }
    same->y = (same->weight * same->y + y) / (same->weight + 1);
    same->weight += 1;
    n_ = x_ = y_ = xx_ = xy_ = 0;
    for (const Point& point : points_) {
      n_ += point.weight;
      x_ += point.weight * point.x;
      y_ += point.weight * point.y;
      xx_ += point.weight * point.x * point.x;
      xy_ += point.weight * point.x * point.y;
    }
  }
  // From two different x on. Before, both of the line's numbers are 0.
  bool known() const { return spread() > 1e-9 * n_ * xx_; }
  double slope() const {
    if (!known()) return 0;
    if (free_at_zero() < 0) return xy_ / xx_;
    return free_slope() > 0 ? free_slope() : 0;
  }
  double intercept() const {
    if (!known() || free_at_zero() < 0) return 0;
    return free_slope() > 0 ? free_at_zero() : y_ / n_;
  }

 private:
  // Of the line without the conditions. Where it breaks one, the line at that bound is the best.
  double free_slope() const { return (n_ * xy_ - x_ * y_) / spread(); }
  double free_at_zero() const { return (y_ - free_slope() * x_) / n_; }
  double spread() const { return n_ * xx_ - x_ * x_; }

  // All of one x: their mean.
  struct Point {
    double x = 0, y = 0, weight = 0;
  };
  static bool lighter(const Point& a, const Point& b) { return a.weight < b.weight; }
  static constexpr double kLeast = 1e-3;
  static constexpr size_t kMax = 64;
  std::vector<Point> points_;
  double n_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

}  // namespace bolide
