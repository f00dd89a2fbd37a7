// bolide-mpi.so: see comm/mpi_api.h.
#include <mpi.h>

#include <algorithm>
#include <cstring>

#include "comm/mpi_api.h"

namespace {

MPI_Comm world = MPI_COMM_NULL;
bool initialised_here = false;

int start(int* rank, int* size) {
  int level = MPI_THREAD_SINGLE, there = 0;
  int error = MPI_Initialized(&there);
  if (error != MPI_SUCCESS) return error;
  error = there ? MPI_Query_thread(&level) : MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
  if (error != MPI_SUCCESS) return error;
  initialised_here = !there;
  if (level < MPI_THREAD_SERIALIZED) return bolide::kMpiNoThreads;
  // A communicator of its own, whose messages nobody else of the process can take.
  error = MPI_Comm_dup(MPI_COMM_WORLD, &world);
  if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
  if (error == MPI_SUCCESS) error = MPI_Comm_rank(world, rank);
  if (error == MPI_SUCCESS) error = MPI_Comm_size(world, size);
  return error;
}

int keep(int error, MPI_Request request, void** kept) {
  *kept = error == MPI_SUCCESS ? new MPI_Request(request) : nullptr;
  return error;
}

int send(const void* data, int bytes, int to, int tag, void** request) {
  MPI_Request made = MPI_REQUEST_NULL;
  const int error = MPI_Isend(data, bytes, MPI_BYTE, to, tag, world, &made);
  return keep(error, made, request);
}

int receive(void* data, int bytes, int from, int tag, void** request) {
  MPI_Request made = MPI_REQUEST_NULL;
  const int error = MPI_Irecv(data, bytes, MPI_BYTE, from, tag, world, &made);
  return keep(error, made, request);
}

void forget(void** request) {
  delete static_cast<MPI_Request*>(*request);
  *request = nullptr;
}

int test(void** request, int* done, int* bytes) {
  MPI_Status status;
  const int error = MPI_Test(static_cast<MPI_Request*>(*request), done, &status);
  if (error != MPI_SUCCESS || *done) forget(request);
  if (error != MPI_SUCCESS || !*done) return error;
  return MPI_Get_count(&status, MPI_BYTE, bytes);
}

void drop(void** request) {
  MPI_Cancel(static_cast<MPI_Request*>(*request));
  MPI_Request_free(static_cast<MPI_Request*>(*request));
  forget(request);
}

int probe(int tag, int* from, int* bytes) {
  int there = 0;
  MPI_Status status;
  const int error = MPI_Iprobe(MPI_ANY_SOURCE, tag, world, &there, &status);
  *from = -1;
  if (error != MPI_SUCCESS || !there) return error;
  *from = status.MPI_SOURCE;
  return MPI_Get_count(&status, MPI_BYTE, bytes);
}

int finish() { return initialised_here ? MPI_Finalize() : MPI_Comm_free(&world); }

void describe(int error, char* text, int room) {
  char message[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(error, message, &length) != MPI_SUCCESS) length = 0;
  length = std::min(length, room - 1);
  std::memcpy(text, message, static_cast<size_t>(length));
  text[length] = '\0';
}

}  // namespace

extern "C" const BolideMpi* bolide_mpi() {
  static const BolideMpi table = {
      bolide::kMpiApiVersion, start, send, receive, test, drop, probe, finish, describe};
  return &table;
}
