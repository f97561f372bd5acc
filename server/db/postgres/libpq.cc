#include "server/db/postgres/libpq.h"

#include <string>

#include <dlfcn.h>

#include "server/base/log.h"

namespace sluice::postgres {
namespace {

// The name that libpq has had since PostgreSQL 8.
constexpr char kLibrary[] = "libpq.so.5";

template <class Function>
bool Load(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

bool LoadAll() {
  // Never closed: what it made lives as long as the process.
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  bool all = library != nullptr;
#define SLUICE_LIBPQ_LOAD(name) all = all && Load(library, "PQ" #name, pq.name);
  SLUICE_LIBPQ_FUNCTIONS(SLUICE_LIBPQ_LOAD)
#undef SLUICE_LIBPQ_LOAD
  if (!all) {
    const char* const why = dlerror();
    log::Error("postgres", "libpq cannot be loaded", {{"error", why == nullptr ? "" : why}});
  }
  return all;
}

}  // namespace

Libpq pq;

bool LoadLibpq() {
  static const bool loaded = LoadAll();
  return loaded;
}

}  // namespace sluice::postgres
