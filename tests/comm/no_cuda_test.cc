// GPU ranks in a build without CUDA.
#include "comm/communicator.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

using std::chrono_literals::operator""s;

TEST(NoCuda, NcclSaysWhatToBuild) {
  const auto ranks = make_thread_transports(1, 1s);
  const int group[] = {0};
  EXPECT_ERROR(make_nccl_communicator({}, *ranks[0], group, Channel::kTensor), ErrorCode::kUnsupported,
               "BOLIDE_CUDA=ON");
}

TEST(NoCuda, OneShotIsTheLibrary) {
  const auto ranks = make_thread_transports(1, 1s);
  const int group[] = {0};
  const auto comm = make_one_shot_communicator({}, *ranks[0], group, Channel::kTensor,
                                               make_host_communicator(*ranks[0], group, Channel::kTensor));
  EXPECT_EQ(comm->name(), "threads");
}

}  // namespace
}  // namespace bolide
