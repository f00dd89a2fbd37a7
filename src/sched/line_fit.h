#pragma once

namespace bolide {

// The line that recent points lie on: least squares, in which a point's weight falls by 2 % with each that
// follows.
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
  // 0 for both until two different x are known.
  double slope() const {
    const double spread = n_ * xx_ - x_ * x_;
    return spread > 1e-9 * n_ * xx_ ? (n_ * xy_ - x_ * y_) / spread : 0;
  }
  double at_zero() const { return slope() == 0 ? 0 : (y_ - slope() * x_) / n_; }

 private:
  double n_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

}  // namespace bolide
