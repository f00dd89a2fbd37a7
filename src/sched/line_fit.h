#pragma once

namespace bolide {

// The line that recent points lie on, neither falling nor beginning below 0, as what costs time does not:
// least squares under these two conditions, in which a point's weight falls by 2 % with each that follows.
// y >= 0.
class LineFit {
 public:
  void add(double x, double y) {
    for (double* sum : {&n_, &x_, &y_, &xx_, &xy_}) *sum *= 0.98;
    n_ += 1;
    x_ += x;
    y_ += y;
    xx_ += x * x;
    xy_ += x * y;
  }
  // From two different x on. Before, both of the line's numbers are 0.
  bool known() const { return spread() > 1e-9 * n_ * xx_; }
  double slope() const {
    if (!known()) return 0;
    if (free_at_zero() < 0) return xy_ / xx_;
    return free_slope() > 0 ? free_slope() : 0;
  }
  double at_zero() const {
    if (!known() || free_at_zero() < 0) return 0;
    return free_slope() > 0 ? free_at_zero() : y_ / n_;
  }

 private:
  // Of the line without the conditions. Where it breaks one, the line at that bound is the best.
  double free_slope() const { return (n_ * xy_ - x_ * y_) / spread(); }
  double free_at_zero() const { return (y_ - free_slope() * x_) / n_; }
  double spread() const { return n_ * xx_ - x_ * x_; }
  double n_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

}  // namespace bolide
