// A request plane with a policy of the test's own, logs in a folder of its own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "api/request_plane.hpp"
#include "fakes.hpp"
#include "policy/sha256.hpp"

namespace sluice {

class PlaneTest : public testing::Test {
  protected:
    PlaneTest() {
        std::string pattern = testing::TempDir() + "sluice-api-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        EventLog::Options options;
        options.directory = folder_ / "log";
        log_ = EventLog::open(options).value();
        plane_.reset(new RequestPlane{
            Snapshot<ActivePolicy>{nullptr}, Snapshot<BanSet>{std::make_shared<const BanSet>()},
            Snapshot<Overrides>{std::make_shared<const Overrides>()}, hasher_, limiter_, escalation_,
            active_users_, roles_, *log_,
            [this](const Escalation& escalation) { escalations_.push_back(escalation); }});
    }
    ~PlaneTest() override {
        log_.reset();
        std::filesystem::remove_all(folder_);
    }

    std::string path(const std::string& name) const { return folder_ / name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream{path(name)} << text; }
    void write_api_keys(const std::vector<std::string>& users) const {
        std::string text = "keys:\n";
        for (const std::string& user : users)
            text += "  - {user: " + user + ", sha256: " + sha256_hex("key-of-" + user) + "}\n";
        write("keys.yaml", text);
    }

    // Fails the test if the policy is refused.
    void use_policy(const std::string& text) {
        const PolicyLoad load = load_policy_text(text, "test.yaml", folder_);
        ASSERT_TRUE(load) << to_string(load.problems);
        const auto compiled = ActivePolicy::compile(*load.loaded, 1, hasher_);
        ASSERT_TRUE(compiled) << compiled.error().message;
        plane_->policy.publish(*compiled);
    }

    // The whole of one log file, once everything was written.
    std::string log_text(const std::string& category) {
        log_->flush(std::chrono::seconds{5});
        std::ifstream stream{folder_ / "log" / (category + ".log")};
        std::ostringstream text;
        text << stream.rdbuf();
        return text.str();
    }

    std::filesystem::path folder_;
    KeyHasher hasher_{random_key_secret().value()};
    Limiter limiter_;
    EscalationTracker escalation_{hasher_};
    ActiveUsers active_users_;
    RoleWatch roles_;
    std::unique_ptr<EventLog> log_;
    std::vector<Escalation> escalations_;
    std::unique_ptr<RequestPlane> plane_;
};

}  // namespace sluice
