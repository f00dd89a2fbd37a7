#pragma once

// What the library needs of MPI, as a table of C functions. Only bolide-mpi.so, which is loaded when MPI is
// asked for, is linked with an MPI library; so neither libbolide nor the command needs one to be there.
// Each function returns MPI's error code, 0 for success. One call at a time, from any thread.

extern "C" {

struct BolideMpi {
  int version;
  // Rank and size of the world; initialises MPI unless the program has done so.
  int (*start)(int* rank, int* size);
  // Both set *request, which test() or drop() frees; the data must stay where it is until then.
  int (*send)(const void* data, int bytes, int to, int tag, void** request);
  int (*receive)(void* data, int bytes, int from, int tag, void** request);
  // *done: the message is over, with *bytes of it for a receive; *request is null then.
  int (*test)(void** request, int* done, int* bytes);
  // Gives a receive up.
  void (*drop)(void** request);
  // *from: the rank of whom a message of `tag` has come, or -1.
  int (*probe)(int tag, int* from, int* bytes);
  // Waits for every rank.
  int (*finish)();
  void (*describe)(int error, char* text, int room);
};

const BolideMpi* bolide_mpi();  // of bolide-mpi.so
}

namespace bolide {

// Raised with every change of BolideMpi.
inline constexpr int kMpiApiVersion = 1;
// start(): the MPI library takes no calls from several threads, not even one at a time.
inline constexpr int kMpiNoThreads = -1;

}  // namespace bolide
