#include "ledger/ledger.hpp"

#include <cstring>

namespace sluice {

Result<KeySecret> key_secret(Ledger& ledger) {
    constexpr std::string_view kName = "key_secret";
    const auto stored = ledger.get_document(kName);
    if (!stored) return stored.error();
    if (*stored) {
        KeySecret secret;
        if ((*stored)->size() != secret.size()) {
            return Error{ErrorCode::kInternal,
                         "read document key_secret: " + std::to_string((*stored)->size()) + " bytes, not " +
                             std::to_string(secret.size())};
        }
        std::memcpy(secret.data(), (*stored)->data(), secret.size());
        return secret;
    }
    const auto fresh = random_key_secret();
    if (!fresh) return fresh.error();
    const std::string_view bytes{reinterpret_cast<const char*>(fresh->data()), fresh->size()};
    if (const auto written = ledger.put_document(kName, bytes); !written) return written.error();
    return *fresh;
}

}  // namespace sluice
