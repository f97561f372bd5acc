// StatementCache: a connection's compiled statements, by their SQL.
#ifndef SLUICE_SERVER_DB_SQLITE_STATEMENT_CACHE_H_
#define SLUICE_SERVER_DB_SQLITE_STATEMENT_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

struct sqlite3_stmt;

namespace sluice::sqlite {

// What a statement's parameters are: its shape, read once when it was compiled.
struct ParameterPlan;

// SchemaState: two that are equal are of one schema. The version alone is not enough: a number
// comes again when a transaction that changed the schema was rolled back.
struct SchemaState {
  int64_t version = -1;
  int64_t changes = 0;  // that the connection has begun

  friend bool operator==(const SchemaState&, const SchemaState&) = default;
};

// Prepared: a compiled statement and what is known of it. Belongs to its connection's cache. One
// that is not in use is there only until the connection prepares something else.
struct Prepared {
  sqlite3_stmt* stmt = nullptr;
  std::string sql;
  bool writes = false;  // anything that may change the file, DDL included
  // Of the result. The engine may compile the statement anew when it takes its first step, because
  // the schema has changed: these are true from then on.
  bool has_columns = false;
  int column_count = 0;
  std::string columns;  // the result's `columns` field in wire form
  // What the statement does, in upper case, for the command tag: the first keyword, but EXPLAIN for
  // all that it explains, and for WITH the verb that follows its list.
  std::string verb;
  std::unique_ptr<const ParameterPlan> parameters;
  bool in_use = false;   // between its first step and its reset; a cursor may hold it for long
  bool bound = false;    // has values, which it borrows
  int compilations = 0;  // as the engine counts them; another number, another result
  bool changes_schema = false;
  // Whether it is brief (brief.h), and for which schema that was found out.
  bool brief = false;
  SchemaState examined_for;
  int64_t memory = 0;  // bytes that it takes, about

  Prepared();
  ~Prepared();

  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
};

// Owned by its connection, used by one thread at a time. Bounded by number and by memory; what is
// in use counts, and stays.
class StatementCache {
 public:
  explicit StatementCache(size_t limit) : limit_(limit) {}

  // An idle statement with this text, or null.
  Prepared* Find(absl::string_view sql);
  bool Contains(absl::string_view sql) const;
  // Takes a new one in, and drops idle ones that were not used for longest to make room.
  Prepared* Insert(std::unique_ptr<Prepared> prepared);

  void Clear();

  size_t size() const { return all_.size(); }

 private:
  using List = std::list<std::unique_ptr<Prepared>>;  // most recently used first

  void Evict();

  const size_t limit_;
  List all_;
  // Keys point into the Prepared. Of several with one text, all but the last are in use, or were.
  absl::flat_hash_map<absl::string_view, List::iterator> by_sql_;
  int64_t memory_ = 0;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_STATEMENT_CACHE_H_
