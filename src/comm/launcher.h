#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace bolide {

// How this process was started, as its environment says.
struct Launch {
  enum class By : uint8_t {
    kNothing,   // alone
    kMpi,       // mpirun, or srun with an MPI plug-in
    kVariables  // RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them; also srun's SLURM_*
                // with MASTER_ADDR
  };
  By by = By::kNothing;
  int rank = 0, size = 1;
  std::string address;  // kVariables: where they meet, see GlooRendezvous
};
// Reads the environment only. `variable` replaces getenv in tests. kUsage for a variable that is no number, a
// rank outside its world, or a rank without the others.
Launch read_launch(const std::function<const char*(const char*)>& variable = {});

}  // namespace bolide
