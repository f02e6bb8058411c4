#include "ledger/elapsed.hpp"

#include <ctime>
#include <fstream>

namespace sluice {

Moment moment_at(Nanos ledger_time) {
    Moment moment;
    moment.ledger = ledger_time;
    timespec boot{};
    ::clock_gettime(CLOCK_BOOTTIME, &boot);
    moment.since_boot = static_cast<Nanos>(boot.tv_sec) * kSecond + boot.tv_nsec;
    std::ifstream id{"/proc/sys/kernel/random/boot_id"};
    if (!id.read(moment.boot_id.data(), moment.boot_id.size())) moment.boot_id = {};
    return moment;
}

Nanos clock_shift(const Moment& then, const Moment& now) {
    const bool same_boot = now.boot_id == then.boot_id && now.boot_id != decltype(now.boot_id){} &&
                           now.since_boot >= then.since_boot;
    if (same_boot) {
        const Nanos shift = (now.ledger - then.ledger) - (now.since_boot - then.since_boot);
        return shift < kClockTolerance && shift > -kClockTolerance ? 0 : shift;
    }
    return now.ledger < then.ledger ? now.ledger - then.ledger : 0;
}

}  // namespace sluice
