// The process_* metrics, from /proc (see proc(5)).
#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "telemetry/metrics.hpp"

namespace sluice {
namespace {

// Fields of /proc/self/stat from the third ("state") on: the second, the name in parentheses, may hold
// anything.
std::istringstream stat_after_name() {
    std::ifstream file{"/proc/self/stat"};
    std::string line;
    std::getline(file, line);
    const auto end = line.rfind(')');
    return std::istringstream{end == std::string::npos ? std::string{} : line.substr(end + 1)};
}

// Seconds since the epoch at which the machine booted, 0 if unknown.
double boot_time() {
    std::ifstream file{"/proc/stat"};
    std::string word;
    double value = 0;
    while (file >> word)
        if (word == "btime" && file >> value) return value;
    return 0;
}

int open_descriptors() {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{::opendir("/proc/self/fd"), ::closedir};
    if (!folder) return -1;
    int count = 0;
    while (const dirent* entry = ::readdir(folder.get()))
        if (entry->d_name[0] != '.') ++count;
    return count - 1;  // without the one that reads the folder
}

}  // namespace

void collect_process(Samples& samples) {
    static const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    static const double boot = boot_time();
    auto stat = stat_after_name();
    std::string skipped;
    double user = 0;
    double system = 0;
    double start = 0;
    for (int field = 3; field < 14; ++field) stat >> skipped;
    stat >> user >> system;
    for (int field = 16; field < 22; ++field) stat >> skipped;
    stat >> start;
    if (stat) {
        samples.add(Metric::kProcessCpuSeconds, {}, (user + system) / ticks);
        if (boot > 0) samples.add(Metric::kProcessStartTime, {}, boot + start / ticks);
    }
    std::ifstream memory{"/proc/self/statm"};
    double pages = 0;
    if (memory >> skipped >> pages)
        samples.add(Metric::kProcessResidentBytes, {}, pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    if (const int count = open_descriptors(); count >= 0) samples.add(Metric::kProcessOpenFds, {}, count);
}

}  // namespace sluice
