// docs/metrics.md, written from the table.
#include <sstream>

#include "telemetry/metrics.hpp"

namespace sluice {
namespace {

void write_metric(std::ostream& out, const MetricInfo& info) {
    out << "\n## `" << info.name << "`\n\n"
        << to_string(info.kind) << (info.unit.empty() ? "" : ", ") << info.unit << ". " << info.help << '\n';
    if (!info.labels.empty()) {
        out << "\nLabels: ";
        for (std::size_t i = 0; i < info.labels.size(); ++i)
            out << (i ? ", `" : "`") << info.labels[i] << '`';
        out << ". " << info.values << ".\n";
    }
    if (!info.bounds_ns.empty()) {
        out << "\nBuckets up to, in seconds: ";
        for (std::size_t i = 0; i < info.bounds_ns.size(); ++i)
            out << (i ? ", " : "") << static_cast<double>(info.bounds_ns[i]) / 1e9;
        out << ".\n";
    }
}

}  // namespace

std::string metrics_markdown() {
    std::ostringstream out;
    out << "# Metrics\n\n"
           "<!-- Written by `ninja metrics_doc` from userspace/telemetry/metrics_table.cpp: change that, not "
           "this. -->\n\n"
           "`GET /metrics` on the admin API answers in the Prometheus text format 0.0.4. Kernel counters are "
           "read when\n"
           "they are asked for. A counter never steps back while the daemon lives, whatever policy comes or "
           "goes, and no\n"
           "label carries an address, a user or a raw path: the number of series is bounded.\n\n"
           "`promtool check metrics` has one complaint, and it is right: `active_users_total` is a gauge, "
           "and only\n"
           "counters should end in `_total`. The name is part of what the platform asked for, so it "
           "stays.\n\n"
           "| metric | type | labels |\n|---|---|---|\n";
    for (const auto& info : metric_table()) {
        out << "| [`" << info.name << "`](#" << info.name << ") | " << to_string(info.kind) << " |";
        for (std::size_t i = 0; i < info.labels.size(); ++i)
            out << (i ? ", " : " ") << '`' << info.labels[i] << '`';
        out << " |\n";
    }
    for (const auto& info : metric_table()) write_metric(out, info);
    return std::move(out).str();
}

}  // namespace sluice
