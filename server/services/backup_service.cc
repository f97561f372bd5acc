#include "server/services/backup_service.h"

#include <string>
#include <utility>

#include "server/base/errors.h"
#include "server/base/sha256.h"
#include "server/base/status.h"
#include "server/db/database.h"

namespace sluice::services {
namespace {

constexpr int64_t kPieceBytes = 256 << 10;

}  // namespace

Task<absl::Status> BackupService::Backup(const Context& ctx,
                                         const pb::BackupRequest& request,
                                         Sink<pb::BackupResponse>& sink) {
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  CO_TRY(const auto snapshot, co_await connection->database->Copy(ctx));
  Sha256 digest;
  bool last = false;
  while (!last) {
    CO_TRY(std::string piece, co_await snapshot->Read(ctx, kPieceBytes));
    pb::BackupResponse message;
    message.set_total_bytes(snapshot->size());
    last = piece.empty();
    if (last) {
      message.set_last(true);
      message.set_sha256(digest.Finish());
    } else {
      digest.Update(piece);
      message.set_data(std::move(piece));
    }
    const bool alive = co_await sink.Write(std::move(message));
    if (!alive) co_return errors::PeerGone();
  }
  co_return absl::OkStatus();
}

}  // namespace sluice::services
