#include "telemetry/worker_metrics.hpp"

#include <algorithm>

#include "telemetry/metrics.hpp"

namespace sluice {
namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kMaxModelLength = 64;

// The model's name as a label, in `buffer`.
std::string_view clean_model(std::string_view model, std::array<char, kMaxModelLength>& buffer) {
    if (model.empty()) return "unknown";
    const std::size_t length = std::min(model.size(), buffer.size());
    std::transform(
        model.begin(), model.begin() + static_cast<std::ptrdiff_t>(length), buffer.begin(), [](char c) {
            const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                               c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
            return plain ? c : '_';
        });
    return {buffer.data(), length};
}

}  // namespace

std::string_view to_string(LimitVerdict verdict) {
    switch (verdict) {
        case LimitVerdict::kAdmitted:
            return "admitted";
        case LimitVerdict::kRefused:
            return "refused";
        case LimitVerdict::kShadow:
            return "shadow";
    }
    return "unknown";
}

std::string_view method_label(std::string_view method) {
    static constexpr std::array<std::string_view, 9> kMethods{"GET",     "POST",  "PUT",     "DELETE", "HEAD",
                                                              "OPTIONS", "PATCH", "CONNECT", "TRACE"};
    const auto* found = std::find(kMethods.begin(), kMethods.end(), method);
    return found == kMethods.end() ? "OTHER" : *found;
}

WorkerMetrics::WorkerMetrics(ModelNames& models) : model_names_(models) {}

void WorkerMetrics::request_finished(std::string_view method, std::string_view endpoint, unsigned status,
                                     Nanos duration) {
    const std::string_view label = method_label(method);
    if (endpoint.empty()) endpoint = kOther;
    Endpoint* series = endpoints_.find_or_add({label, endpoint}, endpoint == kOther);
    // Ten methods fit into the places reserved for `other`, so this one is never null.
    if (!series) series = endpoints_.find_or_add({label, kOther}, true);
    series->duration.observe(duration);
    const bool known = status >= kFirstStatus && status < kFirstStatus + kStatuses;
    (known ? series->by_status[status - kFirstStatus] : series->other_status).add(1);
}

void WorkerMetrics::decision(std::string_view limit, LimitVerdict verdict) {
    Limit* series = limits_.find_or_add({limit});
    if (!series) series = limits_.find_or_add({kOther}, true);
    series->by_verdict[static_cast<std::size_t>(verdict)].add(1);
}

void WorkerMetrics::ai_usage(std::string_view provider, std::string_view model) {
    std::array<char, kMaxModelLength> buffer{};
    const std::string_view clean = clean_model(model, buffer);
    OwnedCounter* series = models_.find({provider, clean});
    (series ? *series : new_model(provider, clean)).add(1);
}

OwnedCounter& WorkerMetrics::new_model(std::string_view provider, std::string_view clean) {
    if (model_names_.admit(provider, clean))
        if (auto* series = models_.find_or_add({provider, clean})) return *series;
    if (auto* series = models_.find_or_add({provider, kOther})) return *series;
    return *models_.find_or_add({kOther, kOther}, true);
}

}  // namespace sluice
