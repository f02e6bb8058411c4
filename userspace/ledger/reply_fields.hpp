// What our scripts answer: so many whole numbers, none of them negative.
#pragma once

#include <hiredis/hiredis.h>

#include <array>
#include <cstdint>
#include <optional>

namespace sluice {

// nullopt: anything else.
template <std::size_t N>
std::optional<std::array<std::int64_t, N>> reply_fields(const redisReply& reply) {
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != N) return std::nullopt;
    std::array<std::int64_t, N> fields{};
    for (std::size_t i = 0; i < N; ++i) {
        if (reply.element[i]->type != REDIS_REPLY_INTEGER || reply.element[i]->integer < 0)
            return std::nullopt;
        fields[i] = reply.element[i]->integer;
    }
    return fields;
}

}  // namespace sluice
