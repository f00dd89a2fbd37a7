#pragma once

#include <gtest/gtest.h>

#include "comm/gpu_ranks.h"

namespace bolide::test {

// A rank's fault is a failed test.
inline void on_gpus(const std::vector<int>& devices, std::chrono::duration<double> timeout,
                    const std::function<void(const GpuRank&)>& body) {
  run_on_gpus(devices, timeout, body, [](const std::string& fault) { ADD_FAILURE() << fault; });
}

}  // namespace bolide::test
